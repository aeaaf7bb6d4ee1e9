/// Growing waits between attempts, with jitter so that callers that failed together do not all retry at the same time.
package struct Backoff: Sendable {
    private let first: Duration
    private let limit: Duration
    private var next: Duration

    /// Starts at `first` and doubles up to `limit`.
    package init(first: Duration = .milliseconds(50), limit: Duration = .seconds(2)) {
        self.first = first
        self.limit = limit
        next = first
    }

    /// The next wait: between half of the present step and the whole of it.
    package mutating func wait() -> Duration {
        let wait = next * Double.random(in: 0.5...1)
        next = min(next * 2, limit)
        return wait
    }

    /// Starts again, after a success.
    package mutating func reset() { next = first }
}
