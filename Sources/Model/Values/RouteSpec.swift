public import NetworkTypes

/// How far away the destination of a route is.
public enum RouteScope: Hashable, Sendable, CaseIterable {
    /// Anywhere.
    case global
    /// Within this site.
    case site
    /// On the link.
    case link
    /// On this host.
    case host
}

/// What a route does with packets.
public enum RouteType: Hashable, Sendable, CaseIterable {
    /// They are sent on.
    case unicast
    /// They are dropped in silence.
    case blackhole
    /// They are dropped, and the sender is told that the host is unreachable.
    case unreachable
    /// They are dropped, and the sender is told that it is prohibited.
    case prohibit
}

/// Which of several routers is preferred. Source: RFC 4191.
public enum RouterPreference: Hashable, Sendable, CaseIterable {
    /// As all without a word.
    case medium
    /// Less than those.
    case low
    /// More than those.
    case high
}

/// A route.
public struct RouteSpec: Hashable, Sendable {
    /// One way to the destination.
    public struct Hop: Hashable, Sendable {
        /// The logical name of the interface, or the name of one that is not declared.
        public let interface: String
        /// The next hop; nil: the destination is on the link.
        public let gateway: AddressSource?
        /// Share of the traffic, 1 to 256.
        public let weight: UInt16
        /// Whether the gateway is taken for reachable.
        public let isOnLink: Bool
    }

    /// Where it is, if none of its interfaces is declared.
    public let namespace: NetNamespace
    /// What it leads to.
    public let destination: AddressSource
    /// As it was written.
    public let destinationText: String
    /// The ways to it: none for a blackhole and its kin.
    public let hops: [Hop]
    /// The name of the nexthop object that says where it leads; nil: its ways do.
    public let nextHop: String?
    /// How far away the destination is; nil: what follows from its gateways.
    public let scope: RouteScope?
    /// As it was written; 0: the kernel's default.
    public let metric: UInt32
    /// nil: that of the interface's VRF, else main.
    public let table: UInt32?
    /// What it does.
    public let type: RouteType
    /// The address of what is sent.
    public let source: IPAddress?
    /// Bytes; 0: that of the link.
    public let mtu: UInt32
    /// Largest TCP segment that is announced, bytes; 0: what follows from the MTU.
    public let advertisedMSS: UInt32
    /// Segments that are sent at first; 0: the kernel's choice.
    public let initialCongestionWindow: UInt32
    /// Segments for which there is room at first; 0: the kernel's choice.
    public let initialReceiveWindow: UInt32
    /// How much it is preferred; of IPv6 alone.
    public let preference: RouterPreference

    /// The metric that the kernel gives to a route without one.
    ///
    /// Source: `IP6_RT_PRIO_USER`, linux/ipv6_route.h.
    public static func defaultMetric(of family: IPAddress.Family) -> UInt32 { family == .v6 ? 1024 : 0 }

    init?(_ message: Ligato_Linux_L3_Route, _ findings: inout FieldFindings) {
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        destinationText = message.dstNetwork
        nextHop = message.nexthop.isEmpty ? nil : message.nexthop
        metric = message.metric
        table = message.table == 0 ? nil : message.table
        mtu = message.mtu
        advertisedMSS = message.advmss
        initialCongestionWindow = message.initcwnd
        initialReceiveWindow = message.initrwnd
        findings.checkMetrics(message)
        let owner = message.outgoingInterface
        let destination = findings.destination(message.dstNetwork, owner: owner)
        let family = destination?.family
        let type = findings.type(message.type)
        scope = findings.scope(message.scope)
        if type != nil { findings.checkWay(message) }
        let gateway = findings.gateway(message.gwAddr, ["gw_addr"], owner: owner, family: family)
        if !message.gwAddr.isEmpty, message.scope == .link {
            findings.mistake(
                ["scope"], value: "LINK", "is not possible with a gateway: the destination is not on the link")
        }
        if message.onlink, message.gwAddr.isEmpty { findings.mistake(["onlink"], "is about a gateway; there is none") }
        source = findings.source(message, family)
        preference = findings.preference(message, family)
        findings.check(mtu: message.mtu, family)
        if message.nextHops.isEmpty {
            hops =
                owner.isEmpty ? [] : [Hop(interface: owner, gateway: gateway, weight: 1, isOnLink: message.onlink)]
        } else {
            hops = message.nextHops.enumerated().map { findings.hop($1, $0, family) }
        }
        guard let destination, let type else { return nil }
        self.destination = destination
        self.type = type
    }
}

