internal import Concurrency
internal import Logging
internal import Synchronization

/// Merges failures that repeat: the first is logged, and at growing intervals one more line with a count.
///
/// Two lines are the same when level, message and details are, but for numbers, durations and the transaction. When a
/// line says that the value is done, its next failure is a new one; so is one after a long rest.
final class RepeatedLines: Sendable {
    /// Failures that are remembered; of more the one that was seen least lately is forgotten.
    static let most = 512
    /// How long after a line the same is logged again, nanoseconds; the last interval applies from then on.
    static let intervals: [Int64] = [10, 60, 600, 3600].map { $0 * 1_000_000_000 }

    /// After how long without it a failure is a new one, nanoseconds.
    static let longestRest: Int64 = 300 * 1_000_000_000

    fileprivate struct Failure {
        /// The value that it is about; empty: none.
        var key: String
        /// Nanoseconds of a clock that never goes back.
        var told: Int64
        var seen: Int64
        var count = 0
        var interval = 0
    }

    fileprivate struct State {
        var failures: [String: Failure] = [:]
        /// How many failures are about a key.
        var keys: [String: Int] = [:]

        mutating func remove(_ text: String) {
            guard let old = failures.removeValue(forKey: text) else { return }
            let count = (keys[old.key] ?? 0) - 1
            keys[old.key] = count > 0 ? count : nil
        }
    }

    private let state = Mutex(State())

    /// What to do with a line.
    enum Verdict: Equatable {
        /// It is written.
        case write
        /// It is written, and stands for so many.
        case writeCount(Int)
        /// It is not written.
        case drop
    }

    /// What to do with a line at a time, nanoseconds of a clock that never goes back.
    func verdict(_ level: Logger.Level, _ message: String, _ details: Logger.Metadata, at now: Int64) -> Verdict {
        let key = details["key"].map { "\($0)" } ?? ""
        guard level >= .warning || details["error"] != nil else {
            if !key.isEmpty { forget(key) }
            return .write
        }
        var text = "\(level) \(message)"
        for (name, value) in details.sorted(by: { $0.key < $1.key }) where name != "txn" {
            if case .stringConvertible(let number) = value, number is any Numeric || number is Duration { continue }
            text += "\u{0}\(name)=\(value)"
        }
        return state.withLock { $0.verdict(text, key, now) }
    }

    private func forget(_ key: String) {
        state.withLock { state in
            if state.keys[key] == nil { return }
            for (text, failure) in state.failures where failure.key == key { state.remove(text) }
        }
    }
}

extension RepeatedLines.State {
    fileprivate mutating func verdict(_ text: String, _ key: String, _ now: Int64) -> RepeatedLines.Verdict {
        if let old = failures[text], now - old.seen > RepeatedLines.longestRest { remove(text) }
        guard var failure = failures[text] else {
            if failures.count >= RepeatedLines.most, let oldest = failures.min(by: { $0.value.seen < $1.value.seen }) {
                remove(oldest.key)
            }
            failures[text] = .init(key: key, told: now, seen: now)
            keys[key, default: 0] += 1
            return .write
        }
        failure.count += 1
        failure.seen = now
        let isDue = now - failure.told >= RepeatedLines.intervals[failure.interval]
        let count = failure.count
        if isDue {
            (failure.told, failure.count) = (now, 0)
            failure.interval = min(failure.interval + 1, RepeatedLines.intervals.count - 1)
        }
        failures[text] = failure
        if !isDue { return .drop }
        return count > 1 ? .writeCount(count) : .write
    }
}
