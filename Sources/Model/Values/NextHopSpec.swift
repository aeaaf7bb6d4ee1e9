public import NetworkTypes

/// A nexthop object.
public struct NextHopSpec: Hashable, Sendable {
    /// One nexthop of a group.
    public struct Member: Hashable, Sendable {
        /// Its logical name.
        public let name: String
        /// Share of the traffic, 1 to 256.
        public let weight: UInt16
    }

    /// What it is.
    public enum Form: Hashable, Sendable {
        /// By an interface.
        case way(RouteSpec.Hop)
        /// Packets are dropped.
        case blackhole
        /// Others share the traffic.
        case group([Member])
    }

    /// The logical name.
    public let name: String
    /// The number in the kernel; nil: one that follows from the name.
    public let id: UInt32?
    /// Where it is, if its interface is not declared; groups are where their members are.
    public let namespace: NetNamespace
    /// Whether it is for IPv4 or IPv6, where no gateway tells it.
    public let family: IPAddress.Family
    /// What it is.
    public let form: Form

    /// The interface that it leads by; nil: none.
    var interface: String? { if case .way(let hop) = form { hop.interface } else { nil } }

    /// What shares the traffic; of a single one nothing.
    var members: [Member] { if case .group(let members) = form { members } else { [] } }

    private static let weights = Schema.plain.range(of: "weight", in: "nsmagent.linux.Nexthop.Member")

    init?(_ message: Nsmagent_Linux_Nexthop, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name")
        id = message.id == 0 ? nil : message.id
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        let interface = message.outgoingInterface
        let gateway = findings.nextHopGateway(message)
        family = gateway.map { $0.family } ?? (message.family == .ipv6 ? .v6 : .v4)
        if case .UNRECOGNIZED(let number) = message.family {
            findings.unknown(number, "nsmagent.linux.Nexthop.Family", ["family"])
        }
        let said = [
            ("outgoing_interface", !interface.isEmpty), ("blackhole", message.blackhole),
            ("group", !message.group.isEmpty),
        ].filter(\.1).map(\.0)
        if said.isEmpty {
            findings.mistake(["outgoing_interface"], "is missing; name the interface the packets leave by")
            return nil
        }
        if said.count > 1 {
            findings.mistake([.field(said[1])], "can't be set together with \(said[0])")
            return nil
        }
        if interface.isEmpty {
            if !message.gwAddr.isEmpty {
                findings.mistake(["gw_addr"], value: message.gwAddr, "needs outgoing_interface")
            }
            if message.onlink { findings.mistake(["onlink"], "is about a gateway; there is none") }
        } else if message.onlink, message.gwAddr.isEmpty {
            findings.mistake(["onlink"], "is about a gateway; there is none")
        }
        if !interface.isEmpty {
            form = .way(
                RouteSpec.Hop(
                    interface: interface, gateway: gateway.map { .literal(IPPrefix(host: $0)) }, weight: 1,
                    isOnLink: message.onlink))
        } else if message.blackhole {
            form = .blackhole
        } else {
            if message.hasNamespace {
                findings.mistake(["namespace"], "does not belong to a group: it is where its members are")
            }
            form = .group(findings.members(message, Self.weights))
        }
    }
}

extension FieldFindings {
    fileprivate mutating func nextHopGateway(_ message: Nsmagent_Linux_Nexthop) -> IPAddress? {
        guard let gateway = address(message.gwAddr, ["gw_addr"]) else { return nil }
        if gateway.isMulticast || gateway.isUnspecified {
            malformed(["gw_addr"], value: message.gwAddr, "is not the address of a router")
        }
        if message.family == .ipv6, gateway.family == .v4 {
            mistake(["family"], value: "IPV6", "is not that of gw_addr")
        }
        return gateway
    }

    fileprivate mutating func members(
        _ message: Nsmagent_Linux_Nexthop, _ weights: ClosedRange<UInt32>
    ) -> [NextHopSpec.Member] {
        var names: Set<String> = []
        if message.group.count > 256 { mistake(["group"], "has more than 256 members") }
        return message.group.prefix(256).enumerated().map { index, member in
            let path: [PathPart] = ["group", .element(index)]
            if member.nexthop.isEmpty {
                mistake(path + ["nexthop"], "is missing; give it the name of a nexthop")
            } else if member.nexthop == message.name {
                mistake(path + ["nexthop"], value: member.nexthop, "is the group itself")
            } else if !names.insert(member.nexthop).inserted {
                mistake(path + ["nexthop"], value: member.nexthop, "is there twice")
            }
            check(member.weight, weights, path + ["weight"])
            return NextHopSpec.Member(name: member.nexthop, weight: UInt16(truncatingIfNeeded: max(member.weight, 1)))
        }
    }
}
