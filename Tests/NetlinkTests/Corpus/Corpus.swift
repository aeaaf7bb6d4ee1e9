import Testing

@testable import Netlink

/// Real messages to begin from: what the kernel sent, and requests of ip(8), which hold kinds this kernel lacks.
enum Corpus {
    static let messages: [[UInt8]] =
        [linksCorpus, othersCorpus, routesCorpus].flatMap { text in
            text.split(separator: "\n\n").map { decodeHex(String($0)) }
        } + (linkGoldens + objectGoldens + routeGoldens).map(\.bytes)

    static var reports: [Report] {
        messages.compactMap { message in message.withUnsafeBytes { Report.decode(message: $0) } }
    }
}

/// SplitMix64: the same numbers on every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
