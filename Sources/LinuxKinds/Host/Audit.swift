internal import Netlink

extension LinuxWorld {
    /// Whether values are declared of which no event tells: only for these the kernel is looked at from time to time.
    public var hasSilentValues: Bool { !declarations.silent.isEmpty }

    /// Takes a fresh look at what the kernel changes without a word, in the namespaces where such values are declared.
    ///
    /// Settings and offloads are read when they are compared; neighbours are part of the picture and are read here.
    /// - Returns: the values to compare.
    public func audit() -> WorldChanges {
        cause = .told
        defer {
            cause = .planned
            told = WorldChanges()
        }
        var looked: Set<Int> = []
        for (interface, namespace) in declarations.silent.values.compactMap(\.self) {
            guard let state = link(named: interface, in: namespace)?.namespace, state.handle != nil,
                looked.insert(state.id).inserted
            else { continue }
            // What can't be read now is read the next time.
            try? readNeighbours(of: state)
        }
        told.keys.formUnion(declarations.silent.keys)
        return told
    }

    private func readNeighbours(of state: NamespaceState) throws(KernelError) {
        var present: [Neighbour] = []
        for isProxy in [false, true] {
            for case .neighbour(let entry) in try routeSocket(state).dump(.neighbours(proxy: isProxy)) {
                present.append(entry)
            }
        }
        let known = state.links.values.flatMap { $0.neighbours.map(\.neighbour) }
        for old in known {
            let isThere = present.contains { $0.linkIndex == old.linkIndex && $0.isSameEntry(as: old) }
            if !isThere { NeighbourClass.remove(old, in: state, self) }
        }
        for entry in present { NeighbourClass.put(entry, in: state, self) }
    }
}
