internal import MeshTransport

/// Counts connections by who made them, so that nobody takes all of them.
struct ConnectionCount: Sendable {
    /// Who shares a limit.
    enum Group: Sendable, Hashable {
        /// A user of this host, whatever address he uses.
        case user(UInt32)
        /// An address, or a network of IPv6.
        case address(String)
        /// Nothing is known.
        case unknown

        init(user: UInt32?, address: String?) {
            if let user {
                self = .user(user)
                return
            }
            self = address.map { .address(PeerNetwork.name(of: $0)) } ?? .unknown
        }

        /// Whether it may use what is kept free for it.
        var isRoot: Bool {
            switch self {
            case .user(let user): AgentUser.isTrusted(user)
            case .address, .unknown: false
            }
        }
    }

    /// Connections beyond the limit that only root can have, so that he can see why there are so many.
    static let reserve = 32
    private let limits: RESTSettings.Limits
    private var groups: [Group: Int] = [:]
    private var all = 0

    init(_ limits: RESTSettings.Limits) { self.limits = limits }

    /// Whether there is room for another one, which is then counted.
    mutating func begin(_ group: Group) -> Bool {
        guard all < limits.connections + (group.isRoot ? Self.reserve : 0),
            groups[group, default: 0] < limits.peerConnections
        else { return false }
        groups[group, default: 0] += 1
        all += 1
        return true
    }

    mutating func end(_ group: Group) {
        all -= 1
        let rest = groups[group, default: 0] - 1
        groups[group] = rest > 0 ? rest : nil
    }
}
