extension Timestamp {
    /// The text of RFC 3339 in UTC with nanoseconds, such as `2026-04-07T08:14:14.123456789Z`.
    public var rfc3339: String { rfc3339(fractionDigits: 9) }

    /// The text of RFC 3339 in UTC, such as `2026-04-07T08:14:14.123Z`.
    ///
    /// - Parameter fractionDigits: Digits of the second's fraction, 1 to 9. What is beyond them is cut off.
    public func rfc3339(fractionDigits: Int) -> String {
        let (seconds, nanos) = parts
        let day = CivilDate.floor(seconds, 86400)
        let date = CivilDate(dayNumber: day)
        let second = seconds - day * 86400
        var text: [UInt8] = []
        text.reserveCapacity(30)
        func add(_ number: Int64, _ count: Int, _ end: Unicode.Scalar) {
            let start = text.count
            text.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: count))
            var rest = number
            for place in (start..<start + count).reversed() {
                text[place] += UInt8(rest % 10)
                rest /= 10
            }
            text.append(UInt8(ascii: end))
        }
        add(date.year, 4, "-")
        add(date.month, 2, "-")
        add(date.day, 2, "T")
        add(second / 3600, 2, ":")
        add(second / 60 % 60, 2, ":")
        add(second % 60, 2, ".")
        let digits = min(max(fractionDigits, 1), 9)
        add((digits..<9).reduce(Int64(nanos)) { number, _ in number / 10 }, digits, "Z")
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads RFC 3339 with any offset and up to nine digits of a fraction; nil when the text is none, or says a day or an hour
    /// that there is not.
    ///
    /// A leap second is read as the second after it.
    public init?(rfc3339 text: String) {
        var rest = text.utf8[...]
        func take(_ characters: StaticString) -> Bool {
            guard let first = rest.first, characters.withUTF8Buffer({ $0.contains(first) }) else { return false }
            rest.removeFirst()
            return true
        }
        func number(_ digits: ClosedRange<Int>) -> (value: Int64, digits: Int)? {
            let word = rest.prefix(digits.upperBound).prefix { (0x30...0x39).contains($0) }
            guard word.count >= digits.lowerBound else { return nil }
            rest = rest.dropFirst(word.count)
            return (word.reduce(0) { $0 * 10 + Int64($1 - 0x30) }, word.count)
        }
        func two(_ range: ClosedRange<Int64>) -> Int64? {
            number(2...2).flatMap { range.contains($0.value) ? $0.value : nil }
        }
        guard let year = number(4...4)?.value, take("-"), let month = two(1...12), take("-"), let day = two(1...31),
            let date = CivilDate(year: year, month: month, day: day), take("Tt "), let hour = two(0...23), take(":"),
            let minute = two(0...59), take(":"), let second = two(0...60)
        else { return nil }
        var nanoseconds: Int64 = 0
        if take(".") {
            guard let fraction = number(1...9) else { return nil }
            nanoseconds = (fraction.digits..<9).reduce(fraction.value) { value, _ in value * 10 }
        }
        var offset: Int64 = 0
        if !take("Zz") {
            let isWest = rest.first == UInt8(ascii: "-")
            guard take("+-"), let hours = two(0...23), take(":"), let minutes = two(0...59) else { return nil }
            offset = (hours * 3600 + minutes * 60) * (isWest ? -1 : 1)
        }
        guard rest.isEmpty else { return nil }
        let seconds = date.dayNumber * 86400 + hour * 3600 + minute * 60 + second - offset
        self.init(seconds, nanoseconds)
    }
}

/// A day of the proleptic Gregorian calendar.
private struct CivilDate: Equatable {
    let year: Int64
    let month: Int64
    let day: Int64

    /// Days of four hundred years, after which the calendar repeats.
    private static let daysOfEra: Int64 = 146_097
    /// From the first of March of the year 0, which years with their leap day at the end count from, to 1970-01-01.
    private static let epoch: Int64 = 719_468

    /// Nil when the day does not exist.
    init?(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
        guard (1...12).contains(month), day > 0, CivilDate(dayNumber: dayNumber) == self else { return nil }
    }

    /// - Parameter dayNumber: Counted from 1970-01-01.
    init(dayNumber: Int64) {
        let shifted = dayNumber + Self.epoch
        let era = Self.floor(shifted, Self.daysOfEra)
        let dayOfEra = shifted - era * Self.daysOfEra
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let part = (5 * dayOfYear + 2) / 153
        month = part < 10 ? part + 3 : part - 9
        day = dayOfYear - (153 * part + 2) / 5 + 1
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Counted from 1970-01-01.
    var dayNumber: Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = Self.floor(shifted, 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * Self.daysOfEra + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - Self.epoch
    }

    /// The quotient that is not greater than the true one.
    static func floor(_ number: Int64, _ divisor: Int64) -> Int64 {
        number / divisor - (number % divisor < 0 ? 1 : 0)
    }
}
