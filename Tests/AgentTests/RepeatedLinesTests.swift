import Logging
import Testing

@testable import Agent

@Suite("Failures that are told again and again")
struct RepeatedLinesTests {
    private let lines = RepeatedLines()

    private func verdict(
        _ error: String, key: String = "a", _ more: Logger.Metadata = [:], level: Logger.Level = .error,
        at seconds: Double
    ) -> RepeatedLines.Verdict {
        var details: Logger.Metadata = ["key": "\(key)", "error": "\(error)"]
        details.merge(more) { $1 }
        return lines.verdict(level, "failed to create", details, at: Int64(seconds * 1e9))
    }

    @Test("the same is one line, then one with a count at growing intervals")
    func intervals() {
        var told: [(Int, Int)] = []
        for second in 0...10_000 {
            // What differs from time to time is no other failure.
            let numbers: Logger.Metadata = [
                "txn": .stringConvertible(UInt64(second)), "attempt": .stringConvertible(second),
                "wait": .stringConvertible(Duration.seconds(second)),
            ]
            switch verdict("refused", numbers, at: Double(second)) {
            case .write: told.append((second, 1))
            case .writeCount(let count): told.append((second, count))
            case .drop: break
            }
        }
        #expect(told.map(\.0) == [0, 10, 70, 670, 4270, 7870])
        #expect(told.map(\.1) == [1, 10, 60, 600, 3600, 3600])
    }

    @Test("another value, error or level is another failure")
    func others() {
        #expect(verdict("refused", at: 0) == .write)
        #expect(verdict("refused", key: "b", at: 0) == .write)
        #expect(verdict("busy", at: 0) == .write)
        #expect(verdict("refused", level: .warning, at: 0) == .write)
        #expect(verdict("refused", at: 0) == .drop)
    }

    @Test("once it was done, the next failure is a new one")
    func done() {
        #expect(verdict("refused", at: 0) == .write)
        #expect(verdict("refused", key: "b", at: 0) == .write)
        #expect(lines.verdict(.info, "created", ["key": "a"], at: 1) == .write)
        #expect(verdict("refused", at: 2) == .write)
        #expect(verdict("refused", key: "b", at: 2) == .drop)
    }

    @Test("after a long rest a failure is a new one")
    func rest() {
        for second in [0, 10.0, 70] { #expect(verdict("refused", at: second) != .drop) }
        #expect(verdict("refused", at: 370) == .drop)
        #expect(verdict("refused", at: 671) == .write)
        #expect(verdict("refused", at: 672) == .drop)
    }

    @Test("lines that are no failures are all written, and the memory has a bound")
    func bounds() {
        for _ in 0..<3 { #expect(lines.verdict(.info, "read", ["files": "x"], at: 0) == .write) }
        for number in 0...RepeatedLines.most {
            #expect(verdict("refused", key: "\(number)", at: Double(number)) == .write)
        }
        // The first one is forgotten, the last one is not.
        #expect(verdict("refused", key: "\(RepeatedLines.most)", at: 600) == .write)
        #expect(verdict("refused", key: "\(RepeatedLines.most)", at: 601) == .drop)
        #expect(verdict("refused", key: "0", at: 601) == .write)
    }
}
