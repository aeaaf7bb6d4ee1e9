internal import NetworkTypes

/// Which servers did not answer lately.
struct ServerHealth: Sendable {
    private var failures: [IPAddress: Int] = [:]

    /// So many times in a row don't happen by accident.
    static let limit = 3

    /// Whether a server did not answer lately.
    func isDoubtful(_ server: IPAddress) -> Bool { failures[server, default: 0] >= Self.limit }

    /// How many did not.
    var doubtful: Int { failures.values.reduce(0) { $0 + ($1 >= Self.limit ? 1 : 0) } }

    /// Takes in whether a server answered anything.
    mutating func note(_ server: IPAddress, isAlive: Bool) {
        failures[server] = isAlive ? nil : min(failures[server, default: 0], Self.limit) + 1
    }

    /// Forgets all others.
    mutating func keep(_ servers: Set<IPAddress>) { failures = failures.filter { servers.contains($0.key) } }
}
