internal import Glibc

/// Counts connections by who made them, so that nobody takes all of them.
struct ConnectionCount: Sendable {
    /// Who shares a limit.
    enum Group: Sendable, Hashable {
        /// A user of this host, whatever address he uses.
        case user(UInt32)
        /// An address, of IPv6 the first half: a host has all of the other half.
        case address([UInt8])
        /// Nothing is known.
        case unknown

        init(user: UInt32?, address: String?) {
            if let user {
                self = .user(user)
                return
            }
            guard let address else {
                self = .unknown
                return
            }
            var bytes = in6_addr()
            let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
            guard inet_pton(AF_INET6, address, &bytes) == 1 else {
                self = .address(Array(address.utf8))
                return
            }
            let all = withUnsafeBytes(of: bytes) { Array($0) }
            self = .address(all.starts(with: mapped) ? all : Array(all.prefix(8)))
        }

        /// Whether it may use what is kept free for it.
        var isRoot: Bool {
            switch self {
            case .user(let user): user == 0 || user == geteuid()
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
