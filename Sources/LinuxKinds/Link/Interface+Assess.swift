internal import Netlink
internal import NetworkTypes
public import Reconciler

extension Interface {
    /// Compares the interface with its link.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: self) else { return assessMissing(in: world) }
        if isAdopted { return compare(link, in: world) }
        if world.plannedLinks[alias] === link {
            // The operations of the other end make and finish this one, too.
            world.plannedLinks[alias] = nil
            return Assessment(.create)
        }
        if let reason = mismatch(link, in: world) {
            var operations = [operation(link, .deleteLinks([link.link.index]))]
            operations.forEach(world.simulate)
            guard case .create(let making) = creation(in: world) else { return creationBlocked(in: world) }
            operations += making
            return Assessment(.recreate, operations: operations, differences: [reason])
        }
        return compare(link, in: world)
    }

    private func assessMissing(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        switch kind {
        case .existing:
            return Assessment(.waiting(["host-interface-exists: \(hostName)\(namespace.suffix) is not there"]))
        case .loopback:
            var operations: [LinuxOperation] = []
            guard let state = world.stateOrPlan(namespace, &operations), let link = state.linksByName["lo"] else {
                return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
            }
            var assessment = compare(link, in: world)
            assessment.operations = operations + assessment.operations
            assessment.verdict = .create
            return assessment
        default:
            guard case .create(let operations) = creation(in: world) else { return creationBlocked(in: world) }
            return Assessment(.create, operations: operations)
        }
    }

    private func creationBlocked(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        switch creation(in: world) {
        case .create(let operations): Assessment(.create, operations: operations)
        case .waiting(let reason): Assessment(.waiting([reason]))
        case .blocked(let reason): Assessment(.blocked(reason))
        }
    }

    func operation(_ link: LinkState, _ action: LinuxOperation.Action) -> LinuxOperation {
        LinuxOperation(namespace: link.namespace.id, action: action)
    }

    // MARK: - What can't be changed in place

    private func mismatch(_ link: LinkState, in world: LinuxWorld) -> Difference? {
        let actual = link.link
        switch (kind, actual.kind) {
        case (.veth(let peer), .veth):
            guard let other = world.interfaces[peer], world.link(of: other) != nil else {
                return Difference("peer", old: "gone", new: peer)
            }
        case (.dummy, .dummy), (.bridge, .bridge): break
        case (.vrf(let table), .vrf(let old)) where table != old:
            return Difference("table", old: "\(old)", new: "\(table)")
        case (.vrf, .vrf): break
        case (.tun(let wanted), .tun(var have)):
            have.persistent = true
            // The program that opens the device decides; what is declared is only what it starts with.
            have.vnetHeader = wanted.vnetHeader
            if wanted != have { return Difference("tuntap", old: "\(have)", new: "\(wanted)") }
        case (.vlan(_, let wanted), .vlan(let have)) where wanted != have:
            return Difference("vlan", old: "\(have.id)", new: "\(wanted.id)")
        case (.vxlan(_, let wanted), .vxlan(let have)):
            if !wanted.isSatisfied(by: have) {
                return Difference("vxlan", old: "vni \(have.vni)", new: "vni \(wanted.vni)")
            }
        case (.vlan, .vlan), (.macvlan, .macvlan), (.ipvlan, .ipvlan): break
        default: return Difference("type", old: actual.kind.name, new: kindName)
        }
        return parentMismatch(link, in: world)
    }

    private func parentMismatch(_ link: LinkState, in world: LinuxWorld) -> Difference? {
        guard let parent, let below = world.link(named: parent, in: namespace) else { return nil }
        var index = link.link.link
        if case .vxlan(let attributes) = link.link.kind { index = attributes.link }
        // In another namespace the kernel gives only the index there.
        return index == below.link.index ? nil : Difference("parent", old: "link \(index)", new: parent)
    }

    var parent: String? {
        switch kind {
        case .vlan(let parent, _), .macvlan(let parent, _), .ipvlan(let parent, _): parent
        case .vxlan(let parent, _): parent
        default: nil
        }
    }

    // MARK: - What can

    private func compare(_ link: LinkState, in world: LinuxWorld) -> Assessment<LinuxOperation> {
        var attributes = LinkAttributes(index: link.link.index)
        var differences: [Difference] = []
        let isLoopback = kind == .loopback
        if isLoopback, link.link.alias != alias {
            if let other = link.link.alias, !other.isEmpty, other != "unconfigured" {
                return Assessment(
                    .blocked("lo\(namespace.suffix) carries the alias '\(other)': another value or program has it"))
            }
            attributes.alias = alias
            differences.append(Difference("alias", old: link.link.alias ?? "none", new: alias))
        }
        if !isAdopted, link.link.alias != alias {
            attributes.alias = alias
            differences.append(Difference("alias", old: link.link.alias ?? "none", new: alias))
        }
        if let mtu, mtu != link.link.mtu {
            attributes.mtu = mtu
            differences.append(Difference("mtu", old: "\(link.link.mtu)", new: "\(mtu)"))
        }
        if let mac, mac != link.link.mac {
            attributes.mac = mac
            differences.append(Difference("mac", old: link.link.mac.map(\.description) ?? "none", new: "\(mac)"))
        }
        compareKind(link, &attributes, &differences)
        // What others made is not taken down: absent and false can't be told apart.
        if enabled != link.link.isUp, enabled || !isAdopted {
            attributes.up = enabled
            differences.append(Difference("state", old: enabled ? "down" : "up", new: enabled ? "up" : "down"))
        }
        var operations: [LinuxOperation] = []
        if !isAdopted, link.link.name != hostName {
            // A foreign link in its place is met when the name is changed, so that the link stays as it is until then.
            _ = makeRoom(for: hostName, in: link.namespace, world, &operations)
            operations.append(
                operation(link, .rename(index: link.link.index, from: link.link.name, to: hostName, up: link.link.isUp))
            )
            differences.append(Difference("name", old: link.link.name, new: hostName))
        }
        if attributes != LinkAttributes(index: link.link.index) {
            operations.append(operation(link, .request(.setLink(attributes))))
        }
        if receiveOffload == nil, transmitOffload == nil, link.link.group == world.ownership.tunedGroup {
            var mark = LinkAttributes(index: link.link.index)
            mark.group = world.ownership.linkGroup
            operations.append(operation(link, .offload(index: link.link.index, receive: true, transmit: true)))
            operations.append(operation(link, .request(.setLink(mark))))
            differences.append(Difference("checksum offload", old: "set", new: "default"))
        }
        if kind == .existing, !linkOnly { stripForeignAddresses(of: link, in: world, &operations, &differences) }
        return operations.isEmpty ? .inPlace : Assessment(.update, operations: operations, differences: differences)
    }

    private func compareKind(_ link: LinkState, _ attributes: inout LinkAttributes, _ differences: inout [Difference]) {
        switch (kind, link.link.kind) {
        case (.bridge(let wanted, _), .bridge(let have)):
            let change = wanted.difference(from: have, &differences)
            if let change { attributes.kind = .bridge(change) }
        case (.macvlan(_, let wanted), .macvlan(let have)) where wanted != have:
            attributes.kind = .macvlan(mode: wanted)
            differences.append(Difference("mode", old: "\(have)", new: "\(wanted)"))
        case (.ipvlan(_, let wanted), .ipvlan(let have)) where wanted != have:
            attributes.kind = .ipvlan(mode: wanted)
            differences.append(Difference("mode", old: "\(have)", new: "\(wanted)"))
        default: break
        }
    }

    /// Without link_only the addresses of an existing interface are exactly those that are declared.
    private func stripForeignAddresses(
        of link: LinkState, in world: LinuxWorld, _ operations: inout [LinuxOperation],
        _ differences: inout [Difference]
    ) {
        for entry in link.addresses where !entry.address.local.address.isLinkLocal {
            let address = entry.address
            if address.proto == world.ownership.proto || address.isAutomatic { continue }
            if addresses.contains(where: { $0.matches(address, in: world) }) { continue }
            operations.append(operation(link, .request(.deleteAddress(address))))
            differences.append(Difference("address", old: "\(address.local)", new: "none"))
        }
    }

    /// Takes a name from a link of ours that is to have another one, which it gets when its turn comes. Returns the link
    /// that has the name and keeps it, if there is one.
    func makeRoom(
        for name: String, in state: NamespaceState, _ world: LinuxWorld, _ operations: inout [LinuxOperation]
    ) -> LinkState? {
        guard let other = state.linksByName[name] else { return nil }
        guard let owner = world.interfaces.values.first(where: { $0.alias == other.link.alias }),
            owner.hostName != name, !owner.isAdopted, world.byReference[owner.namespace] === state
        else { return other }
        let index = other.link.index
        let move = operation(
            other, .rename(index: index, from: name, to: "nsm-tmp\(index.magnitude)", up: other.link.isUp))
        operations.append(move)
        world.simulate(move)
        return nil
    }

    static func taken(_ name: String, by link: LinkState) -> String {
        let owner = link.link.alias.map { " (alias \($0))" } ?? ""
        return "a link named \(name)\(owner) is there already\(link.namespace.reference.suffix) and is not ours; "
            + "remove or rename it, or declare it as EXISTING"
    }
}

