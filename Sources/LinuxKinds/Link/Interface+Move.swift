internal import Model
internal import Netlink
internal import Reconciler

extension Interface {
    /// What moves the link of an interface that is known by what it is to where it is to be.
    func move(_ match: LinkMatch, in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let link: LinkState
        switch world.sight(of: self, match) {
        case .here: return .inPlace
        case .nowhere(let reason): return Assessment(.waiting([reason]))
        case .away(let found): link = found
        }
        guard let origin = link.namespace.handle?.identity.inode else {
            return Assessment(.waiting(["namespace-available"]))
        }
        if link.loan == nil, let reason = world.tie(of: link) {
            return Assessment(.blocked("\(link.link.name) can't be moved to \(namespace.label): \(reason)"))
        }
        // One that the kernel has brought back, when the namespace it was in went, keeps what is known of it.
        var loan = link.loan ?? Loan(of: link.link, to: name, from: origin)
        loan.name = name
        let mark = loan.text(world.ownership)
        if mark.utf8.count > Ownership.longestAlias {
            return Assessment(
                .blocked(
                    "\(link.link.name) can't be moved: its alias with our mark is \(mark.utf8.count) bytes long; the kernel "
                        + "takes at most \(Ownership.longestAlias)"))
        }
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
        }
        let name = hostName.isEmpty ? loan.hostName : hostName
        if let state = world.states[plan.target], let holder = state.link(named: name) {
            guard let room = makeRoom(for: name, in: state, world) else {
                return Assessment(.blocked(Self.taken(name, by: holder)))
            }
            plan.add(room)
        }
        let index = plan.newIndex()
        let move = LinkMove(
            index: link.link.index, target: plan.target, name: name, alias: mark, loan: loan,
            isUp: enabled || link.link.isUp, planned: index)
        plan.add(.moveLink(move), in: link.namespace.id)
        var moved = link.link
        (moved.index, moved.master) = (index, 0)
        moved.flags = move.isUp ? moved.flags | LinkFlags.up : moved.flags & ~LinkFlags.up
        let (attributes, differences) = wanted(of: moved, in: world)
        if attributes != LinkAttributes(index: index) { plan.add(.request(.setLink(attributes))) }
        let from = Difference("namespace", old: "the agent's", new: namespace.label)
        let renamed = name == link.link.name ? [] : [Difference("name", old: link.link.name, new: name)]
        return Assessment(
            .create, operations: plan.operations,
            differences: plan.operations.newNamespaces + [from] + renamed + differences)
    }
}

extension LinuxWorld {
    /// Why a link must not leave its namespace; nil: it may. A move would silently take it from its bridge or bond, and perhaps cut
    /// off the machine.
    fileprivate func tie(of link: LinkState) -> String? {
        if link.link.master != 0 {
            let master = link.namespace.links[link.link.master]
            if !ownership.owns(alias: master?.link.alias) {
                let name = master?.link.name ?? "another link"
                return "it is a port of \(name), which is not the agent's; take it out of that first"
            }
        }
        let routes = try? routeSocket(link.namespace).save(
            .routes(ignoringKernel: true), exceptRoutesOf: ownership.proto
        ) { report in
            guard case .route(let route) = report, route.destination.length == 0 else { return false }
            return route.nextHops.contains { $0.linkIndex == link.link.index }
        }
        return routes?.isEmpty == false ? "a default route leaves by it; remove that first" : nil
    }
}
