import NetworkTypes
import TestSupport
import Testing

@Suite("Sets of prefixes")
struct PrefixSetTests {
    @Test("contain what one of their prefixes contains, and lose single addresses")
    func property() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for _ in 0..<200 {
            let prefixes = (0..<Int.random(in: 0...12, using: &random)).map { _ in Self.prefix(&random) }
            var set = PrefixSet(prefixes)
            var removed: Set<IPAddress> = []
            for _ in 0..<20 {
                let address = Self.address(&random)
                let isIn = prefixes.contains { $0.contains(address) } && !removed.contains(address)
                #expect(set.contains(address) == isIn, "\(address) in \(prefixes)")
                #expect((set.prefix(with: address) != nil) == isIn)
                if Bool.random(using: &random) {
                    set.remove(address)
                    removed.insert(address)
                    #expect(!set.contains(address))
                }
                let other = Self.prefix(&random)
                let isWhole = PrefixSet(set.prefixes + [other]) == PrefixSet(set.prefixes)
                #expect(set.contains(allOf: other) == isWhole, "\(other) in \(set.prefixes)")
            }
        }
    }

    /// Of few addresses, so that they meet.
    private static func address(_ random: inout SeededGenerator) -> IPAddress {
        let low = UInt32.random(in: 0..<64, using: &random)
        if Bool.random(using: &random) { return IPAddress(v4: 0x0a00_0000 | low) }
        return IPAddress(high: 0x2001_0db8_0000_0000, low: UInt64(low))
    }

    private static func prefix(_ random: inout SeededGenerator) -> IPPrefix {
        let address = address(&random)
        let width = address.family.bitWidth
        return IPPrefix(address, length: UInt8.random(in: (width - 6)...width, using: &random))
            ?? IPPrefix(host: address)
    }
}
