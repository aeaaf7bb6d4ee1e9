internal import Synchronization

/// Keeps what comes until it is taken, for one reader at a time. Unlike a stream it outlives a reader that was cancelled.
package final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var reader: Promise<Element?>?
    }
    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: With more than this the oldest go.
    package init(limit: Int) { self.limit = limit }

    /// Hands an element to the reader, or keeps it for the next one.
    package func put(_ element: Element) {
        state.withLock { state in
            // A reader that gave up meanwhile does not take it along.
            if let reader = state.reader.take(), reader.keep(element) { return }
            if state.elements.count >= limit { state.elements.removeFirst() }
            state.elements.append(element)
        }
    }

    /// The next one; nil when the task was cancelled.
    package func next() async -> Element? {
        if Task.isCancelled { return nil }
        let turn = Promise<Element?>()
        state.withLock { state in
            if state.elements.isEmpty { state.reader = turn } else { turn.keep(state.elements.removeFirst()) }
        }
        let element = await turn.value(orIfCancelled: nil)
        if element == nil { state.withLock { if $0.reader === turn { $0.reader = nil } } }
        return element
    }
}
