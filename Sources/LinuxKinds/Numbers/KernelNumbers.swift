internal import Model

/// Words of the model and the kernel's numbers for them: one table, read both ways.
struct KernelNumbers<Word: Hashable & Sendable, Number: Hashable & Sendable>: Sendable {
    private let numbers: [Word: Number]
    private let words: [Number: Word]

    /// Takes every word with its number.
    init(_ pairs: KeyValuePairs<Word, Number>) {
        numbers = Dictionary(uniqueKeysWithValues: pairs.map { ($0.key, $0.value) })
        words = Dictionary(uniqueKeysWithValues: pairs.map { ($0.value, $0.key) })
    }

    /// The kernel's number of a word.
    subscript(word: Word) -> Number {
        guard let number = numbers[word] else { preconditionFailure("\(word) has no number") }
        return number
    }

    /// The word for a number; nil for one that the model has no word for.
    func word(_ number: Number) -> Word? { words[number] }
}

/// All tables.
enum Numbers {
    /// `RTN_*`, linux/rtnetlink.h.
    static let routeType = KernelNumbers<RouteType, UInt8>([
        .unicast: 1, .blackhole: 6, .unreachable: 7, .prohibit: 8,
    ])

    /// `RT_SCOPE_*`, linux/rtnetlink.h.
    static let scope = KernelNumbers<RouteScope, UInt8>([.global: 0, .site: 200, .link: 253, .host: 254])

    /// `ICMPV6_ROUTER_PREF_*`, linux/icmpv6.h.
    static let preference = KernelNumbers<RouterPreference, UInt8>([.medium: 0, .high: 1, .low: 3])

    /// `FR_ACT_TO_TBL`, linux/fib_rules.h. What drops packets has the number of such a route.
    static let lookupAction: UInt8 = 1
}
