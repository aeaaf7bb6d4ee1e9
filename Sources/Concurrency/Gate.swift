internal import Synchronization

/// Lets a limited number of tasks in at a time; the others wait, those first who came first.
///
/// Hundreds of requests at once share the same few processors: each takes longer than it may, and what was done for it is
/// thrown away. Let in one after another they are all done in the same time.
package final class Gate: Sendable {
    private struct State {
        var free: Int
        var waiting: [Promise<Bool>] = []
    }
    private let state: Mutex<State>
    /// Requests to one peer at once that keep two processors busy.
    package static let requests = 32

    /// Makes a gate that lets `limit` tasks in, at least 1.
    package init(_ limit: Int) { state = Mutex(State(free: max(limit, 1))) }

    /// How many wait.
    package var waiting: Int { state.withLock { $0.waiting.count } }

    /// Whether the next one would have to wait.
    package var isFull: Bool { state.withLock { $0.free == 0 } }

    /// Waits until there is room, and runs.
    ///
    /// - Throws: what `body` throws; `CancellationError` when the task was cancelled while it waited.
    package func run<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        try await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async throws {
        try Task.checkCancellation()
        let turn = state.withLock { state -> Promise<Bool>? in
            if state.free > 0 {
                state.free -= 1
                return nil
            }
            let turn = Promise<Bool>()
            state.waiting.append(turn)
            return turn
        }
        guard let turn, await !turn.value(orIfCancelled: false) else { return }
        state.withLock { $0.waiting.removeAll { $0 === turn } }
        throw CancellationError()
    }

    private func leave() {
        state.withLock { state in
            // Who gave up meanwhile has no use for the turn.
            while !state.waiting.isEmpty { if state.waiting.removeFirst().keep(true) { return } }
            state.free += 1
        }
    }
}
