/// Times as Go writes them, which is how stock clients are configured: `300ms`, `1m30s`, `1.5h`.
package enum GoDuration {
    /// Nanoseconds in a unit. Source: `time.ParseDuration`; both spellings of the micro sign.
    private static let units: [Substring: Double] = [
        "ns": 1, "us": 1e3, "\u{b5}s": 1e3, "\u{3bc}s": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]

    /// Nil when the text is not a Go duration. Negative durations are not accepted.
    package static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix(while: isPartOfNumber)
            guard digits.contains(where: { $0 != "." }), let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !isPartOfNumber($0) }
            guard let factor = units[unit] else { return nil }
            rest = rest.dropFirst(unit.count)
            total += number * factor
        }
        return total < 9e18 ? .nanoseconds(Int64(total.rounded())) : nil
    }

    private static func isPartOfNumber(_ character: Character) -> Bool { "0"..."9" ~= character || character == "." }
}