extension Address {
    /// Whether the kernel made it by itself: of the loopback interface, link-local, or from a router advertisement
    /// (`IFAPROT_KERNEL_*` 1 to 3; without a lifetime of its own on kernels that keep no protocol).
    fileprivate var isAutomatic: Bool {
        (1...3).contains(proto) || local.address.isLoopback || (local.family == .v6 && flags & Address.permanent == 0)
    }
}

extension VXLANAttributes {
    /// Whether a tunnel of the kernel's has everything that is wanted.
    func isSatisfied(by have: VXLANAttributes) -> Bool {
        vni == have.vni && remote == have.remote && local == have.local && port == have.port
            && learning == have.learning && (ttl ?? have.ttl) == have.ttl
    }
}

extension BridgeAttributes {
    /// The attributes that differ; nil: none.
    func difference(from have: BridgeAttributes, _ differences: inout [Difference]) -> BridgeAttributes? {
        var change = BridgeAttributes()
        func note(_ name: String, _ old: UInt32?, _ new: UInt32?) -> UInt32? {
            guard let new, old != new else { return nil }
            differences.append(Difference(name, old: old.map(String.init) ?? "unknown", new: "\(new)"))
            return new
        }
        change.stpState = note("stp", have.stpState, stpState)
        change.ageingTime = note("ageing_time", have.ageingTime, ageingTime)
        change.forwardDelay = note("forward_delay", have.forwardDelay, forwardDelay)
        if let vlanFiltering, vlanFiltering != (have.vlanFiltering ?? false) {
            differences.append(
                Difference("vlan_filtering", old: "\(have.vlanFiltering ?? false)", new: "\(vlanFiltering)"))
            change.vlanFiltering = vlanFiltering
        }
        return change == BridgeAttributes() ? nil : change
    }
}
