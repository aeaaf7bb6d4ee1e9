internal import Netlink
internal import NetworkTypes
internal import Reconciler

extension Interface {
    /// How a link can come to be.
    enum Creation {
        case create([LinuxOperation])
        case waiting(String)
        case blocked(String)
    }

    /// What makes the link. Named namespaces that are absent are made with it.
    func creation(in world: LinuxWorld) -> Creation {
        var operations: [LinuxOperation] = []
        if case .veth(let peer) = kind, let other = world.interfaces[peer],
            let place = world.byReference[other.namespace], let link = place.linksByName[other.hostName],
            !world.ownership.owns(alias: link.link.alias), link.link.group != world.ownership.linkGroup
        {
            // Before anything is planned: what is planned and not done would be believed.
            return .blocked(Self.taken(other.hostName, by: link))
        }
        guard let target = world.stateOrPlan(namespace, &operations) else {
            return .waiting(world.unmetCondition(namespace) ?? "namespace-available")
        }
        if let other = makeRoom(for: hostName, in: target, world, &operations) {
            return .blocked(Self.taken(hostName, by: other))
        }
        switch kind {
        case .veth(let peer):
            guard let other = world.interfaces[peer] else { return .waiting("veth-peer-exists") }
            return createPair(with: other, in: target, world, operations)
        case .tun(let attributes):
            let action = LinuxOperation.Action.createTUN(
                name: hostName, attributes, alias: alias, index: world.nextPlannedIndex())
            return finish(operations + [LinuxOperation(namespace: target.id, action: action)], in: target, world)
        case .existing, .loopback:
            return .waiting("host-interface-exists")
        default:
            return createLink(in: target, world, operations)
        }
    }

    private func createLink(in target: NamespaceState, _ world: LinuxWorld, _ prelude: [LinuxOperation]) -> Creation {
        var operations = prelude
        var attributes = baseAttributes(world)
        var source = target
        if let parent {
            guard let below = world.link(named: parent, in: namespace) else {
                return .waiting("parent-interface-exists")
            }
            // Made where the interface below is, and placed where it belongs.
            source = below.namespace
            if case .vxlan(_, var vxlan) = kind {
                vxlan.link = below.link.index
                attributes.kind = .vxlan(vxlan)
            } else {
                attributes.link = below.link.index
            }
        }
        if case .vrf = kind {
            operations.append(
                LinuxOperation(
                    namespace: target.id, action: .sysctl(path: "/proc/sys/net/ipv4/tcp_l3mdev_accept", value: "1")))
        }
        operations.append(
            LinuxOperation(
                namespace: source.id,
                action: .createLink(
                    attributes, index: world.nextPlannedIndex(), target: target.id, peerTarget: nil, peerIndex: 0)))
        return finish(operations, in: target, world)
    }

    private func baseAttributes(_ world: LinuxWorld) -> LinkAttributes {
        var attributes = LinkAttributes(name: hostName)
        attributes.mtu = mtu == kind.defaultMTU ? nil : mtu
        attributes.mac = mac
        attributes.group = world.ownership.linkGroup
        switch kind {
        case .dummy: attributes.kind = .dummy
        case .vrf(let table): attributes.kind = .vrf(table: table)
        case .bridge(var bridge, _):
            // A kernel without VLAN filtering refuses to switch it off, too.
            if bridge.vlanFiltering == false { bridge.vlanFiltering = nil }
            attributes.kind = .bridge(bridge)
        case .vlan(_, let vlan): attributes.kind = .vlan(vlan)
        case .vxlan(_, let vxlan): attributes.kind = .vxlan(vxlan)
        case .macvlan(_, let mode): attributes.kind = .macvlan(mode: mode)
        case .ipvlan(_, let mode): attributes.kind = .ipvlan(mode: mode)
        case .veth: attributes.kind = .veth
        case .tun, .existing, .loopback: break
        }
        return attributes
    }

    /// The mark, and the state. A new link is looked up by what the operations so far made of the picture.
    private func finish(_ operations: [LinuxOperation], in target: NamespaceState, _ world: LinuxWorld) -> Creation {
        var operations = operations
        operations.forEach(world.simulate)
        guard let link = target.linksByName[hostName] else { return .waiting("link \(hostName)") }
        var attributes = LinkAttributes(index: link.link.index)
        attributes.alias = alias
        if enabled { attributes.up = true }
        switch kind {
        case .tun:
            attributes.alias = nil
            attributes.mtu = mtu
            attributes.mac = mac
        case .bridge:
            // Only an MTU that is set later counts as chosen; otherwise the bridge follows its ports.
            attributes.mtu = mtu
        default: break
        }
        if attributes != LinkAttributes(index: link.link.index) {
            operations.append(operation(link, .request(.setLink(attributes))))
        }
        return .create(operations)
    }

    // MARK: - Veth

    /// Both ends in one request, each in its place. The kernel refuses to take the far end up in it (`ENOTCONN`).
    private func createPair(
        with other: Interface, in target: NamespaceState, _ world: LinuxWorld, _ prelude: [LinuxOperation]
    ) -> Creation {
        var operations = prelude
        guard let otherTarget = world.stateOrPlan(other.namespace, &operations) else {
            return .waiting(world.unmetCondition(other.namespace) ?? "namespace-available")
        }
        if let link = world.link(of: other) {
            // Half a pair is of no use: its other end is elsewhere under a name we don't know.
            let removal = operation(link, .deleteLinks([link.link.index]))
            operations.append(removal)
            world.simulate(removal)
        }
        if let link = makeRoom(for: other.hostName, in: otherTarget, world, &operations) {
            return .blocked(Self.taken(other.hostName, by: link))
        }
        // Requests are cheapest where many go together.
        let hasMore = (world.vethEnds[namespace] ?? 0) >= (world.vethEnds[other.namespace] ?? 0)
        let (near, far) = hasMore ? (self, other) : (other, self)
        let (nearState, farState) = hasMore ? (target, otherTarget) : (otherTarget, target)
        var attributes = near.baseAttributes(world)
        attributes.peer = VethPeer(
            name: far.hostName, mtu: far.mtu == far.kind.defaultMTU ? nil : far.mtu, mac: far.mac,
            group: world.ownership.linkGroup)
        let (nearIndex, farIndex) = (world.nextPlannedIndex(), world.nextPlannedIndex())
        let creation = LinuxOperation(
            namespace: nearState.id,
            action: .createLink(
                attributes, index: nearIndex, target: nearState.id, peerTarget: farState.id, peerIndex: farIndex))
        operations.append(creation)
        world.simulate(creation)
        guard let nearLink = nearState.links[nearIndex], let farLink = farState.links[farIndex] else {
            return .waiting("veth-peer-exists")
        }
        // Both ends are finished here: whatever else happens, none is left without its mark.
        for (end, link) in [(near, nearLink), (far, farLink)] {
            var mark = LinkAttributes(index: link.link.index)
            mark.alias = end.alias
            if end.enabled { mark.up = true }
            let finishing = operation(link, .request(.setLink(mark)))
            operations.append(finishing)
            world.simulate(finishing)
        }
        world.plannedLinks[other.alias] = hasMore ? farLink : nearLink
        return .create(operations)
    }
}
