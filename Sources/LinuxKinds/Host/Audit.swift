internal import Netlink

/// A value that the kernel lets others change without telling.
protocol SilentValue: Sendable {
    /// The link that it is on; nil: that is not there.
    func home(in world: LinuxWorld) -> LinkState?

    /// Takes a fresh look at what of it is in the picture. What can't be read now is read the next time.
    func lookAgain(in world: LinuxWorld)
}

extension LinuxWorld {
    /// Whether values are declared of which no event tells: only for these the kernel is looked at from time to time.
    public var hasSilentValues: Bool { !declarations.silent.isEmpty }

    /// Somebody changes things on a link, so a look at its silent values may be worth it: who changes one thing often changes
    /// another.
    func suspect(_ link: String, in state: NamespaceState) {
        if hasSilentValues { suspects[state.id, default: []].insert(link) }
    }

    /// Takes a fresh look at what the kernel changes without a word.
    ///
    /// - Parameter suspectsOnly: Only on links on which something changed since the last look.
    /// - Returns: the values to compare.
    public func audit(suspectsOnly: Bool) -> WorldChanges {
        cause = .told
        defer {
            cause = .planned
            told = WorldChanges()
            suspects.removeAll()
        }
        if suspectsOnly && suspects.isEmpty { return told }
        for (key, value) in declarations.silent {
            if suspectsOnly {
                guard let home = value.home(in: self),
                    suspects[home.namespace.id]?.contains(home.link.name) == true
                else { continue }
            }
            value.lookAgain(in: self)
            told.keys.insert(key)
        }
        return told
    }
}
