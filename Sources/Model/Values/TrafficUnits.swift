/// Rates, sizes, times and shares in the units of tc(8).
enum TrafficUnits {
    /// A number with a unit, read exactly: `value` of the unit is `digits` divided by `10` to the power of `places`.
    private struct Quantity {
        let digits: UInt64
        /// 10 to the power of the digits behind the point.
        let divisor: UInt64
        let unit: Substring

        /// Reads digits, at most one point, and a unit; nil: it is something else, or has more digits than anybody needs.
        init?(_ text: String) {
            var (digits, divisor): (UInt64, UInt64) = (0, 1)
            var (hasPoint, hasDigit) = (false, false)
            var rest = Substring(text)
            while let character = rest.utf8.first {
                if character == UInt8(ascii: "."), !hasPoint {
                    hasPoint = true
                } else if character &- 48 < 10 {
                    let (product, tooLong) = digits.multipliedReportingOverflow(by: 10)
                    let (sum, tooLarge) = product.addingReportingOverflow(UInt64(character - 48))
                    if tooLong || tooLarge || divisor > 100_000_000 { return nil }
                    digits = sum
                    hasDigit = true
                    if hasPoint { divisor *= 10 }
                } else {
                    break
                }
                rest = rest.dropFirst()
            }
            if !hasDigit { return nil }
            (self.digits, self.divisor, unit) = (digits, divisor, rest)
        }

        /// The number in parts of which a unit has `factor / per`, rounded down; nil: it has no room.
        func times(_ factor: UInt64, per: UInt64 = 1) -> UInt64? {
            let (high, low) = digits.multipliedFullWidth(by: factor)
            let (divisor, isTooLarge) = divisor.multipliedReportingOverflow(by: per)
            guard !isTooLarge, high < divisor else { return nil }
            return divisor.dividingFullWidth((high, low)).quotient
        }
    }

    private static func prefix(_ letters: String) -> UInt64? {
        switch letters {
        case "": 1
        case "k": 1000
        case "m": 1_000_000
        case "g": 1_000_000_000
        case "t": 1_000_000_000_000
        case "ki": 1 << 10
        case "mi": 1 << 20
        case "gi": 1 << 30
        case "ti": 1 << 40
        default: nil
        }
    }

    /// Bytes per second: `10mbit`, `1.5gibit`, `100kbps`; a number alone is bits per second.
    static func rate(_ text: String) -> UInt64? {
        guard let quantity = Quantity(text) else { return nil }
        let unit = quantity.unit.lowercased()
        if unit.isEmpty { return quantity.times(1, per: 8) }
        if unit.hasSuffix("bit") {
            return prefix(String(unit.dropLast(3))).flatMap { quantity.times($0, per: 8) }
        }
        if unit.hasSuffix("bps") { return prefix(String(unit.dropLast(3))).flatMap { quantity.times($0) } }
        return nil
    }

    /// Bytes: `32kb`, `1m`, `800kbit`; a number alone is bytes, and the letters count by 1024.
    static func size(_ text: String) -> UInt64? {
        guard let quantity = Quantity(text) else { return nil }
        var unit = quantity.unit.lowercased()
        var per: UInt64 = 1
        if unit.hasSuffix("bit") {
            unit.removeLast(3)
            per = 8
        } else if unit.hasSuffix("b") {
            unit.removeLast()
        }
        switch unit {
        case "" where per == 1: return quantity.times(1)
        case "k": return quantity.times(1 << 10, per: per)
        case "m": return quantity.times(1 << 20, per: per)
        case "g": return quantity.times(1 << 30, per: per)
        default: return nil
        }
    }

    /// Nanoseconds: `50ms`, `400us`, `1.5s`; a number alone is microseconds.
    static func time(_ text: String) -> UInt64? {
        guard let quantity = Quantity(text) else { return nil }
        switch quantity.unit.lowercased() {
        case "s", "sec", "secs": return quantity.times(1_000_000_000)
        case "ms", "msec", "msecs": return quantity.times(1_000_000)
        case "", "us", "usec", "usecs": return quantity.times(1000)
        case "ns", "nsec", "nsecs": return quantity.times(1)
        default: return nil
        }
    }

    /// Of 4294967295 parts: `0.5%`. tc(8) rounds to the nearest one, too.
    static func share(_ text: String) -> UInt32? {
        guard let quantity = Quantity(text), quantity.unit == "%" else { return nil }
        // Twice the share, so that one more makes the nearest of what is rounded down.
        guard let double = quantity.times(2 * UInt64(UInt32.max), per: 100) else { return nil }
        return UInt32(exactly: double / 2 + double % 2)
    }

    /// The text of a rate in bytes per second, which reads back as the same.
    static func text(rate: UInt64) -> String {
        // Beyond what any line has; bytes are said then.
        let (bits, isTooLarge) = rate.multipliedReportingOverflow(by: 8)
        if isTooLarge { return "\(rate)bps" }
        for (letter, factor) in [("g", UInt64(1_000_000_000)), ("m", 1_000_000), ("k", 1000)]
        where bits >= factor && bits % factor == 0 {
            return "\(bits / factor)\(letter)bit"
        }
        return "\(bits)bit"
    }

    /// The text of a size in bytes, which reads back as the same.
    static func text(size: UInt64) -> String {
        for (letter, factor) in [("mb", UInt64(1 << 20)), ("kb", 1 << 10)] where size >= factor && size % factor == 0 {
            return "\(size / factor)\(letter)"
        }
        return "\(size)b"
    }

    /// The text of a time in nanoseconds, which reads back as the same.
    static func text(time: UInt64) -> String {
        for (unit, factor) in [("s", UInt64(1_000_000_000)), ("ms", 1_000_000), ("us", 1000)]
        where time >= factor && time % factor == 0 {
            return "\(time / factor)\(unit)"
        }
        return "\(time)ns"
    }

    /// The text of a share of 4294967295 parts, which reads back as the same.
    static func text(share: UInt32) -> String {
        // As few digits as say it.
        for places in 0...8 {
            var scale: UInt64 = 100
            for _ in 0..<places { scale *= 10 }
            let (high, low) = UInt64(share).multipliedFullWidth(by: scale)
            let whole = UInt64(UInt32.max).dividingFullWidth((high, low))
            let digits = whole.quotient + (whole.remainder > UInt64(UInt32.max) / 2 ? 1 : 0)
            var text = "\(digits)"
            while text.count <= places { text = "0" + text }
            if places > 0 { text.insert(".", at: text.index(text.endIndex, offsetBy: -places)) }
            if Self.share(text + "%") == share { return text + "%" }
        }
        return "\(share)/\(UInt32.max)"
    }
}
