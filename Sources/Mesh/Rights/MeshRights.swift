internal import MeshTransport
public import NetworkTypes
internal import SPIFFE

/// Whom a peer must be, in the words of an option.
public enum PeerPattern: Hashable, Sendable, CustomStringConvertible {
    /// All peers.
    case any
    /// This host's root: user 0 whose socket was made in the mesh's own network namespace.
    case root
    /// A user of this host, in whatever network namespace.
    case user(UInt32)
    /// The users of a group, in whatever network namespace.
    case group(UInt32)
    /// A SPIFFE id, in which `*` stands for anything.
    case id(String)

    /// Reads `any`, `root`, `uid:1000`, `gid:100` or `spiffe://…`; nil when it is none of them.
    public init?(_ text: String) {
        switch text {
        case "any": self = .any
        case "root": self = .root
        default:
            if text.hasPrefix("spiffe://"), text.utf8.count > 9, text.utf8.count <= 2048 {
                self = .id(text)
            } else if text.hasPrefix("uid:"), let number = UInt32(text.dropFirst(4)) {
                self = .user(number)
            } else if text.hasPrefix("gid:"), let number = UInt32(text.dropFirst(4)) {
                self = .group(number)
            } else {
                return nil
            }
        }
    }

    /// As it is written.
    public var description: String {
        switch self {
        case .any: "any"
        case .root: "root"
        case .user(let number): "uid:\(number)"
        case .group(let number): "gid:\(number)"
        case .id(let pattern): pattern
        }
    }

    /// Whether a process, or an identity that was verified, is meant.
    func matches(_ credentials: PeerCredentials?, id: SPIFFEID? = nil) -> Bool {
        switch self {
        case .any: true
        case .root: credentials?.isHostRoot ?? false
        case .user(let number): credentials?.uid == number
        case .group(let number): credentials.map { $0.gid == number || $0.groups.contains(number) } ?? false
        case .id(let pattern): id.map { SPIFFEID.matches(pattern, $0.description) } ?? false
        }
    }
}

/// Who may do what with a mesh, as its operator says it.
public struct MeshRights: Hashable, Sendable {
    /// Whether all users of this host are served; otherwise its root and who is allowed.
    public var isOpen = false
    /// Users and groups that are served beside root.
    public var allowed: [PeerPattern] = []
    /// Who may offer a service, by its name; `*` stands for those that are not named.
    public var offers: [String: [PeerPattern]] = [:]
    /// Patterns of the SPIFFE ids of managers and forwarders, beside those whose authority is a host's mesh.
    public var managers: [String] = []
    /// Where tunnels of other managers may start or end, beside the address that they speak from.
    public var tunnelSources: [IPPrefix] = []
    /// Whether connections may end in the mesh's own network namespace as in any other: also those of users who are not
    /// root, with default routes, rules for all packets and changed sysctls.
    public var usesHostNetwork = false

    /// Serves this host's root alone.
    public init() {}
}