extension Ligato_Linux_L3_Route {
    /// The metric that the kernel uses for it.
    var effectiveMetric: UInt32 {
        guard metric == 0, !dstNetwork.isReference, dstNetwork.utf8.contains(UInt8(ascii: ":")) else { return metric }
        return RouteSpec.defaultMetric(of: .v6)
    }
}

extension AddressSource {
    /// The family; nil when it is not known before the allocation is.
    fileprivate var family: IPAddress.Family? {
        switch self {
        case .literal(let prefix): prefix.family
        case .allocated: nil
        }
    }
}

extension FieldFindings {
    private static let routeMTU = Schema.plain.range(of: "mtu", in: "ligato.linux.l3.Route")
    private static let segment = Schema.plain.range(of: "advmss", in: "ligato.linux.l3.Route")
    private static let windows = Schema.plain.range(of: "initcwnd", in: "ligato.linux.l3.Route")
    private static let weight = Schema.plain.range(of: "weight", in: "ligato.linux.l3.NextHop")

    fileprivate mutating func destination(_ text: String, owner: String) -> AddressSource? {
        if text.isEmpty {
            mistake(["dst_network"], "is missing; write a network, or 0.0.0.0/0 or ::/0 for the default route")
            return nil
        }
        if text.isReference {
            return reference(text, ["dst_network"], owner: owner, gateway: .allowed).map { .allocated($0) }
        }
        return prefix(text, ["dst_network"]).map { .literal($0) }
    }

    fileprivate mutating func type(_ type: Ligato_Linux_L3_Route.TypeEnum) -> RouteType? {
        switch type {
        case .unicast: return .unicast
        case .blackhole: return .blackhole
        case .unreachable: return .unreachable
        case .prohibit: return .prohibit
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.l3.Route.Type", ["type"])
            return nil
        }
    }

    fileprivate mutating func scope(_ scope: Ligato_Linux_L3_Route.Scope) -> RouteScope? {
        switch scope {
        case .undefined: return nil
        case .global: return .global
        case .site: return .site
        case .link: return .link
        case .host: return .host
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.l3.Route.Scope", ["scope"])
            return nil
        }
    }

    /// Checks that a route has one way out, or none where none belongs.
    fileprivate mutating func checkWay(_ route: Ligato_Linux_L3_Route) {
        let hasHops = !route.nextHops.isEmpty
        if !route.nexthop.isEmpty {
            checkNextHop(route)
            return
        }
        guard route.type == .unicast else {
            let word = Schema.plain.enumName(route.type.rawValue, of: "ligato.linux.l3.Route.Type")
            if !route.outgoingInterface.isEmpty {
                mistake(
                    ["outgoing_interface"], value: route.outgoingInterface, "does not belong to a \(word) route")
            }
            if !route.gwAddr.isEmpty {
                mistake(["gw_addr"], value: route.gwAddr, "does not belong to a \(word) route")
            }
            if hasHops { mistake(["next_hops"], "do not belong to a \(word) route") }
            return
        }
        if hasHops {
            if !route.outgoingInterface.isEmpty || !route.gwAddr.isEmpty {
                mistake(["next_hops"], "can't be set together with outgoing_interface or gw_addr")
            }
        } else if route.outgoingInterface.isEmpty {
            mistake(["outgoing_interface"], "is missing; name the interface the packets leave by")
        }
    }

    /// Checks that a route by a nexthop object has nothing that this says.
    private mutating func checkNextHop(_ route: Ligato_Linux_L3_Route) {
        if route.type != .unicast {
            let word = Schema.plain.enumName(route.type.rawValue, of: "ligato.linux.l3.Route.Type")
            mistake(["nexthop"], value: route.nexthop, "does not belong to a \(word) route")
        }
        if !route.outgoingInterface.isEmpty || !route.gwAddr.isEmpty || !route.nextHops.isEmpty {
            mistake(
                ["nexthop"], value: route.nexthop, "can't be set together with outgoing_interface, gw_addr or next_hops"
            )
        }
        if route.hasNamespace {
            mistake(["namespace"], "does not belong to a route by a nexthop: it is where the nexthop is")
        }
    }

