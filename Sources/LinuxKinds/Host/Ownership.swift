internal import Concurrency
internal import Netlink
internal import NetworkTypes

/// How an object in the kernel is marked with its owner, so that the owner is known after a crash.
///
/// - Links carry the alias `/vnf-agent/LABEL/NAME…`. The kernel takes no alias when it creates a link, so a link group
///   marks it from its first moment. After a tab there may be a text for people, which no name can hold: an agent that knows
///   nothing of it still knows the link as one of its label.
/// - Addresses, routes, neighbours and rules carry a protocol number (`IFA_PROTO`, `rtm_protocol`, `NDA_PROTOCOL`,
///   `FRA_PROTOCOL`).
/// - Qdiscs have a number of ours as their handle, filters of what arrives as their preference.
/// - A named namespace that was declared, or made because values are in it, is marked by the link group of its loopback
///   interface.
/// - A namespace in which neighbours of ours are has a `throw` route in a table that nothing looks into. The kernel
///   walks the neighbours of all namespaces for each dump of them, so dumps are made only where this mark is.
public struct Ownership: Sendable, Hashable {
    /// The label of the owner.
    public let label: String
    /// What the aliases of our links start with.
    public let aliasPrefix: String
    /// What tells our link groups from those of other labels; 16 bits.
    var number: UInt32
    /// `IFLA_GROUP` of our links.
    public var linkGroup: UInt32 { givenGroup ?? Marks.Group.agent.of(number) }
    /// `IFLA_GROUP` of our links whose offloads are not the kernel's default, which no dump tells.
    public var tunedGroup: UInt32 { givenGroup == nil ? Marks.Group.tuned.of(number) : Self.noGroup }
    /// `IFLA_GROUP` of the loopback interface in namespaces that were declared.
    public var namespaceGroup: UInt32 { givenGroup == nil ? Marks.Group.namespaces.of(number) : Self.noGroup }
    /// `IFLA_GROUP` of the loopback interface in namespaces that were made because values are in them.
    public var impliedNamespaceGroup: UInt32 {
        givenGroup == nil ? Marks.Group.impliedNamespaces.of(number) : Self.noGroup
    }
    /// `IFLA_GROUP` of our links that are about to go together, or the next one that is free.
    var throwAwayGroup: UInt32 { linkGroup ^ 0x2000_0000 }
    /// The group of the links of an owner who has no label.
    private let givenGroup: UInt32?
    /// No link has this group.
    private static let noGroup = UInt32.max
    /// Protocol number of our addresses, routes, neighbours and rules.
    public internal(set) var proto: UInt8
    /// The handle of our qdiscs; 0: this owner has none.
    var qdiscHandle: UInt32 { givenGroup == nil ? Marks.qdiscHandle(of: number) : 0 }
    /// The preference of our filters.
    var filterPreference: UInt16 { Marks.filterPreference(of: number) }
    /// Whether the operator chose the protocol number.
    let isProtocolChosen: Bool
    /// What of a namespace is looked at to find what is ours.
    let extent: Extent

    /// What of a namespace is looked at to find what is ours.
    enum Extent: Hashable, Sendable {
        /// All of it.
        case namespaces
        /// A few links, and what is on them: there may be more of ours.
        case links
    }

    /// The protocol number of the label `default`.
    public static let defaultProtocol = Marks.defaultAgentProtocol

    /// Makes the marks of a label, as they are where no other label has the same: ``LinuxWorld/settleMarks()``.
    ///
    /// - Parameters:
    ///   - label: the owner.
    ///   - proto: the protocol number; nil: 78 for the label `default`, for others one of 200 to 249 that follows from
    ///     the label.
    public init(label: String, proto: UInt8? = nil) {
        self.label = label
        aliasPrefix = "\(Marks.agentAlias)\(label)/"
        let hash = FNV1a.hash32(label.utf8)
        number = hash & 0xffff
        let range = Marks.agentProtocols
        let follows = range.lowerBound + UInt8(hash % UInt32(range.count))
        isProtocolChosen = proto != nil
        self.proto = proto ?? (label == "default" ? Self.defaultProtocol : follows)
        extent = .namespaces
        givenGroup = nil
    }

    /// Makes the marks of an owner who knows each of its links, and of other things only those that are on one.
    /// - Parameters:
    ///   - aliasPrefix: what the alias of a link starts with; the logical name of its interface follows.
    ///   - linkGroup: the group of the links.
    ///   - proto: the protocol number of what is on them.
    public init(aliasPrefix: String, linkGroup: UInt32, proto: UInt8) {
        label = aliasPrefix
        self.aliasPrefix = aliasPrefix
        givenGroup = linkGroup
        number = 0
        self.proto = proto
        isProtocolChosen = true
        extent = .links
    }

    /// The alias of the link of an interface; an end of a pair names the other end, so that it is found from here.
    func alias(of name: String, peer: String?) -> String {
        switch extent {
        case .namespaces: "\(aliasPrefix)\(name)\(peer.map { "/\($0)" } ?? "")"
        case .links: aliasPrefix + name
        }
    }

    /// What of an alias is the mark, without the text for people behind it.
    func mark(in alias: String) -> String { extent == .links ? alias : Self.split(alias).mark }

    /// The text for people in an alias; nil: there is none.
    func text(in alias: String) -> String? { Self.split(alias).text }

    /// The longest alias, bytes. Source: `IFALIASZ`, linux/if.h, which counts a zero.
    static let longestAlias = 255

    /// The mark of an alias, and the text for people behind it.
    static func split(_ alias: String) -> (mark: String, text: String?) {
        guard let tab = alias.utf8.firstIndex(of: UInt8(ascii: "\t")) else { return (alias, nil) }
        return (String(alias[..<tab]), String(alias[alias.utf8.index(after: tab)...]))
    }

    /// The table of ``neighbourMark``; no rule leads to it.
    public var markTable: UInt32 { Marks.neighbourTable(ofGroup: linkGroup) }

    /// The route that says that neighbours of ours are in a namespace. `RTN_THROW` is 9.
    var neighbourMark: Route {
        Route(destination: .any(.v4), table: markTable, proto: proto, type: 9)
    }

    /// The number of a nexthop object that has no other one.
    func nextHopNumber(_ name: String) -> UInt32 {
        let range = Marks.nextHopNumbers
        return range.lowerBound + FNV1a.hash32("\(label)/\(name)".utf8) % UInt32(range.count)
    }

    /// Whether an alias is one of ours.
    public func owns(alias: String?) -> Bool { alias?.hasPrefix(aliasPrefix) ?? false }

    /// Whether an alias says that an agent with another label owns the link.
    func belongsToAnother(alias: String?) -> Bool {
        guard let alias else { return false }
        return alias.hasPrefix(Marks.agentAlias) && !alias.hasPrefix(aliasPrefix)
    }
}
