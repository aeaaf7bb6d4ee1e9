internal import Glibc

/// A moment, as nanoseconds since 1970.
///
/// Range: from 1677-09-21 to 2262-04-11. Earlier and later moments are taken as these ends, never as something between: what ends in
/// the year 9999 has not ended.
@frozen public struct Timestamp: Hashable, Comparable, Sendable {
    /// Nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    public var nanoseconds: Int64

    /// A moment by its nanoseconds since 1970.
    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A moment by its seconds since 1970; one beyond the range is taken as the range's end.
    public init(seconds: Int64) { self.init(seconds, 0) }

    /// A moment by seconds since 1970 and nanoseconds to be added to them.
    init(_ seconds: Int64, _ nanoseconds: Int64) {
        self.nanoseconds = Int64(clamping: Int128(seconds) * 1_000_000_000 + Int128(nanoseconds))
    }

    /// A moment as protobuf's `Timestamp` has it; nil when that is none from the year 1 to the year 9999, which is all that it may
    /// be, or its nanoseconds are not those of one second. Source: google/protobuf/timestamp.proto.
    public init?(seconds: Int64, nanos: Int32) {
        guard (-62_135_596_800...253_402_300_799).contains(seconds), (0...999_999_999).contains(nanos) else {
            return nil
        }
        self.init(seconds, Int64(nanos))
    }

    /// The moment as protobuf's `Timestamp` has it: whole seconds, and what is to be added to them, also before 1970.
    public var parts: (seconds: Int64, nanos: Int32) {
        let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return rest < 0 ? (seconds - 1, Int32(rest + 1_000_000_000)) : (seconds, Int32(rest))
    }

    /// The last moment of the range.
    public static let distantFuture = Timestamp(nanoseconds: .max)

    /// Now, by the wall clock.
    public static var now: Timestamp { Timestamp(nanoseconds: read(CLOCK_REALTIME)) }

    /// Whether `left` is earlier.
    @inlinable public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The moment `duration` later; one beyond the range is taken as the range's end.
    public func advanced(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let sum = Int128(nanoseconds) + Int128(seconds) * 1_000_000_000 + Int128(attoseconds / 1_000_000_000)
        return Timestamp(nanoseconds: Int64(clamping: sum))
    }

    /// The time from `other` to this moment.
    public func since(_ other: Timestamp) -> Duration { .nanoseconds(nanoseconds) - .nanoseconds(other.nanoseconds) }

    static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
