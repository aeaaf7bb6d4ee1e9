internal import Synchronization

/// Lets a limited number of tasks in at a time; the others wait, those first who came first.
///
/// Hundreds of requests at once share the same few processors: each takes longer than it may, and what was done for it is
/// thrown away. Let in one after another they are all done in the same time.
public final class Gate: Sendable {
    private struct State {
        var free: Int
        var waiting: [(id: UInt64, turn: CheckedContinuation<Bool, Never>)] = []
        var next: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }
    private let state: Mutex<State>
    /// Requests to one peer at once that keep two processors busy.
    public static let requests = 32

    /// Makes a gate that lets `limit` tasks in, at least 1.
    public init(_ limit: Int) { state = Mutex(State(free: max(limit, 1))) }

    /// Waits until there is room, and runs.
    ///
    /// - Throws: what `body` throws; `CancellationError` when the task was cancelled while it waited.
    public func run<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        try await enter()
        defer { leave() }
        return try await body()
    }

    /// How many wait.
    var waitingCount: Int { state.withLock { $0.waiting.count } }

    private func enter() async throws {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let isIn = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.cancelled.remove(id) != nil { return false }
                    if state.free > 0 {
                        state.free -= 1
                        return true
                    }
                    state.waiting.append((id, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
                    state.cancelled.insert(id)
                    return nil as CheckedContinuation<Bool, Never>?
                }
                return state.waiting.remove(at: index).turn
            }
            waiting?.resume(returning: false)
        }
        state.withLock { _ = $0.cancelled.remove(id) }
        guard isIn else { throw CancellationError() }
    }

    private func leave() {
        let next = state.withLock { state in
            if state.waiting.isEmpty {
                state.free += 1
                return nil as CheckedContinuation<Bool, Never>?
            }
            return state.waiting.removeFirst().turn
        }
        next?.resume(returning: true)
    }
}
