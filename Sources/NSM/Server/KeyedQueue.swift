internal import Synchronization

/// Runs work for one key strictly in turn, and work for different keys side by side.
public final class KeyedQueue: Sendable {
    private struct Line {
        var waiting: [(id: UInt64, turn: CheckedContinuation<Bool, Never>)] = []
    }
    private struct State {
        var lines: [String: Line] = [:]
        var next: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }
    private let state = Mutex(State())

    /// Makes a queue where nothing runs.
    public init() {}

    /// Waits for its turn and runs.
    ///
    /// - Throws: what `body` throws; `CancellationError` when the task was cancelled while it waited.
    public func run<Result: Sendable>(
        _ key: String, _ body: () async throws -> Result
    ) async throws -> Result {
        try await enter(key)
        defer { leave(key) }
        return try await body()
    }

    private func enter(_ key: String) async throws {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let isTurn = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    if state.cancelled.remove(id) != nil { return false }
                    guard state.lines[key] != nil else {
                        state.lines[key] = Line()
                        return true
                    }
                    state.lines[key]?.waiting.append((id, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                let line = state.lines[key]?.waiting.firstIndex { $0.id == id }
                guard let line else {
                    state.cancelled.insert(id)
                    return nil as CheckedContinuation<Bool, Never>?
                }
                return state.lines[key]?.waiting.remove(at: line).turn
            }
            waiting?.resume(returning: false)
        }
        state.withLock { _ = $0.cancelled.remove(id) }
        guard isTurn else { throw CancellationError() }
    }

    private func leave(_ key: String) {
        let next = state.withLock { state in
            guard var line = state.lines[key] else { return nil as CheckedContinuation<Bool, Never>? }
            guard !line.waiting.isEmpty else {
                state.lines[key] = nil
                return nil
            }
            let turn = line.waiting.removeFirst().turn
            state.lines[key] = line
            return turn
        }
        next?.resume(returning: true)
    }
}
