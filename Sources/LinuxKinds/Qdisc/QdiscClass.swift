internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// Root qdiscs of links. The kernel keeps no mark with them but the handle, which whoever makes one may choose.
///
/// They go with their links, and when these move to another namespace; whether a link is up makes no difference.
enum QdiscClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // What was left over is found by the first look.
        let isKnown = state.wasRead && !state.links.values.contains { $0.qdisc != nil || $0.ingress != nil }
        if world.ownership.qdiscHandle == 0 || isKnown && world.declarations.qdiscCount == 0 { return }
        do {
            for case .qdisc(let qdisc) in try socket.dump(.qdiscs) {
                if isRoot(qdisc) { dump.qdiscs.append(qdisc) }
                if qdisc.parent == Qdisc.ingress { dump.ingress.append(qdisc) }
            }
        } catch {
            // A kernel without any.
            if error.code != EOPNOTSUPP { throw error }
        }
    }

    /// Whether somebody gave it a link.
    private static func isRoot(_ qdisc: Qdisc) -> Bool { qdisc.parent == Qdisc.root && qdisc.handle != 0 }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for qdisc in dump.qdiscs {
            guard let link = state.links[qdisc.linkIndex] else { continue }
            link.qdisc = qdisc
            link.qdiscClaim = former.links[qdisc.linkIndex]?.qdiscClaim ?? Claim()
        }
    }

    /// Whether a link has a root qdisc with our mark, or a filter of what arrives.
    static func hasOurs(_ link: LinkState, _ ownership: Ownership) -> Bool {
        ownership.qdiscHandle != 0
            && (link.qdisc?.handle == ownership.qdiscHandle || link.ingress?.police != nil)
    }

    // MARK: - Changes

    /// A link has a qdisc, like this.
    static func put(_ qdisc: Qdisc, in state: NamespaceState, _ world: LinuxWorld) {
        if qdisc.parent == Qdisc.ingress { return PoliceClass.put(qdisc, in: state, world) }
        guard let link = state.links[qdisc.linkIndex], qdisc.parent == Qdisc.root else { return }
        if world.cause == .told, link.qdisc.map({ qdisc.isSame(as: $0) }) ?? (qdisc.handle == 0) {
            // What the kernel chose is no news.
            if link.qdisc?.kind == qdisc.kind || !qdisc.hasOwnQuantum(mtu: link.link.mtu) { return }
        }
        set(qdisc.handle == 0 ? nil : qdisc, of: link, world)
        if world.cause == .planned { link.qdiscClaim = world.plannedClaim }
    }

    /// A link has lost its qdisc, and got one of the kernel.
    static func remove(_ qdisc: Qdisc, in state: NamespaceState, _ world: LinuxWorld) {
        if qdisc.parent == Qdisc.ingress { return PoliceClass.remove(qdisc, in: state, world) }
        guard let link = state.links[qdisc.linkIndex], qdisc.parent == Qdisc.root,
            link.qdisc?.handle == qdisc.handle
        else { return }
        set(nil, of: link, world)
    }

    private static func set(_ qdisc: Qdisc?, of link: LinkState, _ world: LinuxWorld) {
        world.journals.remember(link: link.link.index, in: link.namespace, isItself: false)
        link.qdisc = qdisc
        world.concern(link.link.name, in: link.namespace)
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) where link.qdisc != nil {
                append(link, to: &list)
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            guard case .qdisc(let index) = place.object, let state = list.world.states[place.namespace],
                !list.goes(state), let link = state.links[index]
            else { continue }
            append(link, to: &list)
        }
    }

    private static func append(_ link: LinkState, to list: inout Leftovers) {
        let world = list.world
        guard let qdisc = link.qdisc, qdisc.handle == world.ownership.qdiscHandle, !world.isClaimed(link.qdiscClaim),
            !world.ownership.belongsToAnother(alias: link.link.alias)
        else { return }
        let (name, place) = (link.link.name, link.namespace.reference.suffix)
        list.add(
            Place(link.namespace, .qdisc(link.link.index)), key: "\(QdiscKeys.prefix)\(name)/root\(place)",
            "qdisc \(qdisc.kind.name) dev \(name)\(place)", .deleteQdisc(qdisc), in: link.namespace)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .finish { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old, let link = state.links[restoration.current(index, in: state)] else { continue }
                var wanted = old.qdisc
                wanted?.linkIndex = link.link.index
                // What others had was never touched, unless the link itself went: it can't be made again as it was.
                let handle = restoration.world.ownership.qdiscHandle
                if let wanted, wanted.handle != handle { continue }
                // Nor is what they set meanwhile.
                if let have = link.qdisc, have.handle != handle {
                    let (name, place) = (link.link.name, state.reference.suffix)
                    restoration.world.losses.append(
                        "\(name)\(place) keeps the root qdisc \(have.kind.name) \(have.handleText), which is not ours")
                    continue
                }
                for operation in operations(from: link.qdisc, to: wanted, on: link) {
                    restoration.add(operation.action, in: state.id)
                }
            }
        }
    }

    /// What leads from one qdisc of a link to another one.
    static func operations(from have: Qdisc?, to wanted: Qdisc?, on link: LinkState) -> [LinuxOperation] {
        guard let wanted else {
            return have.map { [LinuxOperation(link.namespace, request: .deleteQdisc($0))] } ?? []
        }
        guard let have else { return [LinuxOperation(link.namespace, request: .addQdisc(wanted))] }
        // A request that says no quantum leaves that of before.
        let keeps = wanted.leavesQuantum && have.hasOwnQuantum(mtu: link.link.mtu)
        if !keeps, wanted.isEquivalent(to: have), wanted.handle == have.handle { return [] }
        if !keeps, wanted.canFollow(have) { return [LinuxOperation(link.namespace, request: .changeQdisc(wanted))] }
        return [
            LinuxOperation(link.namespace, request: .deleteQdisc(have)),
            LinuxOperation(link.namespace, request: .addQdisc(wanted)),
        ]
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
            guard let qdisc = link.qdisc, qdisc.handle == export.ownership.qdiscHandle,
                let kind = QdiscSpec.Kind(qdisc.kind)
            else { continue }
            var message = Nsmagent_Linux_Qdisc(kind)
            message.interface = export.name(of: link)
            export.others.append(.qdisc(message))
        }
    }
}

extension Qdisc {
    /// Whether the kernel chooses how much a flow may send in its turn.
    fileprivate var leavesQuantum: Bool {
        if case .fairQueue(let queue) = kind { queue.quantum == nil } else { false }
    }

    /// Whether the kernel tells nothing new.
    fileprivate func isSame(as known: Qdisc) -> Bool { handle == known.handle && isEquivalent(to: known) }
}
