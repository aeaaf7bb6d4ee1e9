import Concurrency
import Testing

@Suite("What is kept until it is taken", .timeLimit(.minutes(10)))
struct MailboxTests {
    @Test("a mailbox outlives its readers, and forgets the oldest first")
    func mailbox() async {
        let box = Mailbox<Int>(limit: 2)
        let reader = Task { await box.next() }
        reader.cancel()
        #expect(await reader.value == nil)
        for number in 1...3 { box.put(number) }
        #expect(await box.next() == 2)
        #expect(await box.next() == 3)
        async let later = box.next()
        await Task.yield()
        box.put(4)
        #expect(await later == 4)
    }

    @Test("nothing is lost to a reader that is cancelled in the moment in which something comes")
    func races() async {
        let box = Mailbox<Int>(limit: 4)
        for number in 0..<2000 {
            let reader = Task { await box.next() }
            let writer = Task { box.put(number) }
            reader.cancel()
            await writer.value
            let got = await reader.value
            let next = got == nil ? await box.next() : got
            #expect(next == number)
        }
    }
}
