internal import Glibc

/// A clock that never jumps: time since boot, counted from the wall clock's value at the first reading.
///
/// Retries depend on it, so that they are neither late nor early when the wall clock is set; what is shown to people is
/// translated with ``wallTime(of:)``.
package struct SteadyClock: Sendable {
    private let offset: Int64

    /// Starts from the wall clock.
    package init() { offset = Timestamp.read(CLOCK_REALTIME) - Timestamp.read(CLOCK_BOOTTIME) }

    /// Now.
    package var now: Timestamp { Timestamp(nanoseconds: Timestamp.read(CLOCK_BOOTTIME) + offset) }

    /// The same moment on the wall clock as it is set now.
    package func wallTime(of time: Timestamp) -> Timestamp {
        let current = Timestamp.read(CLOCK_REALTIME) - Timestamp.read(CLOCK_BOOTTIME)
        return time.advanced(by: .nanoseconds(current - offset))
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`, as service managers want it.
    package static var monotonic: Int64 { Timestamp.read(CLOCK_MONOTONIC) }
}
