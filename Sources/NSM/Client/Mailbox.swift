internal import Synchronization

/// Keeps what comes until it is taken, for one reader at a time. Unlike a stream it outlives a reader that was cancelled.
final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var reader: (number: UInt64, next: CheckedContinuation<Element?, Never>)?
        var next: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }
    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: With more than this the oldest go.
    init(limit: Int) { self.limit = limit }

    func put(_ element: Element) {
        let reader = state.withLock { state in
            if let reader = state.reader {
                state.reader = nil
                return reader.next as CheckedContinuation<Element?, Never>?
            }
            if state.elements.count >= limit { state.elements.removeFirst() }
            state.elements.append(element)
            return nil
        }
        reader?.resume(returning: element)
    }

    /// The next one; nil when the task was cancelled.
    func next() async -> Element? {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        let element = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Element?? = state.withLock { state in
                    if state.cancelled.remove(number) != nil { return .some(nil) }
                    if !state.elements.isEmpty { return state.elements.removeFirst() }
                    state.reader = (number, continuation)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let reader = state.withLock { state in
                guard let reader = state.reader, reader.number == number else {
                    state.cancelled.insert(number)
                    return nil as CheckedContinuation<Element?, Never>?
                }
                state.reader = nil
                return reader.next
            }
            reader?.resume(returning: nil)
        }
        state.withLock { _ = $0.cancelled.remove(number) }
        return element
    }
}
