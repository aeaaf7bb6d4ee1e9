/// The marks by which links, addresses, routes and rules tell who made them: those of all owners, so that none overlap.
///
/// A link group (`IFLA_GROUP`) is 16 bits of who it is and 16 bits of the owner's name. Links carry an alias besides, which the
/// kernel takes only after it made them. Everything else carries a protocol number.
public enum Marks {
    /// What the aliases of an agent's links start with; the label and the value's name follow.
    public static let agentAlias = "/vnf-agent/"
    /// What the aliases of links start with that an agent has moved to another namespace and will give back; the label, the value's
    /// name and where the link came from follow. No agent takes it for the mark of a link that it made.
    public static let lentAlias = "/vnf-agent-lent/"
    /// What the aliases of a mesh's links start with; the connection's id follows.
    public static let meshAlias = "nsm/"

    /// Who marks by a link group.
    public enum Group: UInt32, CaseIterable, Sendable {
        /// Loopback interfaces in namespaces that were declared to an agent.
        case namespaces = 0x4e4e_0000
        /// Loopback interfaces in namespaces that an agent made because its values are in them.
        case impliedNamespaces = 0x4e4f_0000
        /// Links of an agent.
        case agent = 0x4e53_0000
        /// Links of an agent whose offloads are not the kernel's default, which no dump tells.
        case tuned = 0x4e54_0000
        /// Links of a mesh's connections.
        case mesh = 0x4e56_0000

        /// All groups of this kind.
        public var range: ClosedRange<UInt32> { rawValue...rawValue | 0xffff }

        /// That of the owner with a number.
        public func of(_ number: UInt32) -> UInt32 { rawValue | number & 0xffff }
    }

    /// The protocol number of the agent with the label `default` (`IFA_PROTO`, `rtm_protocol`, `NDA_PROTOCOL`, `FRA_PROTOCOL`).
    public static let defaultAgentProtocol: UInt8 = 78
    /// The protocol numbers of agents with other labels.
    public static let agentProtocols: ClosedRange<UInt8> = 200...249
    /// The protocol number of a mesh: what is on the links of its connections, and their policy rules, which outlive the link.
    /// Before version 1 routes and neighbours had that of an administrator (`RTPROT_STATIC`), and addresses had none.
    public static let meshProtocol: UInt8 = 79

    /// Priorities of the policy rules of a mesh's connections: after what an administrator numbers from 1, before those that an
    /// agent makes for the same connections.
    public static let meshPriorities: Range<UInt32> = 10_000..<20_000
    /// Priorities of the policy rules that an agent makes for its own clients, before those of the kernel (32766).
    public static let clientPriorities: Range<UInt32> = 20_000..<32_000
    /// The tables that these lead to: `M` in the highest byte, where nobody else makes any.
    public static let clientTables: ClosedRange<UInt32> = 0x4d00_0000...0x4dff_ffff

    /// The handle of an agent's qdiscs, which keep no other mark: `4000:` to `7fff:`, below those that the kernel chooses itself
    /// (`8000:` and above), and above those that people write.
    public static func qdiscHandle(of number: UInt32) -> UInt32 { (0x4000 | number & 0x3fff) << 16 }

    /// The preference of an agent's filters of what arrives: `0x4000` to `0x7fff`, the number of its qdiscs.
    public static func filterPreference(of number: UInt32) -> UInt16 { UInt16(0x4000 | number & 0x3fff) }
    /// The handle of an agent's filters, besides their preference. One more: the agent made the qdisc that the filter is in.
    public static let filterHandle: UInt32 = 0x4e53_0000

    /// The numbers of nexthop objects, which follow from their names: the upper half of what is positive in 32 bits, to which
    /// nobody counts. Their mark is the protocol number.
    public static let nextHopNumbers: ClosedRange<UInt32> = 0x4000_0000...0x7fff_ffff

    /// Whether a protocol number is that of an agent or of a mesh. Two of them may want the same entry.
    public static func isOwner(proto: UInt8) -> Bool {
        proto == defaultAgentProtocol || proto == meshProtocol || agentProtocols.contains(proto)
    }

    /// The table of the route that marks a namespace with neighbours of an agent; no rule leads to it. It is the agent's link
    /// group, so that it is its own.
    public static func neighbourTable(ofGroup group: UInt32) -> UInt32 { group }
}
