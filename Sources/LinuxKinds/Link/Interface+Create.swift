internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// How a link can come to be.
enum Creation {
    case create([LinuxOperation])
    case waiting(String)
    case blocked(String)

    var assessment: Assessment<LinuxOperation> {
        switch self {
        case .create(let operations):
            Assessment(.create, operations: operations, differences: operations.newNamespaces)
        case .waiting(let reason): Assessment(.waiting([reason]))
        case .blocked(let reason): Assessment(.blocked(reason))
        }
    }
}

/// Collects the operations that make a link or another object, and the numbers that what they make will have. Nothing is
/// made yet, not even in the picture.
struct LinkPlan {
    private let world: LinuxWorld
    private(set) var operations: [LinuxOperation] = []
    /// The link below, for one that is built on another.
    var below: LinkState?
    /// Links that go before.
    var gone: [LinkState] = []
    /// Number of the namespace in which things are made.
    private(set) var target = -1
    /// The negative index of the last new link.
    private(set) var index: Int32 = 0
    private var planned: [NamespaceReference: Int] = [:]
    private var links: Int32 = 0

    init(_ world: LinuxWorld) { self.world = world }

    mutating func add(_ operation: LinuxOperation) { operations.append(operation) }

    /// Where tunnels without an interface below are made; nil: where they are to be.
    var tunnelOrigin: NamespaceState? { world.tunnelOrigin.flatMap { world.byReference[$0] } }

    /// Adds what happens in the namespace that was entered, or in another one.
    mutating func add(_ action: LinuxOperation.Action, in namespace: Int? = nil) {
        operations.append(LinuxOperation(namespace: namespace ?? target, action))
    }

    /// What follows happens in this namespace. Returns false when it is not available.
    mutating func enter(_ reference: NamespaceReference) -> Bool {
        guard let place = place(reference) else { return false }
        target = place
        return true
    }

    /// The number of the namespace behind a reference; an absent named one is made. nil: it is not available.
    mutating func place(_ reference: NamespaceReference) -> Int? {
        if let state = world.byReference[reference] { return state.id }
        if let id = planned[reference] { return id }
        guard case .named(let name) = reference, let own = world.byReference[.own] else { return nil }
        let id = world.states.nextID + planned.count
        planned[reference] = id
        // Who looks at links alone takes no namespace away.
        add(.createNamespace(name, isImplied: world.ownership.extent == .namespaces ? true : nil), in: own.id)
        return id
    }

    /// The negative index of a new link.
    mutating func newIndex() -> Int32 {
        index = world.plannedIndex(links)
        links += 1
        return index
    }

    /// A link of a kind is made: where the one below is, and placed where it belongs.
    mutating func create(_ attributes: LinkAttributes, _ kind: LinkKind, in origin: NamespaceState? = nil) {
        var attributes = attributes
        attributes.kind = kind
        let end = LinkCreation.End(target: target, index: newIndex())
        makeRoom(for: attributes.newLink(index: end.index))
        add(.createLink(LinkCreation(attributes: attributes, near: end)), in: (below?.namespace ?? origin)?.id)
    }

    /// What has what the link is to have, and is to have something else, goes.
    private mutating func makeRoom(for link: Link) {
        guard let state = world.states[target] else { return }
        for holder in world.holders(of: link, on: below, in: state, besides: gone) {
            gone.append(holder)
            add(.deleteLinks([holder.link.index]), in: holder.namespace.id)
        }
    }

    /// The same for a kind that is built on another link.
    mutating func createUpper(_ attributes: LinkAttributes, _ kind: LinkKind) {
        var attributes = attributes
        attributes.link = below?.link.index
        create(attributes, kind)
    }
}

