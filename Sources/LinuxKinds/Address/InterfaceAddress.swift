internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// An address of an interface, derived from the interface.
public struct InterfaceAddress: Value {
    /// The word for addresses in plans and status.
    public static let kind = "address"
    /// After memberships, as a change of master drops IPv6 addresses; before routes.
    public static let rank = 4

    let interface: String
    /// Where that is.
    let namespace: NamespaceReference
    /// As written: the key holds it.
    let text: String
    /// Where the address comes from.
    let source: AddressSource
    let peer: IPPrefix?
    let noDAD: Bool
    let label: String?
    let isDeprecated: Bool
    let hasNoPrefixRoute: Bool
    /// Someone else assigns it, and we only wait for it.
    let isExpected: Bool
    let vrf: String?

    /// Takes a checked address.
    init(
        _ spec: InterfaceSpec.Address, interface: String, in namespace: NamespaceReference, isExpected: Bool,
        vrf: String?
    ) {
        self.interface = interface
        self.namespace = namespace
        self.isExpected = isExpected
        self.vrf = vrf
        text = spec.text
        source = spec.source
        peer = spec.peer
        noDAD = spec.isNoDAD
        label = spec.label
        isDeprecated = spec.isDeprecated
        hasNoPrefixRoute = spec.hasNoPrefixRoute
    }

    var key: Key {
        let kind = if isExpected { "existing" } else if case .allocated = source { "alloc_ref" } else { "static" }
        return "linux/interface/\(interface)/address/\(kind)/\(text)"
    }

    /// The VRF membership, and the allocation.
    public var dependencies: [Dependency<LinuxWorld>] {
        var result: [Dependency<LinuxWorld>] = []
        if let vrf {
            let key = InterfaceKeys.master(interface, vrf: vrf)
            result.append(Dependency(label: "interface-assigned-to-vrf", target: .key(key)))
        }
        if case .allocated(let reference) = source {
            result.append(Dependency(label: "address-allocated", target: .key(reference.key)))
        }
        return result
    }

    /// Routes look here for what makes their gateway reachable.
    public var groups: [String] { hasNoPrefixRoute ? [] : [Self.reachGroup(interface)] }

    static func reachGroup(_ interface: String) -> String { "reach/\(interface)" }

    /// `10.0.0.1/24 dev veth1`
    public var summary: String {
        peer.map { "\(text) peer \($0) dev \(interface)" } ?? "\(text) dev \(interface)"
    }

    /// The address with its prefix length, once an allocation is known.
    func prefix(in world: LinuxWorld) -> IPPrefix? {
        switch source {
        case .literal(let prefix): prefix
        case .allocated(let reference): world.declarations.allocations[reference.id]?.address
        }
    }

    /// What is reachable on the link through this address.
    func reaches(_ address: IPAddress) -> Bool {
        if let peer { return peer.contains(address) }
        guard case .literal(let prefix) = source else { return false }
        return prefix.contains(address)
    }

    /// Whether the kernel's address is this one.
    func matches(_ address: Address, in world: LinuxWorld) -> Bool {
        guard let wanted = wanted(on: 0, in: world) else { return false }
        return wanted.local == address.local && wanted.peer == address.peer
    }

    private func wanted(on index: Int32, in world: LinuxWorld) -> Address? {
        guard let prefix = prefix(in: world) else { return nil }
        var address = Address(
            linkIndex: index, local: prefix, flags: noDAD && prefix.family == .v6 ? Address.noDAD : 0,
            proto: world.ownership.proto)
        if hasNoPrefixRoute { address.flags |= Address.noPrefixRoute }
        if isDeprecated { address.flags |= Address.deprecated }
        address.label = label
        if prefix.address.isLoopback { address.scope = 254 }
        if prefix.family == .v6, prefix.address.isLinkLocal { address.scope = 253 }
        if let peer {
            // On a point-to-point link the prefix length is that of the other end.
            address.local = IPPrefix(prefix.address, length: peer.length) ?? prefix
            address.peer = peer.address
        }
        return address
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface)
        concernRoutes(world)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface)
        concernRoutes(world)
    }

    /// Routes that prefer the address may wait for it.
    private func concernRoutes(_ world: LinuxWorld) {
        guard world.declarations.hasSources, let address = prefix(in: world)?.address else { return }
        world.declarations.addKeys(
            from: address, in: namespace, world.byReference[namespace], to: &world.concerned)
    }

    /// The kernel's address is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let link = world.link(of: interface), let wanted = wanted(on: link.link.index, in: world),
            let index = find(wanted, on: link)
        else { return nil }
        // Before anything is planned, since the kernel is asked.
        if !isExpected { world.learnLostNetworks(in: link.namespace) }
        link.addresses[index].claim = Claim(pass: world.pass, claimant: claimant)
        return Place(link.namespace, .address(link.link.index, wanted.local, peer: wanted.peer))
    }

    private func find(_ wanted: Address, on link: LinkState) -> Int? {
        link.addresses.firstIndex { $0.address.local == wanted.local && $0.address.peer == wanted.peer }
    }

    /// Compares the address with those of the link.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface), let wanted = wanted(on: link.link.index, in: world) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        if let index = find(wanted, on: link) {
            guard link.addresses[index].address.flags & Address.dadFailed != 0 else {
                return isExpected ? .inPlace : compare(link.addresses[index], with: wanted, on: link, world)
            }
            return Assessment(.blocked("duplicate address detection found \(wanted.local) on another host of the link"))
        }
        if isExpected { return Assessment(.waiting(["address-assigned-to-interface: \(text)"])) }
        var operations: [LinuxOperation] = []
        var differences: [Difference] = []
        if let other = link.addresses.first(where: { $0.address.isSameAddress(as: wanted) }),
            other.address.proto != world.ownership.proto, !world.ownership.owns(alias: link.link.alias)
        {
            // IPv6 knows an address once, whatever its prefix length.
            return Assessment(.blocked("\(other.address.local) is on \(link.link.name) already and is not ours"))
        }
        for entry in link.addresses where blocks(entry.address, wanted, world) {
            operations.append(LinuxOperation(link.namespace, request: .deleteAddress(entry.address)))
            differences.append(Difference("address", old: "\(entry.address.local)", new: "\(wanted.local)"))
        }
        operations.append(LinuxOperation(link.namespace, request: .addAddress(wanted, replace: true)))
        return Assessment(.create, operations: operations, differences: differences)
    }

    /// An address of ours that is to go and must go first: the new one would become its secondary and go with it, or
    /// is the same address to the kernel.
    private func blocks(_ old: Address, _ wanted: Address, _ world: LinuxWorld) -> Bool {
        if old.local.family == .v6, old.isSameAddress(as: wanted) { return true }
        guard old.proto == world.ownership.proto, old.local.family == wanted.local.family else { return false }
        let isInItsNetwork =
            old.local.family == .v4 && old.local.network == wanted.local.network && old.peer == nil
            && wanted.peer == nil
        guard isInItsNetwork || old.local.address == wanted.local.address else { return false }
        let declared = world.declarations.interfaces[interface]?.value.addresses ?? []
        return !declared.contains { $0.matches(old, in: world) }
    }
}
