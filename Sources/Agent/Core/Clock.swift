internal import Glibc
public import Reconciler

/// A clock that never jumps: time since boot, counted from the wall clock's value at the first reading.
///
/// Retries depend on it, so that they are neither late nor early when the wall clock is set; what is shown to people is
/// translated with ``wallTime(of:)``.
public struct Clock: Sendable {
    private let offset: Int64

    /// Starts from the wall clock.
    public init() {
        offset = Self.read(CLOCK_REALTIME) - Self.read(CLOCK_BOOTTIME)
    }

    /// Now.
    public var now: Timestamp { Timestamp(nanoseconds: Self.read(CLOCK_BOOTTIME) + offset) }

    /// The same moment on the wall clock as it is set now.
    public func wallTime(of time: Timestamp) -> Timestamp {
        let current = Self.read(CLOCK_REALTIME) - Self.read(CLOCK_BOOTTIME)
        return Timestamp(nanoseconds: time.nanoseconds + current - offset)
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`, as service managers want it.
    static var monotonic: Int64 { read(CLOCK_MONOTONIC) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
