internal import Netlink

/// Links of ours that somebody moved to namespaces of which nothing is known.
extension LinuxWorld {
    /// They would stay there under our mark for ever.
    func follow(_ moves: [(from: Int, to: Int32, alias: String)]) {
        // Many go to one namespace, which may have no name: it is looked for once.
        var nameless: Set<Destination> = []
        for (id, number, alias) in moves where !nameless.contains(Destination(from: id, number: number)) {
            guard let state = states[id], let socket = try? routeSocket(state) else { continue }
            if let known = namespace(numbered: number, seenFrom: state) {
                if known.visitors != nil { visit(known, alias) }
                continue
            }
            guard let names = try? NetworkNamespace.list(directory: namespaceDirectory) else { continue }
            var isFound = false
            for name in names where byReference[.named(name)] == nil {
                guard let handle = handle(at: "\(namespaceDirectory)/\(name)", as: .named(name)),
                    (try? socket.namespaceID(of: handle.descriptor)) == number
                else { continue }
                let target = adopt(handle, as: .named(name))
                // Who does not look into others sees there what came from here, and nothing else.
                if looksElsewhere { watch(target) } else { target.visitors = [] }
                visit(target, alias)
                isFound = true
                break
            }
            if !isFound { nameless.insert(Destination(from: id, number: number)) }
        }
    }

    /// The namespace that another one calls by a number.
    private struct Destination: Hashable {
        let from: Int
        let number: Int32
    }

    private func visit(_ state: NamespaceState, _ alias: String) {
        state.visitors?.insert(alias)
        markStale(state)
        try? refresh()
        told.needsFullPass = true
    }

    /// What is to be known of a namespace in which only some links are ours to touch.
    func read(visitors: Set<String>, of state: NamespaceState, _ socket: RouteSocket) throws(KernelError)
        -> NamespaceDump
    {
        var dump = NamespaceDump()
        var others: [String] = []
        for case .link(let link) in try socket.dump(.links) {
            guard let alias = link.alias, ownership.owns(alias: alias) else { continue }
            if visitors.contains(alias) { dump.links.append(link) } else { others.append(link.name) }
        }
        // A link that left is no longer a visitor: another link may get its alias.
        state.visitors = Set(dump.links.compactMap(\.alias))
        state.besideVisitors = others.sorted()
        return dump
    }

    /// Lets namespaces go that links of ours went to and that hold none any more. What has gone is no visitor: another link
    /// may get its alias.
    func forgetLeftVisits() {
        for state in states where state.visitors != nil && state.handle != nil && !state.isStale {
            state.visitors = Set(state.links.values.compactMap(\.link.alias))
            if state.visitors?.isEmpty == true { drop(state) }
        }
    }

    /// Reports what has our mark and stays.
    func tellOfOthersBesideVisitors() {
        for state in states where !state.besideVisitors.isEmpty {
            losses.append(
                "\(state.besideVisitors.joined(separator: ", "))\(state.reference.suffix) stays: it has the mark of this label, "
                    + "but no value is in that namespace, and another agent may have made it")
            state.besideVisitors = []
        }
    }

    /// A namespace that values name, or that is looked at like all others, is known as a whole.
    func widen(_ state: NamespaceState) {
        if state.visitors == nil { return }
        state.visitors = nil
        markStale(state)
        watch(state)
    }
}
