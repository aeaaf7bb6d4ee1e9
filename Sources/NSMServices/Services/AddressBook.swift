internal import NSM
internal import NetworkTypes
internal import Synchronization

/// The addresses and host routes of an agent's connections, so that no service gives a client what another one gave it.
final class AddressBook: Sendable {
    private struct State {
        var byConnection: [String: Set<IPAddress>] = [:]
        /// The groups of those that are in one.
        var groups: [String: Int] = [:]
        /// How many connections have an address.
        var counts: [IPAddress: Int] = [:]
        /// All of them, in the fewest prefixes.
        var all = PrefixSet([])
    }
    private let state = Mutex(State())

    /// Takes in what a connection has.
    ///
    /// - Parameters:
    ///   - group: Those of one group may have the same; nil: it is in none.
    ///   - isWithRoutes: Whether routes to single addresses count, too. What another endpoint leads us to need not be its own.
    func note(_ connection: NSMConnection, group: Int? = nil, isWithRoutes: Bool = true) {
        state.withLock { $0.groups[connection.id] = group }
        let context = connection.context.ipContext
        var hosts = Set((context.sourcePrefixes + context.destinationPrefixes).map(\.address))
        for route in isWithRoutes ? context.srcRoutes : [] {
            if let prefix = NSMIPContext.prefix(route.prefix), prefix.isHost { hosts.insert(prefix.address) }
        }
        set(hosts, for: connection.id)
    }

    /// Forgets a connection that was closed.
    func forget(_ id: String) {
        set([], for: id)
        state.withLock { $0.groups[id] = nil }
    }

    private func set(_ hosts: Set<IPAddress>, for id: String) {
        state.withLock { state in
            let old = state.byConnection[id] ?? []
            if old == hosts { return }
            state.byConnection[id] = hosts.isEmpty ? nil : hosts
            for host in old.subtracting(hosts) {
                let count = (state.counts[host] ?? 0) - 1
                state.counts[host] = count > 0 ? count : nil
                if count <= 0 { state.all.remove(host) }
            }
            for host in hosts.subtracting(old) {
                state.counts[host, default: 0] += 1
                state.all.insert(host)
            }
        }
    }

    /// What all connections but one, and those of its group, have. In few prefixes: services give out addresses that follow each
    /// other, and a list of all of them in every request would grow with the square of their number.
    func excluded(for id: String, group: Int? = nil) -> [IPPrefix] {
        state.withLock { state in
            let known = group.map { group in state.groups.filter { $0.value == group }.map(\.key) } ?? []
            var own = state.byConnection[id] ?? []
            if known.isEmpty {
                var rest = state.all
                for host in own { rest.remove(host) }
                return rest.prefixes
            }
            var counts: [IPAddress: Int] = [:]
            for other in Set(known).union([id]) {
                for host in state.byConnection[other] ?? [] { counts[host, default: 0] += 1 }
            }
            // What somebody outside has as well stays excluded, unless it is our own.
            own.formUnion(counts.filter { state.counts[$0.key] == $0.value }.keys)
            var rest = state.all
            for host in own { rest.remove(host) }
            return rest.prefixes
        }
    }
}
