internal import Netlink
internal import Reconciler

/// Alternative names of links. They have no mark of their own. A link of ours has exactly the declared ones. From a link of others the
/// agent removes only names that it added, which ``AltNameBook`` remembers after a restart.
enum AltNameClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {}

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for (index, old) in former.links {
            guard let link = state.links[index] else { continue }
            if !old.altNameClaims.isEmpty { link.altNameClaims = old.altNameClaims }
            if !old.addedAltNames.isEmpty {
                link.addedAltNames = old.addedAltNames
                forgetLost(of: link, world)
            }
            link.holder = old.holder
            link.matchedAs = link.matchedAs ?? old.matchedAs
        }
        for (link, name) in world.states.altNames.take(in: state) {
            link.addedAltNames.insert(name)
            if link.altNameClaims[name] == nil { link.altNameClaims[name] = Claim() }
        }
    }

    // MARK: - Changes

    /// A link gets other names.
    static func change(
        _ index: Int32, in state: NamespaceState, _ world: LinuxWorld, _ body: ([String]) -> [String]
    ) {
        guard let known = state.links[index] else { return }
        var link = known.link
        let former = link.altNames
        link.altNames = body(former)
        known.addedAltNames.formUnion(link.altNames.filter { !former.contains($0) })
        known.addedAltNames.formIntersection(link.altNames)
        if !world.ownership.owns(alias: link.alias) { world.states.altNames.isStale = true }
        world.apply(.link(link), in: state)
    }

    /// Forgets names that a link has lost: if it gets one of them back, that one is not ours.
    static func forgetLost(of link: LinkState, _ world: LinuxWorld) {
        if link.addedAltNames.isSubset(of: link.link.altNames) { return }
        link.addedAltNames.formIntersection(link.link.altNames)
        world.states.altNames.isStale = true
    }

    // MARK: - Leftovers

    /// Whether no value wants a link to have a name that is ours.
    static func isLeftOver(_ name: String, of link: LinkState, _ world: LinuxWorld) -> Bool {
        if let alias = link.link.alias, world.ownership.owns(alias: alias) {
            return world.declarations.interface(alias: alias)?.hasAltName(name) != true
        }
        // One that was there before is left.
        guard link.addedAltNames.contains(name) else { return false }
        return link.altNameClaims[name].map { !world.isClaimed($0) } ?? false
    }

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        guard turn == .first else { return }
        for state in states {
            let links = state.links.values.filter { !$0.link.altNames.isEmpty }
            for link in links.sorted(by: { $0.link.index < $1.link.index }) {
                append(link.link.altNames, of: link, to: &list)
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        guard turn == .first else { return }
        for place in places {
            guard case .altName(let index, let name) = place.object,
                let link = list.world.states[place.namespace]?.links[index], link.link.altNames.contains(name)
            else { continue }
            append([name], of: link, to: &list)
        }
    }

    private static func append(_ names: [String], of link: LinkState, to list: inout Leftovers) {
        let (world, state) = (list.world, link.namespace)
        // Those of a link that goes go with it.
        if world.ownership.owns(alias: link.link.alias), !world.isClaimed(link.claim) { return }
        for name in names where isLeftOver(name, of: link, world) {
            list.add(
                Place(state, .altName(link.link.index, name)),
                key: "linux/interface/\(link.link.name)/altname/\(name)\(state.reference.suffix)",
                "altname \(name) of \(link.link.name)\(state.reference.suffix)",
                .deleteAltNames([name], linkIndex: link.link.index), in: state)
        }
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        switch step {
        // Before links get their own again: a name is there once.
        case .prepare, .mend: restore(isAdding: step == .mend, &restoration)
        case .make, .finish: break
        }
    }

    private static func restore(isAdding: Bool, _ restoration: inout Restoration) {
        for (state, part) in restoration.parts {
            for case (let index, let old?) in part.links.sorted(by: { $0.key < $1.key }) {
                let current = restoration.current(index, in: state)
                guard let link = state.links[current]?.link,
                    old.isOurs || state.touched.contains(index) || restoration.isMoved(current)
                else { continue }
                let (more, less) = isAdding ? (old.link.altNames, link.altNames) : (link.altNames, old.link.altNames)
                let names = more.filter { !less.contains($0) }
                if names.isEmpty { continue }
                restoration.add(
                    .request(
                        isAdding
                            ? .addAltNames(names, linkIndex: current) : .deleteAltNames(names, linkIndex: current)),
                    in: state.id)
            }
        }
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        // They are part of the interface they are of.
    }
}
