import Concurrency
import Glibc
import TestSupport
import Testing

@Suite("Moments")
struct TimestampTests {
    @Test("what protobuf may say, and nothing else")
    func protobuf() {
        #expect(Timestamp(seconds: 0, nanos: 0) == Timestamp(nanoseconds: 0))
        #expect(Timestamp(seconds: -1, nanos: 999_999_999) == Timestamp(nanoseconds: -1))
        #expect(Timestamp(seconds: 1_775_549_654, nanos: 5)?.nanoseconds == 1_775_549_654_000_000_005)
        // From the year 1 to the end of the year 9999.
        #expect(Timestamp(seconds: -62_135_596_800, nanos: 0) == Timestamp(nanoseconds: .min))
        #expect(Timestamp(seconds: 253_402_300_799, nanos: 999_999_999) == .distantFuture)
        for second in [Int64.min, -62_135_596_801, 253_402_300_800, .max] {
            #expect(Timestamp(seconds: second, nanos: 0) == nil, "\(second)")
        }
        for nano in [Int32.min, -1, 1_000_000_000, .max] {
            #expect(Timestamp(seconds: 0, nanos: nano) == nil, "\(nano)")
        }
    }

    @Test("the ends of the range are met to the nanosecond, and never passed")
    func range() {
        // Int64.max and Int64.min nanoseconds.
        #expect(Timestamp(seconds: 9_223_372_036, nanos: 854_775_806)?.nanoseconds == Int64.max - 1)
        #expect(Timestamp(seconds: 9_223_372_036, nanos: 854_775_807)?.nanoseconds == Int64.max)
        #expect(Timestamp(seconds: 9_223_372_036, nanos: 854_775_808)?.nanoseconds == Int64.max)
        #expect(Timestamp(seconds: 9_223_372_037, nanos: 0)?.nanoseconds == Int64.max)
        #expect(Timestamp(seconds: -9_223_372_037, nanos: 145_224_193)?.nanoseconds == Int64.min + 1)
        #expect(Timestamp(seconds: -9_223_372_037, nanos: 145_224_192)?.nanoseconds == Int64.min)
        #expect(Timestamp(seconds: -9_223_372_037, nanos: 145_224_191)?.nanoseconds == Int64.min)
        #expect(Timestamp(seconds: .max) == .distantFuture)
        #expect(Timestamp(seconds: .min).nanoseconds == .min)
        let zero = Timestamp(nanoseconds: 0)
        #expect(zero.advanced(by: .seconds(Int64.max)) == .distantFuture)
        #expect(zero.advanced(by: .seconds(Int64.min)).nanoseconds == .min)
        #expect(Timestamp.distantFuture.advanced(by: .nanoseconds(1)) == .distantFuture)
        #expect(Timestamp.distantFuture.since(Timestamp(nanoseconds: .min)) > .seconds(18_446_744_073))
    }

    @Test("the end of the year 9999 is later than now, the year 1 earlier")
    func far() throws {
        let end = try #require(Timestamp(rfc3339: "9999-12-31T23:59:59.5Z"))
        #expect(end == .distantFuture && end > .now)
        let start = try #require(Timestamp(rfc3339: "0001-01-01T00:00:00Z"))
        #expect(start.nanoseconds == .min && start < .now)
    }

