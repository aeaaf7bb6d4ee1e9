import Foundation
import Glibc

/// The seeds of a test with random cases, so that each case can be run again by its seed.
///
/// So many as are usual, and more with `NSM_AGENT_LONG`. `NSM_AGENT_SEED=7` asks for one seed and `NSM_AGENT_SEED=51-350` for a
/// range; `NSM_AGENT_FUZZ_SECONDS=600` goes on with new ones for so long. What is tried is printed, as a trap ends the process.
public struct Seeds: Sequence, IteratorProtocol {
    private let name: String
    private var seed: UInt64
    private var left: UInt64
    /// When it ends; nil: with the last seed.
    private let end: ContinuousClock.Instant?
    private let step: UInt64

    /// Takes what the environment says.
    ///
    /// - Parameters:
    ///   - name: What is printed before the seeds.
    ///   - usual: How many.
    ///   - long: How many with `NSM_AGENT_LONG`.
    ///   - step: A line is printed whenever so many have been tried.
    public init(_ name: String, usual: UInt64, long: UInt64, step: UInt64 = 1000) {
        self.name = name
        self.step = Swift.max(step, 1)
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        if let bounds = variable("NSM_AGENT_SEED")?.split(separator: "-").compactMap({ UInt64($0) }),
            let first = bounds.first, let last = bounds.last, first <= last, last - first < .max
        {
            (seed, left, end) = (first, last - first + 1, nil)
        } else if let seconds = variable("NSM_AGENT_FUZZ_SECONDS").flatMap({ Int($0) }), (1...86400).contains(seconds) {
            (seed, left, end) = (UInt64.random(in: 0..<1 << 62), .max, .now + .seconds(seconds))
        } else {
            (seed, left, end) = (1, variable("NSM_AGENT_LONG") == nil ? usual : long, nil)
        }
        print("\(name): seeds from \(seed)")
    }

    /// The next seed; nil: it is enough.
    public mutating func next() -> UInt64? {
        if left == 0 { return nil }
        if let end, ContinuousClock.now > end {
            print("\(name): until seed \(seed)")
            return nil
        }
        left -= 1
        defer { seed += 1 }
        if seed % step == 0 {
            print("\(name): seed \(seed)")
            // A trap would lose what waits to be written.
            fflush(nil)
        }
        return seed
    }
}

extension SeededGenerator {
    /// Random bytes, at most so many.
    public mutating func bytes(upTo limit: Int) -> [UInt8] {
        (0..<below(limit + 1)).map { _ in UInt8(truncatingIfNeeded: next()) }
    }

    /// Bytes with some changes: other bits and bytes, parts that are cut out, doubled or come from elsewhere, and another end.
    public mutating func mutated(_ bytes: [UInt8], most: Int = 4) -> [UInt8] {
        var result = bytes
        for _ in 0...below(most) {
            let place = result.isEmpty ? 0 : below(result.count)
            let count = Swift.min(result.count - place, 1 + below(chance(80) ? 8 : 200))
            switch below(8) {
            case 0, 1: if !result.isEmpty { result[place] ^= 1 << UInt8(below(8)) }
            case 2: if !result.isEmpty { result[place] = pick([0, 1, 0x7f, 0x80, 0xff, UInt8(below(256))]) }
            case 3: result.removeSubrange(place..<(place + count))
            case 4: result.insert(contentsOf: result[place..<(place + count)], at: place)
            case 5: result.insert(contentsOf: self.bytes(upTo: 12), at: place)
            case 6: result.removeLast(Swift.min(result.count, below(20)))
            default:
                let other = result.isEmpty ? 0 : below(result.count)
                result.replaceSubrange(
                    place..<(place + count), with: result[other..<Swift.min(other + count, result.count)])
            }
        }
        return result
    }

    /// A text that readers of numbers, names and addresses stumble over.
    public mutating func nastyText() -> String {
        switch below(6) {
        case 0: String(decoding: bytes(upTo: 40), as: UTF8.self)
        case 1: String(repeating: pick(["a", "é", "/", ".", "0", "\u{0}"]), count: below(4000))
        default:
            pick([
                "", " ", "/", "..", "\u{0}", "\n", "😀", "-1", "0", "65536", "4294967296", "18446744073709551616",
                "0x10", "1e9",
                "10.0.0.0/0", "10.0.0.0/33", "::/129", "::ffff:1.2.3.4", "10.0.0.1/32", "fe80::1%eth0",
                "255.255.255.255/32",
                "ff02::1/128", "0.0.0.0/0", "::/0", "inode://0/0", "inode://18446744073709551615/1",
                "unix:///etc/passwd",
                "tcp://127.0.0.1:1", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "KERNEL", "lo", "%s%n", "../../x",
                "{{.app}}",
                "spiffe://example.org/x", "nsm-1", "a-name-of-interface-that-is-long",
            ])
        }
    }
}

extension SeededGenerator {
    /// A JSON text with other values in some places, members that are missing, and lists that are longer; for messages that can be
    /// read from JSON. Nil when it is none.
    public mutating func mutatedJSON(_ text: String, percent: Int = 8) -> String? {
        guard let value = try? JSONSerialization.jsonObject(with: Data(text.utf8)),
            let data = try? JSONSerialization.data(
                withJSONObject: mutated(value, percent), options: [.fragmentsAllowed, .sortedKeys])
        else { return nil }
        return String(decoding: data, as: UTF8.self)
    }

    private mutating func mutated(_ value: Any, _ percent: Int) -> Any {
        if let object = value as? [String: Any] {
            var result: [String: Any] = [:]
            // In an order that the seed decides, and not the dictionary.
            for (key, member) in object.sorted(by: { $0.key < $1.key }) where !chance(percent / 2) {
                result[key] = mutated(member, percent)
            }
            return result
        }
        if let list = value as? [Any] {
            var result = list.map { mutated($0, percent) }
            if let first = result.first, chance(percent) {
                result += Array(repeating: first, count: pick([1, 2, 40, 300, 2000]))
            }
            if chance(percent) { result.shuffle(using: &self) }
            if !result.isEmpty, chance(percent) { result.removeLast() }
            return result
        }
        guard chance(percent) else { return value }
        if value is String { return nastyText() }
        return pick([0, 1, 2, 7, 40, 65535, 1_000_000])
    }
}
