import NetworkTypes
import TestSupport
import Testing

@testable import LinuxKinds

/// What an agent writes down for the one after it, and what stands in a file that was damaged.
@Suite("Records beside the kernel")
struct RecordFileTests {
    private static func text(_ random: inout SeededGenerator) -> String {
        if random.chance(40) { return random.nastyText() }
        let pieces = ["\r", "\n", "\r\n", "\t", "%", "%p", "%n", "\u{301}", "\u{0}", "é", "a", " ", "🇩🇪", ""]
        return (0..<random.below(6)).map { _ in random.pick(pieces) }.joined()
    }

    @Test("words of any kind come back as they were, in lines of their own")
    func words() async {
        for seed in Seeds("lines of records", usual: 2000, long: 200_000, step: 50_000) {
            if seed.isMultiple(of: 64) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            let all = (0...random.below(4)).map { _ in ["x"] + (0..<random.below(4)).map { _ in Self.text(&random) } }
            let lines = RecordFile.lines(all.map(RecordFile.line).joined(separator: "\n") + "\n")
            #expect(lines.map(RecordFile.words) == all, "seed \(seed)")
        }
    }

    @Test(
        "an interface that was moved is given back with all it had, whatever its alias",
        arguments: ["\r\n", "a\r", "%\n"])
    func aliases(alias: String) throws {
        let entry = LoanBook.Entry(
            namespace: 7, index: 3, isMoved: true, kind: "", permanentMAC: nil,
            loan: Loan(name: "lan", origin: 4_026_531_840, hostName: "eth1", isUp: true, alias: alias))
        let lines = RecordFile.lines("\(entry.line)\n\(entry.line)\n")
        #expect(lines.count == 2)
        for line in lines { #expect(try #require(LoanBook.Entry(line: line)).loan == entry.loan) }
    }

    @Test("damaged lines are refused, or say something that can be written")
    func damaged() async throws {
        for seed in Seeds("damaged records", usual: 2000, long: 200_000, step: 50_000) {
            if seed.isMultiple(of: 64) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            let mac = random.chance(50) ? MACAddress("02:00:00:00:00:01") : nil
            let loan = LoanBook.Entry(
                namespace: random.next(), index: Int32(1 + random.below(99)), isMoved: random.chance(50), kind: "veth",
                permanentMAC: mac,
                loan: Loan(
                    name: Self.text(&random), origin: random.next(), hostName: "eth0", isUp: random.chance(50),
                    alias: Self.text(&random)))
            let name = AltNameBook.Entry(
                namespace: random.next(), index: 1, kind: Self.text(&random), permanentMAC: mac,
                name: Self.text(&random))
            #expect(LoanBook.Entry(line: loan.line[...])?.loan == loan.loan, "seed \(seed)")
            #expect(AltNameBook.Entry(line: name.line[...]) == name, "seed \(seed)")
            let bytes = random.mutated(Array((random.chance(50) ? loan.line : name.line).utf8))
            for line in RecordFile.lines(String(decoding: bytes, as: UTF8.self)) {
                if let entry = LoanBook.Entry(line: line) {
                    #expect(
                        entry.index > 0 && LoanBook.Entry(line: entry.line[...])?.loan == entry.loan, "seed \(seed)")
                }
                if let entry = AltNameBook.Entry(line: line) {
                    #expect(entry.index > 0 && AltNameBook.Entry(line: entry.line[...]) == entry, "seed \(seed)")
                }
            }
        }
    }
}