    @Test(
        "days, hours and offsets that there are not",
        arguments: [
            "", "x", "2026-04-07", "2026-04-07T10:14:14", "2026-04-07T10:14:14.Z", "2026-04-07T10:14:14.1234567890Z",
            "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z",
            "2026-02-30T00:00:00Z", "2026-02-31T00:00:00Z", "2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z", "2026-06-31T00:00:00Z", "2026-09-31T00:00:00Z", "2026-11-31T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00Z ", " 2026-01-01T00:00:00Z",
            "2026-1-1T00:00:00Z", "+026-01-01T00:00:00Z", "2026-01-01T00:00:00", "-2026-01-01T00:00:00Z",
            "٢٠٢٦-01-01T00:00:00Z", "2026-01-01T00:00:00.٥Z", "2026-01-01T00:00:00,5Z", "10000-01-01T00:00:00Z",
        ])
    func refused(_ text: String) { #expect(Timestamp(rfc3339: text) == nil) }

    @Test("texts that are right")
    func accepted() {
        let texts: [(String, Int64)] = [
            ("1970-01-01T00:00:00Z", 0), ("1969-12-31T23:59:59.999999999Z", -1),
            ("2024-02-29T00:00:00Z", 1_709_164_800_000_000_000), ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
            ("2026-04-07T10:14:14.123456789+02:00", 1_775_549_654_123_456_789),
            ("2026-04-06T22:14:14.5-10:00", 1_775_549_654_500_000_000),
            ("2026-04-07t08:14:14z", 1_775_549_654_000_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
            ("2024-01-01T00:30:00+23:59", 1_703_982_660_000_000_000),
        ]
        for (text, nanoseconds) in texts { #expect(Timestamp(rfc3339: text)?.nanoseconds == nanoseconds, "\(text)") }
    }

    @Test("the text, with as many digits as are wanted")
    func digits() {
        let time = Timestamp(nanoseconds: 1_775_549_654_123_956_789)
        #expect(time.rfc3339 == "2026-04-07T08:14:14.123956789Z")
        #expect(time.rfc3339(fractionDigits: 3) == "2026-04-07T08:14:14.123Z")
        #expect(time.rfc3339(fractionDigits: 1) == "2026-04-07T08:14:14.1Z")
        #expect(Timestamp(nanoseconds: -1).rfc3339(fractionDigits: 3) == "1969-12-31T23:59:59.999Z")
        #expect(Timestamp(nanoseconds: .max).rfc3339 == "2262-04-11T23:47:16.854775807Z")
        #expect(Timestamp(nanoseconds: .min).rfc3339 == "1677-09-21T00:12:43.145224192Z")
    }

    @Test("any moment goes through text and protobuf and back, and is what the C library says")
    func roundTrip() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5000 {
            let time = Timestamp(nanoseconds: Int64.random(in: .min ... .max, using: &random))
            #expect(Timestamp(rfc3339: time.rfc3339) == time)
            let (seconds, nanos) = time.parts
            #expect(Timestamp(seconds: seconds, nanos: nanos) == time)
            #expect((0..<1_000_000_000).contains(nanos))
            #expect(time.rfc3339.hasPrefix(Self.witness(seconds)), "\(time.nanoseconds)")
        }
    }

    @Test("any day of any year is read as the C library reads it, or by neither")
    func days() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        func digits(_ number: Int, _ count: Int) -> String {
            String(repeating: "0", count: max(0, count - "\(number)".count)) + "\(number)"
        }
        for _ in 0..<5000 {
            let (year, month, day) = (random.below(10000), random.below(14), random.below(33))
            var parts = tm()
            parts.tm_year = Int32(year - 1900)
            parts.tm_mon = Int32(month - 1)
            parts.tm_mday = Int32(day)
            // timegm(3) takes any numbers and puts them right; a day that it moves is none.
            let seconds = timegm(&parts)
            let isDay = parts.tm_year == year - 1900 && parts.tm_mon == month - 1 && parts.tm_mday == day
            let text = "\(digits(year, 4))-\(digits(month, 2))-\(digits(day, 2))T00:00:00Z"
            #expect(Timestamp(rfc3339: text) == (isDay ? Timestamp(seconds: Int64(seconds)) : nil), "\(text)")
        }
    }

    /// Date and time as gmtime_r(3) and strftime(3) write them.
    private static func witness(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        gmtime_r(&time, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%S.", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test("the steady clock starts as the wall clock and goes on")
    func steady() {
        let before = Timestamp.now
        let clock = SteadyClock()
        let first = clock.now
        #expect(first >= before.advanced(by: .seconds(-1)))
        #expect(clock.now >= first)
        #expect(clock.wallTime(of: first) >= before.advanced(by: .seconds(-1)))
        #expect(SteadyClock.monotonic > 0)
    }
}

@Suite("Numbers that follow from bytes")
struct HashTests {
    @Test("the hashes are those of the published test vectors")
    func vectors() {
        #expect(FNV1a.hash32("".utf8) == 0x811c_9dc5)
        #expect(FNV1a.hash32("a".utf8) == 0xe40c_292c)
        #expect(FNV1a.hash32("foobar".utf8) == 0xbf9c_f968)
        #expect(FNV1a.hash64("".utf8) == 0xcbf2_9ce4_8422_2325)
        #expect(FNV1a.hash64("a".utf8) == 0xaf63_dc4c_8601_ec8c)
        #expect(FNV1a.hash64("foobar".utf8) == 0x8594_4171_f739_67e8)
    }
}
