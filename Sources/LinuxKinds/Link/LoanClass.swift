internal import Netlink
internal import Reconciler

/// Links of others that were moved for an interface of type EXISTING, and are given back.
enum LoanClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {}

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {}

    // MARK: - Changes

    /// A link goes to another namespace. What others had on it stays behind; links that are built on it, and the other end of a pair,
    /// are where they were.
    static func move(_ move: LinkMove, from state: NamespaceState, _ world: LinuxWorld) {
        guard let target = world.states[move.target], let old = state.links[move.index] else { return }
        world.notePlanned(index: move.planned)
        world.noteSimulated(target)
        world.loseAll(on: old, to: target)
        // It can't be asked as long as it is only planned to be there.
        let device = world.device(of: old).map { KnownDevice(info: $0) }
        SettingClass.rememberAll(of: old, world, isMoved: true)
        world.journals.remember(
            move: Journal.Move(
                from: state.id, to: target.id, index: move.index, name: move.name, former: old.loan, loan: move.loan))
        var link = old.link
        LinkClass.detach(old, world)
        (link.index, link.name, link.alias) = (move.planned, move.name, move.alias.isEmpty ? nil : move.alias)
        (link.master, link.port) = (0, nil)
        link.flags = move.isUp ? link.flags | LinkFlags.up : link.flags & ~LinkFlags.up
        // Any number will do: it only says that what is below is elsewhere.
        if link.link != 0 { link.linkNamespaceID = link.linkNamespaceID ?? 0 }
        world.apply(.link(link), in: target)
        guard let moved = target.links[move.planned] else { return }
        moved.device = device
        // The names go along.
        (moved.addedAltNames, moved.altNameClaims) = (old.addedAltNames, old.altNameClaims)
        if !old.addedAltNames.isEmpty { world.states.altNames.isStale = true }
        if let loan = move.loan { target.lend(moved, as: loan, world.ownership) }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .first { return }
        for state in states {
            for link in state.lent.values.sorted(by: { $0.link.index < $1.link.index }) { giveBack(link, to: &list) }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .first { return }
        for place in places {
            guard case .link(let object) = place.object, let state = list.world.states[place.namespace],
                let link = state.lent[object.alias]
            else { continue }
            giveBack(link, to: &list)
        }
    }

    /// Where a link came from, which is always the agent's own namespace; nil: it was not moved.
    static func home(of link: LinkState, _ world: LinuxWorld) -> NamespaceState? {
        link.loan == nil ? nil : world.byReference[.own]
    }

    private static func giveBack(_ link: LinkState, to list: inout Leftovers) {
        let (world, state) = (list.world, link.namespace)
        guard let loan = link.loan, !world.isClaimed(link.claim) else { return }
        guard let home = home(of: link, world) else { return }
        let name = freeName(like: loan.hostName, for: link, in: home)
        var operations: [LinuxOperation] = []
        if home === state {
            // The kernel has brought it back already.
            if link.link.name != name {
                operations.append(
                    LinuxOperation(
                        state,
                        .rename(index: link.link.index, from: link.link.name, to: name, up: link.link.isUp)))
            }
            var attributes = LinkAttributes(index: link.link.index)
            attributes.alias = loan.alias
            if loan.isUp, !link.link.isUp { attributes.up = true }
            operations.append(LinuxOperation(state, request: .setLink(attributes)))
        } else {
            let move = LinkMove(
                index: link.link.index, target: home.id, name: name, alias: loan.alias, loan: nil,
                isUp: loan.isUp, planned: world.plannedIndex())
            operations.append(LinuxOperation(state, .moveLink(move)))
        }
        let place = Place(state, .link(.init(alias: world.ownership.lentPrefix + loan.name, name: "")))
        list.add(
            place, key: InterfaceKeys.key(loan.name),
            "\(link.link.name)\(state.reference.suffix), which is given back as \(name)", operations)
    }

    /// The name that a link had, or another one where that is taken.
    private static func freeName(like name: String, for link: LinkState, in state: NamespaceState) -> String {
        func isFree(_ name: String) -> Bool { state.link(named: name).map { $0 === link } ?? true }
        let others = (0..<1000).lazy.map { "\(name.prefix(11))-\($0)" }
        return isFree(name) ? name : isFree(link.link.name) ? link.link.name : others.first(where: isFree) ?? name
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        guard step == .prepare else { return }
        for move in restoration.journal.moves.reversed() {
            guard let from = restoration.place(move.from), let to = restoration.place(move.to),
                let old = restoration.journal.parts[move.from]?.links[move.index] ?? nil,
                let link = to.links.values.first(where: { isMoved($0, old.link, move) })
            else { continue }
            let planned = restoration.world.plannedIndex()
            let back = LinkMove(
                index: link.link.index, target: from.id, name: old.link.name, alias: old.link.alias ?? "",
                loan: move.former, isUp: old.link.isUp, planned: planned)
            restoration.remake(move.index, in: from, as: planned, isMoved: true)
            restoration.add(.moveLink(back), in: to.id)
        }
    }

    /// Whether a link is the one that was moved, and not one of somebody else that has its name by now.
    private static func isMoved(_ link: LinkState, _ old: Link, _ move: Journal.Move) -> Bool {
        guard link.link.kind.name == old.kind.name, link.link.permanentMAC == old.permanentMAC else { return false }
        if let loan = move.loan { return link.loan?.hostName == loan.hostName && link.loan?.name == loan.name }
        return link.loan == nil && link.link.name == move.name && link.link.mac == old.mac
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        // They are interfaces like others.
    }
}
