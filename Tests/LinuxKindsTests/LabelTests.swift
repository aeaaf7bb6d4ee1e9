import Netlink
import NetworkTypes
import Testing

@testable import LinuxKinds

/// Which numbers a label gets beside others. Nothing here reads the kernel.
@Suite("marks of labels")
struct LabelTests {
    /// A label with the protocol number of another one, but not its link group.
    private static let (one, other): (String, String) = {
        let one = Ownership(label: "one")
        let other = (0..<100_000).lazy.map { "other\($0)" }.first {
            Ownership(label: $0).proto == one.proto && Ownership(label: $0).number != one.number
        }
        return ("one", other ?? "none")
    }()

    private var marks: Ownership { Ownership(label: Self.one) }
    private var theirs: Ownership { Ownership(label: Self.other) }

    private func traces(_ group: UInt32, _ protocols: UInt8...) -> LabelTraces {
        LabelTraces(groups: [group], protocols: Set(protocols))
    }

    @Test("alone, a label has the numbers that follow from it")
    func alone() throws {
        #expect(try marks.settled(among: [:]) == marks)
        #expect(try marks.settled(among: [Self.one: traces(marks.number, marks.proto)]) == marks)
        #expect(try marks.settled(among: ["default": traces(7, 78)]) == marks)
    }

    @Test("a number that another label has is passed over")
    func next() throws {
        let settled = try theirs.settled(among: [Self.one: traces(marks.number, marks.proto)])
        #expect(settled.proto == (theirs.proto == 249 ? 200 : theirs.proto + 1))
        #expect(settled.number == theirs.number)
        // Links without addresses tell no number; what follows from their label is theirs all the same.
        #expect(try theirs.settled(among: [Self.one: traces(marks.number)]).proto == settled.proto)
        // It is the same after a restart, also when the other label is gone.
        let own = traces(settled.number, settled.proto)
        #expect(try theirs.settled(among: [Self.other: own]) == settled)
        #expect(try theirs.settled(among: [Self.one: traces(marks.number, marks.proto), Self.other: own]) == settled)
        #expect(try marks.settled(among: [Self.one: traces(marks.number, marks.proto), Self.other: own]) == marks)
    }

    @Test("an address of ours on a link of another label does not drive us away")
    func guest() throws {
        let others = Ownership(label: "default")
        let seen = [
            Self.one: traces(marks.number, marks.proto), "default": traces(others.number, 78, marks.proto),
        ]
        #expect(try marks.settled(among: seen) == marks)
    }

    @Test("a link group that another label has is passed over")
    func group() throws {
        let settled = try marks.settled(among: ["default": traces(marks.number, 78)])
        #expect(settled.number == (marks.number + 1) & 0xffff)
        #expect(Marks.Group.agent.range.contains(settled.linkGroup))
    }

    @Test("numbers of programs that are no agents are not adopted")
    func foreignProtocol() throws {
        #expect(try marks.settled(among: [Self.one: traces(marks.number, 18)]) == marks)
    }

    @Test("what can't be told apart is refused, with both labels and what to do")
    func refusals() throws {
        let both = [Self.one: traces(marks.number, marks.proto), Self.other: traces(theirs.number, marks.proto)]
        let error = #expect(throws: LabelCollision.self) { try marks.settled(among: both) }
        let text = error?.description ?? ""
        #expect(text.contains("'one'") && text.contains("'\(Self.other)'") && text.contains("--protocol"), "\(text)")
        #expect(throws: LabelCollision.self) {
            try Ownership(label: "x", proto: 78).settled(among: ["default": traces(1, 78)])
        }
        #expect(throws: LabelCollision.self) {
            try Ownership(label: "default").settled(among: ["x": traces(1, 78)])
        }
        let chosen = Ownership(label: "x", proto: 66)
        #expect(try chosen.settled(among: both) == chosen)
    }

    @Test("when all numbers are taken, that is said")
    func full() throws {
        var seen: [String: LabelTraces] = [:]
        for proto in Marks.agentProtocols { seen["l\(proto)"] = traces(UInt32(proto), proto) }
        let error = #expect(throws: LabelCollision.self) { try marks.settled(among: seen) }
        #expect(error?.description.contains("all protocol numbers") == true)
    }
}
