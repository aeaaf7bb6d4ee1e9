internal import Concurrency
internal import Synchronization

/// The clients that were asked to come for what they are given now, until they have come.
///
/// What a request is answered with is worked out before the answer is stored. What changes in between is not in it, so its client is
/// to come once more.
final class AskedClients: Sendable {
    private struct State {
        /// Ids of connections by their services.
        var waiting: [String: Set<String>] = [:]
        /// Ids of the requests that are being answered, and whether their answers are of before a change.
        var answers: [String: Bool] = [:]
        /// Those who follow the clients of a service.
        var followers = Broadcast<Void, String, Void>()
    }
    private let state = Mutex(State())

    /// Asks a client to come. Call it after the change, and before telling the client.
    func ask(_ id: String, of service: String) {
        state.withLock { state in
            if state.answers[id] != nil { state.answers[id] = true }
            state.waiting[service, default: []].insert(id)
            state.followers.tell((), on: [service]) { _ in true }
        }
    }

    /// Something has changed for all clients: also for those whose first request is being answered.
    func askAllThatAreAnswered() {
        state.withLock { state in for id in state.answers.keys { state.answers[id] = true } }
    }

    /// A request begins to be answered, by what there is from now on. There is one at a time of a connection.
    func begin(_ id: String) { state.withLock { $0.answers[id] = false } }

    /// The answer is stored. Returns whether its client is to come all the same.
    func end(_ id: String, of service: String) -> Bool {
        state.withLock { state in
            guard state.answers.removeValue(forKey: id) == true else {
                Self.forget(id, service, &state)
                return false
            }
            state.waiting[service, default: []].insert(id)
            state.followers.tell((), on: [service]) { _ in true }
            return true
        }
    }

    /// There is no answer: the client is as it was before.
    func giveUp(_ id: String) { state.withLock { $0.answers[id] = nil } }

    /// A connection is gone.
    func forget(_ id: String, of service: String) { state.withLock { Self.forget(id, service, &$0) } }

    /// Those of a service that have not come yet.
    func waiting(of service: String) -> Set<String> { state.withLock { $0.waiting[service] ?? [] } }

    /// Says, once if some have not come yet, and whenever some are asked, that there are such clients.
    func asks(of service: String) -> AsyncStream<Void> {
        state.withLock { state in
            let isDue = state.waiting[service] != nil
            return state.followers.follow((), on: service, backlog: .newest, from: isDue ? [()] : [])
        }
    }

    private static func forget(_ id: String, _ service: String, _ state: inout State) {
        state.waiting[service]?.remove(id)
        if state.waiting[service]?.isEmpty == true { state.waiting[service] = nil }
    }
}
