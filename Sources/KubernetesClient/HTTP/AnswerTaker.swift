internal import Concurrency
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

/// Takes the parts of one answer, on the connection's thread.
protocol AnswerTaker: Sendable {
    /// - Returns: How long the rest may take.
    func take(_ head: HTTPResponseHead) -> Duration
    /// - Throws: when that is more than is taken; the connection ends then.
    func take(_ part: ByteBuffer) throws(KubernetesError)
    func end()
    func fail(_ error: KubernetesError)
    /// Whether parts are only read from the connection when they are asked for.
    var asksForParts: Bool { get }
}

/// Collects an answer as a whole.
final class WholeAnswer: AnswerTaker {
    private let limit: Int
    private let rest: Duration
    private let answer = Mutex<HTTPAnswer?>(nil)
    /// What came of it.
    let result = Promise<Result<HTTPAnswer, KubernetesError>>()

    init(limit: Int, rest: Duration) {
        self.limit = limit
        self.rest = rest
    }

    var asksForParts: Bool { false }

    /// Whether the server has said anything.
    var hasBegun: Bool { answer.withLock { $0 != nil } }

    func take(_ head: HTTPResponseHead) -> Duration {
        answer.withLock { $0 = HTTPAnswer(head) }
        return rest
    }

    func take(_ part: ByteBuffer) throws(KubernetesError) {
        let isTooLong = answer.withLock { answer in
            answer?.body.append(contentsOf: part.readableBytesView)
            return answer.map { $0.body.count > limit } ?? false
        }
        if isTooLong { throw KubernetesError(.tooLarge, "the server's answer is longer than \(limit) bytes") }
    }

    func end() {
        if let answer = answer.withLock({ $0.take() }) { result.keep(.success(answer)) }
    }

    func fail(_ error: KubernetesError) { result.keep(.failure(error)) }
}

/// Splits an answer into lines, which are read from the connection as they are asked for.
final class LineAnswer: AnswerTaker {
    private struct State {
        var answer: HTTPAnswer?
        var lines: [[UInt8]] = []
        var next = 0
        var partial: [UInt8] = []
        var outcome: Result<Void, KubernetesError>?
        var reader: Promise<Void>?
    }

    private let limit: Int
    private let rest: Duration
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: The longest line.
    ///   - rest: How long the answer may last.
    init(limit: Int, rest: Duration) {
        self.limit = limit
        self.rest = rest
    }

    var asksForParts: Bool { true }

    func take(_ head: HTTPResponseHead) -> Duration {
        state.withLock { state in
            state.answer = HTTPAnswer(head)
            wake(&state)
        }
        return rest
    }

    func take(_ part: ByteBuffer) throws(KubernetesError) {
        let isTooLong = state.withLock { state in
            guard state.answer?.status == 200 else {
                state.answer?.body.append(contentsOf: part.readableBytesView)
                return (state.answer?.body.count ?? 0) > limit
            }
            var view = part.readableBytesView
            while let end = view.firstIndex(of: UInt8(ascii: "\n")) {
                state.partial.append(contentsOf: view[..<end])
                if state.partial.count > limit { return true }
                if !state.partial.isEmpty { state.lines.append(state.partial) }
                state.partial = []
                view = view[(end + 1)...]
            }
            state.partial.append(contentsOf: view)
            if !state.lines.isEmpty { wake(&state) }
            return state.partial.count > limit
        }
        if isTooLong { throw KubernetesError(.tooLarge, "an object that is watched is longer than \(limit) bytes") }
        // Half a line is of no use to the waiting reader.
    }

    /// Waits for the start of the server's answer; false: there is none, or it is not a success.
    func hasBegunWell() async -> Bool {
        let turn = Promise<Void>()
        let isWaiting = state.withLock { state in
            if state.answer != nil || state.outcome != nil { return false }
            state.reader = turn
            return true
        }
        if isWaiting { await turn.value(orIfCancelled: ()) }
        return state.withLock { $0.answer?.status == 200 }
    }

    func end() {
        state.withLock { state in
            if let answer = state.answer, answer.status != 200 {
                finish(&state, .failure(answer.error))
            } else {
                finish(&state, .success(()))
            }
        }
    }

    func fail(_ error: KubernetesError) { state.withLock { finish(&$0, .failure(error)) } }

    private func finish(_ state: inout State, _ outcome: Result<Void, KubernetesError>) {
        if state.outcome == nil { state.outcome = outcome }
        wake(&state)
    }

    private func wake(_ state: inout State) { state.reader.take()?.keep(()) }

    /// Whether somebody waits for more than is there.
    var isHungry: Bool { state.withLock { $0.reader != nil } }

    /// The next line; nil: the answer ended, or the task was cancelled.
    ///
    /// - Parameter read: Reads more from the connection.
    func next(_ read: () -> Void) async throws(KubernetesError) -> [UInt8]? {
        while !Task.isCancelled {
            let turn = Promise<Void>()
            let step = state.withLock { state -> Result<[UInt8]?, KubernetesError>? in
                if state.next < state.lines.count {
                    defer { state.next += 1 }
                    return .success(state.lines[state.next])
                }
                state.lines.removeAll(keepingCapacity: true)
                state.next = 0
                switch state.outcome {
                case .success: return .success(nil)
                case .failure(let error): return .failure(error)
                case nil: break
                }
                state.reader = turn
                return nil
            }
            if let step { return try step.get() }
            read()
            await turn.value(orIfCancelled: ())
        }
        return nil
    }
}