    fileprivate mutating func hop(
        _ hop: Ligato_Linux_L3_NextHop, _ index: Int, _ family: IPAddress.Family?
    ) -> RouteSpec.Hop {
        let path: [PathPart] = ["next_hops", .element(index)]
        if hop.outgoingInterface.isEmpty {
            mistake(path + ["outgoing_interface"], "is missing; name the interface the packets leave by")
        }
        let gateway = gateway(hop.gwAddr, path + ["gw_addr"], owner: hop.outgoingInterface, family: family)
        if hop.onlink, hop.gwAddr.isEmpty { mistake(path + ["onlink"], "is about a gateway; there is none") }
        check(hop.weight, Self.weight, path + ["weight"])
        return RouteSpec.Hop(
            interface: hop.outgoingInterface, gateway: gateway,
            weight: UInt16(truncatingIfNeeded: max(hop.weight, 1)), isOnLink: hop.onlink)
    }

    /// nil without a gateway: the any-address is what clients send who mean that.
    fileprivate mutating func gateway(
        _ text: String, _ path: @autoclosure () -> [PathPart], owner: String, family: IPAddress.Family?
    ) -> AddressSource? {
        if text.isReference {
            return reference(text, path(), owner: owner, gateway: .required).map { .allocated($0) }
        }
        guard let gateway = address(text, path()) else { return nil }
        // IPv4 packets may go to a router that has only an IPv6 address, not the other way round.
        if let family, gateway.family != family, family == .v6 {
            mistake(path(), value: text, "is \(gateway.family.word), but the destination is \(family.word)")
        } else if gateway.isMulticast {
            mistake(path(), value: text, "is a multicast address")
        }
        return gateway.isUnspecified ? nil : .literal(IPPrefix(host: gateway))
    }

    fileprivate mutating func source(_ route: Ligato_Linux_L3_Route, _ family: IPAddress.Family?) -> IPAddress? {
        guard let source = address(route.srcAddr, ["src_addr"]) else { return nil }
        if let family, source.family != family {
            mistake(["src_addr"], value: route.srcAddr, "is not of the same family as \(route.dstNetwork)")
        } else if source.isMulticast || source.isUnspecified {
            mistake(["src_addr"], value: route.srcAddr, "can't be the source of a packet")
        }
        return source
    }

    fileprivate mutating func checkMetrics(_ route: Ligato_Linux_L3_Route) {
        check(route.advmss, Self.segment, ["advmss"])
        check(route.initcwnd, Self.windows, ["initcwnd"])
        check(route.initrwnd, Self.windows, ["initrwnd"])
        if route.type == .unicast { return }
        for (value, field) in [(route.advmss, "advmss"), (route.initcwnd, "initcwnd"), (route.initrwnd, "initrwnd")]
        where value != 0 {
            let word = Schema.plain.enumName(route.type.rawValue, of: "ligato.linux.l3.Route.Type")
            mistake([.field(field)], value: "\(value)", "does not belong to a \(word) route")
        }
    }

    fileprivate mutating func preference(_ route: Ligato_Linux_L3_Route, _ family: IPAddress.Family?)
        -> RouterPreference
    {
        let preference: RouterPreference
        switch route.pref {
        case .medium: return .medium
        case .low: preference = .low
        case .high: preference = .high
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.l3.Route.Preference", ["pref"])
            return .medium
        }
        if route.type != .unicast {
            mistake(["pref"], "belongs to UNICAST routes only")
        } else if family == .v4 {
            mistake(["pref"], "is only for IPv6 routes; \(route.dstNetwork) is IPv4")
        }
        return preference
    }

    fileprivate mutating func check(mtu: UInt32, _ family: IPAddress.Family?) {
        let smallest: UInt32 = family == .v6 ? 1280 : 68
        check(mtu, Self.routeMTU, ["mtu"])
        if mtu != 0, mtu < smallest {
            mistake(["mtu"], value: String(mtu), "is below the smallest MTU (\(smallest))")
        }
    }
}

extension Ligato_Linux_L3_Route.Scope {
    /// As it is written.
    public init(_ scope: RouteScope) {
        switch scope {
        case .global: self = .global
        case .site: self = .site
        case .link: self = .link
        case .host: self = .host
        }
    }
}

extension Ligato_Linux_L3_Route.Preference {
    /// As it is written.
    public init(_ preference: RouterPreference) {
        switch preference {
        case .medium: self = .medium
        case .low: self = .low
        case .high: self = .high
        }
    }
}

extension Ligato_Linux_L3_Route.TypeEnum {
    /// As it is written.
    public init(_ type: RouteType) {
        switch type {
        case .unicast: self = .unicast
        case .blackhole: self = .blackhole
        case .unreachable: self = .unreachable
        case .prohibit: self = .prohibit
        }
    }
}
