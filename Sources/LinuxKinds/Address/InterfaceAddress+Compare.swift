internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// How an address that is there can still not be as it should be.
extension InterfaceAddress {
    /// Compares lifetimes and flags of an address of ours, and the route to its network of any.
    func compare(
        _ entry: AddressState, with wanted: Address, on link: LinkState, _ world: LinuxWorld
    ) -> Assessment<LinuxOperation> {
        let address = entry.address
        let isOurs =
            entry.wasOurs || address.proto == world.ownership.proto || world.ownership.owns(alias: link.link.alias)
        var differences = isOurs ? flagDifferences(of: address, wanted) : []
        if entry.wasOurs, address.proto != world.ownership.proto {
            differences.append(Difference("proto", old: "\(address.proto)", new: "\(world.ownership.proto)"))
        }
        let isLost = world.hasLostNetwork(address, on: link)
        if isLost, let network = address.connected(on: link) {
            differences.append(Difference("route to its network", old: "none", new: "\(network) dev \(link.link.name)"))
        }
        if differences.isEmpty { return .inPlace }
        var operations: [LinuxOperation] = []
        if address.local.family == .v4, isOurs, address.isFixed(unlike: wanted) {
            // The kernel sets these of an IPv4 address only when it makes it.
            operations.append(LinuxOperation(link.namespace, request: .deleteAddress(address)))
            operations.append(LinuxOperation(link.namespace, request: .addAddress(wanted, replace: true)))
        } else {
            if differences.count > (isLost ? 1 : 0) || isOurs && address.local.family == .v6 {
                operations.append(LinuxOperation(link.namespace, request: .addAddress(wanted, replace: true)))
            }
            // An IPv6 address that is set once more gets its route back.
            if isLost, !isOurs || address.local.family == .v4,
                let route = connectedRoute(of: address, on: link)
            {
                if let local = localRoute(of: route, on: link) {
                    operations.append(LinuxOperation(link.namespace, request: .addRoute(local, replace: true)))
                }
                operations.append(LinuxOperation(link.namespace, request: .addRoute(route, replace: false)))
            }
        }
        return Assessment(.update, operations: operations, differences: differences)
    }

    private func flagDifferences(of address: Address, _ wanted: Address) -> [Difference] {
        var differences: [Difference] = []
        let unlike = address.flags ^ wanted.flags
        if unlike & Address.deprecated != 0 {
            differences.append(
                Difference("preferred", old: isDeprecated ? "yes" : "no", new: isDeprecated ? "no" : "yes"))
        }
        if address.label != wanted.label {
            differences.append(Difference("label", old: address.label ?? "none", new: wanted.label ?? "none"))
        }
        if address.flags & Address.permanent == 0 {
            differences.append(Difference("lifetime", old: "limited", new: "forever"))
        }
        if unlike & Address.noPrefixRoute != 0 {
            differences.append(
                Difference("prefix route", old: hasNoPrefixRoute ? "on" : "off", new: hasNoPrefixRoute ? "off" : "on"))
        }
        return differences
    }

    /// The route that the kernel makes with an address.
    private func connectedRoute(of address: Address, on link: LinkState) -> Route? {
        guard let network = address.connected(on: link) else { return nil }
        let isV4 = network.family == .v4
        // Of an IPv4 network it starts from the primary address.
        let source =
            link.addresses.first {
                $0.address.connected(on: link) == network && $0.address.flags & Address.secondary == 0
            }?.address ?? address
        return Route(
            destination: network, table: link.mainTable, proto: Route.kernel, scope: isV4 ? 253 : 0,
            metric: isV4 ? 0 : 256, source: isV4 ? source.local.address : nil,
            nextHops: [NextHop(linkIndex: link.link.index)])
    }

    /// What makes the address local from which a route starts. In a VRF both are in one table, so who flushed one of them flushed
    /// the other, too, and the kernel refuses a route from an address that is not local: `fib_valid_prefsrc`,
    /// net/ipv4/fib_semantics.c.
    private func localRoute(of route: Route, on link: LinkState) -> Route? {
        guard link.vrfTable != nil, let source = route.source, let destination = IPPrefix(source, length: 32) else {
            return nil
        }
        return Route(
            destination: destination, table: route.table, proto: Route.kernel, scope: 254, type: 2, source: source,
            nextHops: [NextHop(linkIndex: link.link.index)])
    }
}

extension Address {
    /// Whether something differs that stays as long as an IPv4 address does.
    func isFixed(unlike other: Address) -> Bool {
        (flags ^ other.flags) & Self.noPrefixRoute != 0 || label != other.label
    }
}
