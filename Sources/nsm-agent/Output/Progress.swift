internal import Agent
internal import Glibc
internal import Reconciler

/// One line on the terminal that changes as work goes on; nothing at all when it is done quickly.
final class Progress {
    private static let patience: Duration = .milliseconds(400)
    private static let interval: Duration = .milliseconds(100)

    private let start = ContinuousClock.now
    private var last: ContinuousClock.Instant?

    /// Shows how much is done.
    func show(_ done: Int, of total: Int) {
        show("applying \(done) of \(total)")
    }

    /// Shows what is waited for.
    func wait(for counts: [ValueState: Int], until rest: Duration) {
        let pending = counts.filter { HostNetwork.mayImprove($0.key) }.values.reduce(0, +)
        show("waiting for \(Text.count(pending, "value")), \(rest.components.seconds) s left")
    }

    private func show(_ text: String) {
        let now = ContinuousClock.now
        guard now - start > Self.patience else { return }
        if let last, now - last < Self.interval { return }
        last = now
        Failure.write("\r\u{1b}[K\(text)")
    }

    /// Takes the line away.
    func clear() {
        if last != nil { Failure.write("\r\u{1b}[K") }
        last = nil
    }
}
