/// A point in time, nanoseconds since 1970.
///
/// Arithmetic that leaves the range, from the year 1677 to 2262, ends at its bounds.
public struct Timestamp: Hashable, Sendable, Comparable {
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    public var nanoseconds: Int64

    /// Makes a point in time.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Whether `left` is earlier.
    public static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The time `duration` later.
    public func advanced(by duration: Duration) -> Timestamp {
        let (whole, rest) = duration.components
        // Both have the same sign, so a bound that is passed stays passed.
        let (added, isBeyond) = nanoseconds.addingReportingOverflow(Self.saturating(whole, times: 1_000_000_000))
        if isBeyond { return Timestamp(nanoseconds: whole < 0 ? .min : .max) }
        let (sum, isOverflow) = added.addingReportingOverflow(rest / 1_000_000_000)
        return Timestamp(nanoseconds: isOverflow ? (rest < 0 ? .min : .max) : sum)
    }

    /// The time from `other` to this one.
    public func since(_ other: Timestamp) -> Duration {
        let (difference, isOverflow) = nanoseconds.subtractingReportingOverflow(other.nanoseconds)
        return .nanoseconds(isOverflow ? (nanoseconds < 0 ? .min : .max) : difference)
    }

    private static func saturating(_ value: Int64, times factor: Int64) -> Int64 {
        let (product, isOverflow) = value.multipliedReportingOverflow(by: factor)
        return isOverflow ? (value < 0 ? .min : .max) : product
    }
}
