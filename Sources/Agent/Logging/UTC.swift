internal import Glibc

/// Times as text, in UTC: `2026-11-22T21:00:00.123Z`.
public enum UTC {
    /// Now.
    public static var now: String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return text(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
    }

    /// Whole seconds since 1970.
    public static var seconds: Int64 { Int64(time(nil)) }

    /// A time since 1970.
    public static func text(seconds: Int64, nanoseconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        let date = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        let milliseconds = Int32(nanoseconds / 1_000_000)
        return "\(date)T\(clock).\(milliseconds / 100)\(two(milliseconds % 100))Z"
    }

    private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
