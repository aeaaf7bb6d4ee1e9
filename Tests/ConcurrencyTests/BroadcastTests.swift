import Concurrency
import Synchronization
import TestSupport
import Testing

@Suite("Broadcasts", .timeLimit(.minutes(10)))
struct BroadcastTests {
    private typealias Numbers = Broadcast<Int, String, Int>

    /// A broadcast under the lock of what it tells about.
    private final class Teller: Sendable {
        private let broadcast = Mutex(Numbers())
        var count: Int { broadcast.withLock { $0.count } }
        func follow(on topic: String? = nil) -> AsyncStream<Int> {
            broadcast.withLock { $0.follow(0, on: topic, backlog: .newest) }
        }
        func tell() { broadcast.withLock { $0.tell(1) { _ in true } } }
    }

    private func all(_ stream: AsyncStream<Int>) async -> [Int] { await stream.reduce(into: []) { $0.append($1) } }

    @Test("a stream begins with what there is, and gets what its topic and its interest ask for")
    func topics() async {
        var broadcast = Numbers()
        let everything = broadcast.follow(1, backlog: .all(limit: 10), from: [100])
        let a = broadcast.follow(1, on: "a", backlog: .all(limit: 10))
        let twos = broadcast.follow(2, on: "a", backlog: .all(limit: 10))
        broadcast.tell(1, on: ["a"]) { _ in true }
        broadcast.tell(2, on: ["b"]) { _ in true }
        broadcast.tell(3, on: ["a", "b"]) { $0 == 2 }
        broadcast.tell(4) { _ in true }
        #expect(broadcast.count == 3)
        broadcast.finish()
        #expect(broadcast.count == 0)
        #expect(await all(everything) == [100, 1, 2, 4])
        #expect(await all(a) == [1])
        #expect(await all(twos) == [1, 3])
    }

    @Test("who is slow gets the newest, or all up to a limit and then an end")
    func slow() async {
        var broadcast = Numbers()
        let newest = broadcast.follow(0, backlog: .newest, from: [100])
        let few = broadcast.follow(0, backlog: .all(limit: 2), from: [100, 101])
        for number in 0..<2 { broadcast.tell(number) { _ in true } }
        #expect(broadcast.count == 2)
        broadcast.tell(2) { _ in true }
        #expect(broadcast.count == 1)
        #expect(await all(few) == [100, 101, 0, 1])
        broadcast.finish()
        #expect(await all(newest) == [2])
    }

    @Test("who stops is forgotten, with its topic")
    func ends() async {
        let teller = Teller()
        for number in 0..<200 {
            let stream = teller.follow(on: "\(number % 3)")
            let task = Task { for await _ in stream {} }
            if Bool.random() { await Task.yield() }
            task.cancel()
            await task.value
        }
        #expect(teller.count == 0)
    }

    @Test("an event under the lock and the end of who waits for it never wait for each other")
    func cancelledWhileTold() async {
        let teller = Teller()
        let telling = Task {
            while !Task.isCancelled {
                teller.tell()
                await Task.yield()
            }
        }
        for _ in 0..<10_000 {
            let watching = Task { for await _ in teller.follow() {} }
            await Task.yield()
            watching.cancel()
            await watching.value
        }
        telling.cancel()
        await telling.value
    }

    @Test("whatever is told and whoever follows, each gets what a list of all events says")
    func random() async {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let topics = ["a", "b", "c"]
        for _ in 0..<50 {
            var broadcast = Numbers()
            var expected: [(stream: AsyncStream<Int>, topic: String?, interest: Int, events: [Int])] = []
            for number in 0..<100 {
                if random.chance(20) {
                    let topic = random.chance(30) ? nil : random.pick(topics)
                    let interest = random.below(3)
                    let stream = broadcast.follow(interest, on: topic, backlog: .all(limit: 1000), from: [-1])
                    expected.append((stream, topic, interest, [-1]))
                    continue
                }
                let told = Set(topics.filter { _ in random.chance(40) })
                let least = random.below(3)
                broadcast.tell(number, on: told) { $0 >= least }
                for index in expected.indices where expected[index].interest >= least {
                    let topic = expected[index].topic
                    if topic.map({ told.contains($0) }) ?? true { expected[index].events.append(number) }
                }
            }
            broadcast.finish()
            for follower in expected { #expect(await all(follower.stream) == follower.events) }
        }
    }
}
