internal import NSM
internal import NetworkTypes
internal import Synchronization

/// The addresses and host routes of an agent's connections, so that no service gives a client what another one gave it.
final class AddressBook: Sendable {
    private struct State {
        var byConnection: [String: Set<IPPrefix>] = [:]
    }
    private let state = Mutex(State())

    /// Takes in what a connection has.
    func note(_ connection: NSMConnection) {
        let context = connection.context.ipContext
        var prefixes = Set((context.sourcePrefixes + context.destinationPrefixes).map { IPPrefix(host: $0.address) })
        for route in context.srcRoutes {
            if let prefix = NSMIPContext.prefix(route.prefix), prefix.isHost { prefixes.insert(prefix) }
        }
        state.withLock { $0.byConnection[connection.id] = prefixes.isEmpty ? nil : prefixes }
    }

    /// Forgets a connection that was closed.
    func forget(_ id: String) { state.withLock { $0.byConnection[id] = nil } }

    /// What all connections but one have.
    func excluded(for id: String) -> [IPPrefix] {
        state.withLock { state in
            var all: Set<IPPrefix> = []
            for (other, prefixes) in state.byConnection where other != id { all.formUnion(prefixes) }
            return all.subtracting(state.byConnection[id] ?? []).sorted()
        }
    }
}
