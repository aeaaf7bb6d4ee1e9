internal import Model
internal import NetworkTypes

extension StaticRoute {
    /// Reads a route from its message.
    init(_ message: Ligato_Linux_L3_Route) throws(InvalidValue) {
        namespace = NamespaceReference(message.namespace, given: message.hasNamespace)
        destinationText = message.dstNetwork
        destination = try Self.endpoint(message.dstNetwork, field: "dst_network")
        type = message.type.kernelType
        metric = message.metric
        table = message.table == 0 ? nil : message.table
        mtu = message.mtu
        scope = message.scope.kernelScope
        if message.srcAddr.isEmpty {
            source = nil
        } else {
            guard let address = IPAddress(message.srcAddr) else {
                throw InvalidValue("src_addr", text: "'\(message.srcAddr)' is not an IP address")
            }
            source = address
        }
        if !message.nextHops.isEmpty {
            hops = try message.nextHops.map { hop throws(InvalidValue) in
                Hop(
                    interface: hop.outgoingInterface, gateway: try Self.gateway(hop.gwAddr),
                    weight: UInt16(truncatingIfNeeded: max(hop.weight, 1)), onlink: hop.onlink)
            }
        } else if message.outgoingInterface.isEmpty {
            guard type != 1 else {
                throw InvalidValue("outgoing_interface", text: "the route to \(message.dstNetwork) has no interface")
            }
            hops = []
        } else {
            let gateway = try Self.gateway(message.gwAddr)
            if gateway != nil, scope == 253 {
                throw InvalidValue("scope", "gw_addr", text: "a route of scope LINK has no gateway")
            }
            hops = [
                Hop(interface: message.outgoingInterface, gateway: gateway, weight: 1, onlink: message.onlink)
            ]
        }
    }

    private static func gateway(_ text: String) throws(InvalidValue) -> Endpoint? {
        if text.isEmpty { return nil }
        let endpoint = try endpoint(text, field: "gw_addr")
        // The any-address is what clients send who mean "no gateway".
        if case .literal(let prefix) = endpoint, prefix.address.isUnspecified { return nil }
        return endpoint
    }

    private static func endpoint(_ text: String, field: String) throws(InvalidValue) -> Endpoint {
        if let reference = try AllocationReference(text, interface: nil) { return .allocated(reference) }
        guard let prefix = IPPrefix(text) else { throw InvalidValue(field, text: "'\(text)' is not an IP prefix") }
        return .literal(prefix)
    }
}

extension Ligato_Linux_L3_Route.Scope {
    /// `RT_SCOPE_*`, linux/rtnetlink.h; nil when it is left open.
    var kernelScope: UInt8? {
        switch self {
        case .global: 0
        case .site: 200
        case .link: 253
        case .host: 254
        case .undefined, .UNRECOGNIZED: nil
        }
    }
}

extension Ligato_Linux_L3_Route.TypeEnum {
    /// `RTN_*`, linux/rtnetlink.h.
    var kernelType: UInt8 {
        switch self {
        case .unicast, .UNRECOGNIZED: 1
        case .blackhole: 6
        case .unreachable: 7
        case .prohibit: 8
        }
    }
}
