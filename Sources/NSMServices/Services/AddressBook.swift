internal import NSM
internal import NetworkTypes
internal import Synchronization

/// The addresses and host routes of an agent's connections, so that no service gives a client what another one gave it.
final class AddressBook: Sendable {
    private struct State {
        var byConnection: [String: Set<IPPrefix>] = [:]
        /// All of them in the fewest prefixes; nil: to be worked out.
        var merged: [IPPrefix]?
    }
    private let state = Mutex(State())

    /// Takes in what a connection has.
    func note(_ connection: NSMConnection) {
        let context = connection.context.ipContext
        var prefixes = Set((context.sourcePrefixes + context.destinationPrefixes).map { IPPrefix(host: $0.address) })
        for route in context.srcRoutes {
            if let prefix = NSMIPContext.prefix(route.prefix), prefix.isHost { prefixes.insert(prefix) }
        }
        set(prefixes.isEmpty ? nil : prefixes, for: connection.id)
    }

    /// Forgets a connection that was closed.
    func forget(_ id: String) { set(nil, for: id) }

    private func set(_ prefixes: Set<IPPrefix>?, for id: String) {
        state.withLock { state in
            guard state.byConnection[id] != prefixes else { return }
            state.byConnection[id] = prefixes
            state.merged = nil
        }
    }

    /// What all connections but one have, in few prefixes: services give out addresses that follow each other, and a list of
    /// all of them in every request would grow with the square of their number.
    func excluded(for id: String) -> [IPPrefix] {
        let (all, own) = state.withLock { state in
            let all = state.merged ?? IPPrefix.merged(state.byConnection.values.lazy.joined())
            state.merged = all
            return (all, state.byConnection[id] ?? [])
        }
        return own.reduce(into: all) { rest, host in
            guard let index = rest.firstIndex(where: { $0.contains(host.address) }) else { return }
            rest.replaceSubrange(index...index, with: rest[index].without(host.address))
        }
    }
}