extension Interface {
    /// What makes the link. Named namespaces that are absent are made with it; `former` is a link that goes before.
    func creation(in world: LinuxWorld, replacing former: LinkState? = nil) -> Creation {
        let other = kind.peer.flatMap { world.declarations.interfaces[$0]?.value }
        if let other, let link = world.byReference[other.namespace]?.linksByName[other.hostName],
            !world.ownership.owns(alias: link.link.alias), link.link.group != world.ownership.linkGroup
        {
            return .blocked(Self.taken(other.hostName, by: link))
        }
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return .waiting(world.unmetCondition(namespace) ?? "namespace-available")
        }
        let gone = [former, former.flatMap(world.peer(of:))].compactMap { $0 }
        if let holder = takeName(hostName, in: plan.target, gone, world, &plan) {
            return .blocked(Self.taken(hostName, by: holder))
        }
        if kind.peer != nil {
            return other.map { createPair(with: $0, gone, world, &plan) } ?? .waiting("veth-peer-exists")
        }
        if let parent = kind.parent {
            guard let below = world.link(named: parent, in: namespace) else {
                return .waiting("parent-interface-exists")
            }
            plan.below = below
            if type(of: kind).link?.receiver != nil {
                for operation in world.release(below, called: parent) { plan.add(operation) }
            }
        }
        plan.gone = gone
        kind.make(baseAttributes(world), of: self, &plan)
        var attributes = LinkAttributes(index: plan.index)
        attributes.alias = wholeAlias
        if enabled, !isHeldDown(in: world) { attributes.up = true }
        kind.finish(&attributes, of: self)
        if attributes != LinkAttributes(index: plan.index) { plan.add(.request(.setLink(attributes))) }
        return .create(plan.operations)
    }

    /// Frees a name, where a link of ours has it that is to have another one. Returns the link that keeps it, if one does.
    private func takeName(
        _ name: String, in namespace: Int, _ gone: [LinkState], _ world: LinuxWorld, _ plan: inout LinkPlan
    ) -> LinkState? {
        guard let state = world.states[namespace], let holder = state.link(named: name),
            !gone.contains(where: { $0 === holder })
        else { return nil }
        guard let move = makeRoom(for: name, in: state, world) else { return holder }
        plan.add(move)
        return nil
    }

    /// The attributes that every new link gets.
    private func baseAttributes(_ world: LinuxWorld) -> LinkAttributes {
        var attributes = LinkAttributes(name: hostName)
        attributes.mtu = mtu == defaultMTU ? nil : mtu
        attributes.mac = mac
        attributes.group = world.ownership.linkGroup
        return attributes
    }

    // MARK: - Veth

    /// Both ends in one request, each in its place. The kernel refuses to take the far end up in it (`ENOTCONN`).
    private func createPair(
        with other: Interface, _ gone: [LinkState], _ world: LinuxWorld, _ plan: inout LinkPlan
    ) -> Creation {
        let target = plan.target
        guard let otherTarget = plan.place(other.namespace) else {
            return .waiting(world.unmetCondition(other.namespace) ?? "namespace-available")
        }
        var gone = gone
        if let half = world.link(of: other), !gone.contains(where: { $0 === half }) {
            // Half a pair is of no use: its other end is elsewhere under a name we don't know.
            plan.add(operation(half, .deleteLinks([half.link.index])))
            gone.append(half)
        }
        if let holder = takeName(other.hostName, in: otherTarget, gone, world, &plan) {
            return .blocked(Self.taken(other.hostName, by: holder))
        }
        // Requests are cheapest where many go together.
        let hasMore =
            world.declarations.vethEnds(in: namespace) >= world.declarations.vethEnds(in: other.namespace)
        let (near, far) = hasMore ? (self, other) : (other, self)
        let (nearTarget, farTarget) = hasMore ? (target, otherTarget) : (otherTarget, target)
        var attributes = near.baseAttributes(world)
        attributes.kind = .veth
        attributes.peer = VethPeer(
            name: far.hostName, mtu: far.mtu == far.defaultMTU ? nil : far.mtu, mac: far.mac,
            group: world.ownership.linkGroup)
        let (nearIndex, farIndex) = (plan.newIndex(), plan.newIndex())
        plan.add(
            .createLink(
                LinkCreation(
                    attributes: attributes, near: .init(target: nearTarget, index: nearIndex),
                    peer: .init(target: farTarget, index: farIndex))), in: nearTarget)
        // Both ends are finished here: whatever else happens, none is left without its mark.
        for (end, index, place) in [(near, nearIndex, nearTarget), (far, farIndex, farTarget)] {
            var mark = LinkAttributes(index: index)
            mark.alias = end.wholeAlias
            if end.enabled { mark.up = true }
            plan.add(.request(.setLink(mark)), in: place)
        }
        return .create(plan.operations)
    }
}

extension [LinuxOperation] {
    /// The namespaces that are made along with what a value asks for, for people.
    var newNamespaces: [Difference] {
        compactMap { operation in
            guard case .createNamespace(let name, _) = operation.action else { return nil }
            return Difference("namespace", old: "none", new: name)
        }
    }
}
