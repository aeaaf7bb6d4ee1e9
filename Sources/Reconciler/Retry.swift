internal import Concurrency
internal import HeapModule

/// When and how often a failed value is tried again.
public struct RetryPolicy: Sendable {
    /// Wait before the first retry; it doubles with each.
    public var firstDelay: Duration
    /// The longest wait.
    public var longestDelay: Duration
    /// Whether failed values are tried again at all.
    public var isEnabled: Bool

    /// Makes a policy. By default 1, 2, 4 … 60 seconds.
    public init(firstDelay: Duration = .seconds(1), longestDelay: Duration = .seconds(60), isEnabled: Bool = true) {
        self.firstDelay = firstDelay
        self.longestDelay = longestDelay
        self.isEnabled = isEnabled
    }

    /// No second try.
    public static let never = RetryPolicy(isEnabled: false)

    /// The wait before try number `attempt`, counted from 1.
    func delay(beforeAttempt attempt: Int) -> Duration {
        min(firstDelay * (1 << min(max(attempt, 1) - 1, 30)), longestDelay)
    }
}

/// Recognises a value that another program changes back again and again.
struct RepairCount {
    /// Repairs within ``window`` that are still no fight.
    static let limit = 10
    /// After this time a repair is forgotten.
    static let window = Duration.seconds(5)
    /// After this time of peace earlier fights are forgotten.
    static let memory = Duration.seconds(60)

    private var start = Timestamp(nanoseconds: 0)
    private var count = 0
    private var fights = 0
    private var pauseEnd = Timestamp(nanoseconds: 0)

    /// Counts a repair. Returns how long to leave the value alone when this has become a fight: 2, 4, 8 … 60 seconds.
    mutating func add(at now: Timestamp) -> Duration? {
        if now.since(start) > Self.window {
            if now.since(pauseEnd) > Self.memory { fights = 0 }
            start = now
            count = 0
        }
        count += 1
        if count <= Self.limit { return nil }
        fights += 1
        count = 0
        start = now
        let pause = min(Duration.seconds(1 << min(fights, 6)), .seconds(60))
        pauseEnd = now.advanced(by: pause)
        return pause
    }
}

/// The times of planned retries, the next one first. An entry that no longer holds is dropped when its turn comes.
struct RetryQueue {
    private struct Entry: Comparable {
        var due: Timestamp
        var id: Int

        static func < (left: Self, right: Self) -> Bool { (left.due, left.id) < (right.due, right.id) }
    }

    private var heap: Heap<Entry> = []

    mutating func add(_ id: Int, due: Timestamp) { heap.insert(Entry(due: due, id: id)) }

    /// Takes the numbers out whose time has come.
    mutating func takeDue(at now: Timestamp) -> [Int] {
        var due: [Int] = []
        while let first = heap.min, first.due <= now {
            due.append(first.id)
            heap.removeMin()
        }
        return due
    }

    /// The first time that `holds`.
    mutating func next(where holds: (_ id: Int, _ due: Timestamp) -> Bool) -> Timestamp? {
        while let first = heap.min {
            if holds(first.id, first.due) { return first.due }
            heap.removeMin()
        }
        return nil
    }
}
