package import NetworkTypes
internal import Synchronization

/// Addresses that connections of an earlier life may still have: those of the endpoint, each with the one behind it, the client's.
///
/// Clients come back after others, so nobody else gets these as long as there is something else. Who comes with one of them gets it,
/// and then it is as any other.
package final class SparedAddresses: Sendable {
    private struct State {
        var own: Set<IPAddress>
        /// Both addresses of each; nil: not worked out since there was a change.
        var all: PrefixSet?
        /// When to look next which are still there.
        var due: ContinuousClock.Instant?
    }
    private let state: Mutex<State>
    private let isThere: @Sendable (IPAddress) -> Bool
    /// How long it is believed what is still there: to look is the work of all of them, and clients may come in a burst.
    static let age = Duration.seconds(1)

    /// Takes up what there is.
    ///
    /// - Parameters:
    ///   - own: The endpoint's addresses.
    ///   - isThere: Whether one of these still is; one that is not is spared no more.
    package init(_ own: some Sequence<IPAddress>, where isThere: @escaping @Sendable (IPAddress) -> Bool) {
        state = Mutex(State(own: Set(own)))
        self.isThere = isThere
    }

    /// Those that are to be spared.
    package func addresses(at now: ContinuousClock.Instant = .now) -> PrefixSet {
        state.withLock { state in
            if !state.own.isEmpty, state.due.map({ $0 <= now }) ?? true {
                state.due = now + Self.age
                let there = state.own.filter(isThere)
                if there.count < state.own.count { (state.own, state.all) = (there, nil) }
            }
            if let all = state.all { return all }
            let all = PrefixSet(state.own.flatMap { [IPPrefix(host: $0), IPPrefix(host: $0.successor)] })
            state.all = all
            return all
        }
    }

    /// Somebody has these now.
    func take(_ pair: PointToPointIPAM.Pair) {
        state.withLock { state in
            for address in [pair.destination, pair.source.predecessor] where state.own.remove(address) != nil {
                state.all = nil
            }
        }
    }
}
