internal import NSM
internal import NetworkTypes
internal import Synchronization

/// The addresses and host routes of an agent's connections, so that no service gives a client what another one gave it.
final class AddressBook: Sendable {
    private struct State {
        var byConnection: [String: Set<IPAddress>] = [:]
        /// How many connections have an address.
        var counts: [IPAddress: Int] = [:]
        /// All of them, in the fewest prefixes.
        var all = PrefixSet([])
    }
    private let state = Mutex(State())

    /// Takes in what a connection has.
    func note(_ connection: NSMConnection) {
        let context = connection.context.ipContext
        var hosts = Set((context.sourcePrefixes + context.destinationPrefixes).map(\.address))
        for route in context.srcRoutes {
            if let prefix = NSMIPContext.prefix(route.prefix), prefix.isHost { hosts.insert(prefix.address) }
        }
        set(hosts, for: connection.id)
    }

    /// Forgets a connection that was closed.
    func forget(_ id: String) { set([], for: id) }

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

    /// What all connections but one have, in few prefixes: services give out addresses that follow each other, and a list of
    /// all of them in every request would grow with the square of their number.
    func excluded(for id: String) -> [IPPrefix] {
        state.withLock { state in
            var rest = state.all
            for host in state.byConnection[id] ?? [] { rest.remove(host) }
            return rest.prefixes
        }
    }
}
