import NetworkTypes
import Testing

@Suite("Marks")
struct MarkTests {
    @Test("no two owners share one")
    func overlaps() {
        let groups = Marks.Group.allCases
        for first in groups {
            for second in groups where first != second { #expect(!first.range.overlaps(second.range)) }
            for number in [0, 1, 0xffff, 0x1_0000, UInt32.max] { #expect(first.range.contains(first.of(number))) }
        }
        let numbers =
            [Marks.meshProtocol, Marks.defaultAgentProtocol] + Array(Marks.agentProtocols)
        #expect(Set(numbers).count == numbers.count)
        #expect(!Marks.meshPriorities.overlaps(Marks.clientPriorities) && Marks.clientPriorities.upperBound < 32766)
        #expect(!groups.contains { Marks.clientTables.overlaps($0.range) })
        #expect(!Marks.agentAlias.hasPrefix(Marks.meshAlias) && !Marks.meshAlias.hasPrefix(Marks.agentAlias))
    }
}
