import Concurrency
import Glibc
import Testing

@testable import LinuxKinds

@Suite("Names are looked up by threads of their own")
struct NameLookupTests {
    @Test("a name is answered, and so is one that there is not")
    func answers() {
        let names = NameLookups()
        if case .addresses(let addresses) = names.answer("localhost", isWaiting: true) {
            #expect(addresses.map(\.description).contains { ["127.0.0.1", "::1"].contains($0) })
        } else {
            Issue.record("localhost has no address")
        }
        guard case .failed = names.answer("nowhere.invalid", isWaiting: true) else {
            Issue.record("nowhere.invalid is not known to fail")
            return
        }
    }

    @Test("while the resolver hangs, configurations that come and go leave nothing behind")
    func hanging() {
        // Threads that never come to their work are as those that hang in it.
        let names = NameLookups { _ in 0 }
        for round in 0..<1000 {
            let all = (0..<20).map { "host\($0).of\(round % 3).example" } + ["always.example"]
            for name in all { names.lookUp(name) }
            for name in all { names.forget(name) }
        }
        #expect(names.queueLength <= 64)
        names.lookUp("always.example")
        #expect(names.answer("always.example", isWaiting: false) == .asked)
        // The first thread that comes finds nothing but what is still asked.
        names.forget("always.example")
        names.work()
        #expect(names.queueLength == 0 && names.takeAnswered().isEmpty)
    }

    @Test("without a thread a name can't be looked up, and the caller does not do it")
    func noThread() {
        let names = NameLookups { _ in EAGAIN }
        names.lookUp("localhost")
        guard case .failed(let reason) = names.answer("localhost", isWaiting: true) else {
            Issue.record("it was looked up")
            return
        }
        #expect(reason.hasPrefix("no thread can be begun for it: "))
        #expect(!names.isAsking && names.takeAnswered() == ["localhost"])
    }

    @Test("who waits for many names waits once")
    func deadline() {
        let names = NameLookups(patience: 1_000_000_000) { _ in 0 }
        let start = SteadyClock.monotonic
        for number in 0..<60 { #expect(names.answer("host\(number).example", isWaiting: true) == .asked) }
        // A second each would be a minute.
        #expect(SteadyClock.monotonic - start < 30_000_000_000)
    }
}
