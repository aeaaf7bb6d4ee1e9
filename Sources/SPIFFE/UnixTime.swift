/// Identities after the SPIFFE standards: SPIFFE ids, X.509 documents and their trust bundles, tokens signed with them, and
/// the Workload API, as a client and as a service.
///
/// Knows no transport but gRPC's, and nothing of the mesh.

internal import Glibc

/// A moment of the wall clock.
public struct UnixTime: Hashable, Comparable, Sendable {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    public var nanoseconds: Int64

    /// A moment by its nanoseconds since 1970.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A moment by its seconds since 1970; those beyond the year 2262 are taken as that end.
    public init(seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        nanoseconds = overflow ? (seconds < 0 ? .min : .max) : product
    }

    /// Now.
    public static var now: UnixTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UnixTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// The moment after a duration.
    public func adding(_ duration: Duration) -> UnixTime {
        let (seconds, attoseconds) = duration.components
        let (scaled, tooLong) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (step, stepTooLong) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        let (sum, overflow) = nanoseconds.addingReportingOverflow(step)
        return UnixTime(
            nanoseconds: tooLong || stepTooLong || overflow ? (duration < .zero ? .min : .max) : sum)
    }

    /// The time from `other` to this moment.
    public func duration(since other: UnixTime) -> Duration {
        .nanoseconds(nanoseconds) - .nanoseconds(other.nanoseconds)
    }

    /// Earlier moments come first.
    public static func < (left: UnixTime, right: UnixTime) -> Bool { left.nanoseconds < right.nanoseconds }

    // MARK: - RFC 3339

    /// The text of RFC 3339 in UTC with nanoseconds, such as `2026-04-07T08:14:14.123456789Z`.
    public var rfc3339: String {
        var seconds = nanoseconds / 1_000_000_000
        var fraction = nanoseconds % 1_000_000_000
        if fraction < 0 {
            fraction += 1_000_000_000
            seconds -= 1
        }
        var days = seconds / 86400
        var second = seconds % 86400
        if second < 0 {
            second += 86400
            days -= 1
        }
        let (year, month, day) = Self.date(ofDay: days)
        func digits(_ value: Int64, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        return "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))T\(digits(second / 3600, 2)):"
            + "\(digits(second / 60 % 60, 2)):\(digits(second % 60, 2)).\(digits(fraction, 9))Z"
    }

    /// Reads RFC 3339 with any offset and up to nine digits of a fraction; nil when the text is none.
    public init?(rfc3339 text: String) {
        var rest = Substring(text)[...]
        func number(_ count: Int) -> Int64? {
            let word = rest.prefix(count)
            guard word.utf8.count == count, word.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            rest = rest.dropFirst(count)
            return Int64(word)
        }
        func take(_ characters: String) -> Bool {
            guard let first = rest.first, characters.contains(first) else { return false }
            rest = rest.dropFirst()
            return true
        }
        guard let year = number(4), take("-"), let month = number(2), take("-"), let day = number(2), take("Tt "),
            let hour = number(2), take(":"), let minute = number(2), take(":"), let second = number(2),
            (1...12).contains(month), day > 0, Self.date(ofDay: Self.day(year, month, day)) == (year, month, day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var fraction: Int64 = 0
        if take(".") {
            let word = rest.prefix { $0.isASCII && $0.isNumber }
            guard (1...9).contains(word.count), let value = Int64(word) else { return nil }
            fraction = value
            for _ in word.count..<9 { fraction *= 10 }
            rest = rest.dropFirst(word.count)
        }
        var offset: Int64 = 0
        if !take("Zz") {
            let isWest = rest.first == "-"
            guard take("+-"), let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60 else {
                return nil
            }
            offset = (hours * 3600 + minutes * 60) * (isWest ? -1 : 1)
        }
        guard rest.isEmpty else { return nil }
        let seconds = Self.day(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
        self.init(seconds: seconds)
        self = adding(.nanoseconds(fraction))
    }

    /// The number of a day of the proleptic Gregorian calendar, counted from 1970-01-01.
    private static func day(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        // Years that start in March end with the leap day.
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func date(ofDay number: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = number + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        let month = part < 10 ? part + 3 : part - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * part + 2) / 5 + 1)
    }
}
