public import Reconciler
internal import Netlink

/// Collects what carries our mark and no value claims.
struct Leftovers {
    let world: LinuxWorld
    private(set) var removals: [Removal<LinuxWorld>] = []
    /// Links whose removal is in the list, and the other ends of their pairs.
    var vanishing: Set<ObjectIdentifier> = []

    init(_ world: LinuxWorld) { self.world = world }

    mutating func add(_ place: Place, key: Key, _ summary: String, _ operations: [LinuxOperation]) {
        removals.append(Removal(key: key, summary: summary, operations: operations, place: place))
    }

    mutating func add(
        _ place: Place, key: Key, _ summary: String, _ request: Request, in state: NamespaceState,
        isInternal: Bool = false
    ) {
        add(place, key: key, summary, [LinuxOperation(state, request: request)])
        removals[removals.count - 1].isInternal = isInternal
    }

    /// Whether all of a namespace goes anyway.
    func goes(_ state: NamespaceState) -> Bool { state.isDoomed || NamespaceClass.goes(state, world) }
}

extension LinuxWorld {
    /// Everything that carries our mark and that no value claims.
    public func leftovers(_ turn: Turn) -> [Removal<LinuxWorld>] {
        aliasIndex = nil
        if turn == .first { tellOfOthersBesideVisitors() }
        var list = Leftovers(self)
        let states = states.filter { $0.handle != nil && !isHeldByAnother($0) }
        // What is on others goes before them.
        for kernelClass in KernelClasses.all.reversed() { kernelClass.appendLeftovers(turn, in: states, to: &list) }
        return list.removals
    }

    /// The same, at places that values left.
    public func leftovers(_ turn: Turn, at places: [Place]) -> [Removal<LinuxWorld>] {
        if places.isEmpty { return [] }
        var list = Leftovers(self)
        let places = places.filter { states[$0.namespace]?.handle != nil }
        for kernelClass in KernelClasses.all.reversed() { kernelClass.appendLeftovers(turn, at: places, to: &list) }
        return list.removals
    }
}
