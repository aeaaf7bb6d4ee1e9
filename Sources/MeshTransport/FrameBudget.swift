internal import NIOCore
internal import Synchronization

/// How many frames a peer may send that carry no work, such as PING or WINDOW_UPDATE.
///
/// Frames that carry work, in either direction, earn it others: honest peers send a PING and two window updates with each
/// message at most, however fast they are. Without work there is an allowance by time.
struct FrameBudget {
    /// What each frame with work earns.
    private static let earnings = 4

    /// Without work: at once, and in a second.
    private let burst: Int
    private let rate: Int
    private var earned = 0
    private var allowance: Int
    /// When the allowance was last filled up.
    private var filled: NIODeadline

    init(burst: Int, rate: Int, now: NIODeadline = .now()) {
        self.burst = burst
        self.rate = rate
        allowance = burst
        filled = now
    }

    /// A frame with work came or went.
    mutating func earn() { earned = min(earned + Self.earnings, burst) }

    /// Takes the cost of a frame from what was earned; false when that does not suffice.
    mutating func spendEarned(_ cost: Int) -> Bool {
        guard earned >= cost else { return false }
        earned -= cost
        return true
    }

    /// Takes the cost of a frame from what time allows; false when that does not suffice.
    mutating func spendAllowance(_ cost: Int, now: @autoclosure () -> NIODeadline = .now()) -> Bool {
        if allowance < cost {
            let now = now()
            let seconds = Double((now - filled).nanoseconds) / 1e9
            allowance = min(burst, allowance + Int(min(seconds * Double(rate), Double(burst))))
            filled = now
        }
        guard allowance >= cost else { return false }
        allowance -= cost
        return true
    }
}

/// What all connections of one peer may send together without work.
final class SharedFrameBudget: Sendable {
    private let budget: Mutex<FrameBudget>
    init(burst: Int, rate: Int) { budget = Mutex(FrameBudget(burst: burst, rate: rate)) }
    func spend(_ cost: Int) -> Bool { budget.withLock { $0.spendAllowance(cost) } }
}
