internal import Concurrency
internal import LinuxKinds
internal import Netlink
internal import NetworkTypes

/// What a link is for a connection: the last letter of its alias.
enum Segment: String, CaseIterable, Hashable {
    /// The client's end of a pair.
    case client = "c"
    /// The endpoint's end of a pair.
    case endpoint = "e"
    /// The end of a tunnel.
    case remote = "r"

    /// The other end of a pair.
    var other: Segment? {
        switch self {
        case .client: .endpoint
        case .endpoint: .client
        case .remote: nil
        }
    }
}

extension Forwarder {
    typealias Segment = Mesh.Segment

    /// `IFALIASZ` less the NUL.
    private static let longestAlias = 255

    static func alias(_ id: String, _ segment: Segment) -> String { "\(Marks.meshAlias)\(id)/\(segment.rawValue)" }

    /// The marks of a connection.
    static func ownership(of id: String, group: UInt32) -> Ownership {
        Ownership(aliasPrefix: "\(Marks.meshAlias)\(id)/", linkGroup: group, proto: Marks.meshProtocol)
    }

    /// The group of the links of a forwarder: two on a host never take each other's links away. FNV-1a, folded to 16 bits.
    static func group(of owner: String) -> UInt32 {
        let hash = FNV1a.hash32(owner.utf8)
        return Marks.Group.mesh.of(hash >> 16 ^ hash & 0xffff)
    }

    /// The id in a link's alias; nil when the link is not one of a connection.
    static func connectionID(ofAlias alias: String?) -> String? {
        guard let alias, alias.hasPrefix(Marks.meshAlias), alias.utf8.count > 6,
            Segment.allCases.contains(where: { alias.hasSuffix("/\($0.rawValue)") })
        else { return nil }
        return String(alias.dropFirst(4).dropLast(2))
    }

    /// An id that an alias has no room for could not be found again.
    static func check(id: String) throws(ForwarderError) {
        let isPlain = id.utf8.allSatisfy { (0x20..<0x7f).contains($0) }
        guard !id.isEmpty, isPlain, alias(id, .client).utf8.count <= longestAlias else {
            throw ForwarderError(
                "connection \(id.prefix(64))", "an id of 1 to \(longestAlias - 6) ASCII characters is needed")
        }
    }
}
