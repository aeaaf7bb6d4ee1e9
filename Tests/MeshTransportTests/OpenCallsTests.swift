import Synchronization
import TestSupport
import Testing

@testable import MeshTransport

@Suite("Calls on a connection")
struct OpenCallsTests {
    @Test("those that are open when it ends, and those that come later, are given up once; others are not")
    func ends() async throws {
        let calls = OpenCalls()
        let gone = Mutex<[String: Int]>([:])
        func add(_ name: String) -> UInt64 { calls.add { gone.withLock { $0[name, default: 0] += 1 } } }
        let done = add("done before")
        _ = add("open")
        calls.remove(done)
        #expect(calls.count == 1)
        calls.end(after: .milliseconds(1))
        _ = add("late")
        let doneLate = add("done in time")
        calls.remove(doneLate)
        while gone.withLock({ $0.count }) < 2 { try await Task.sleep(for: .milliseconds(1)) }
        // After all of them were given up.
        _ = add("later")
        while gone.withLock({ $0.count }) < 3 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(gone.withLock { $0 } == ["open": 1, "late": 1, "later": 1])
        #expect(calls.count == 0)
    }
}
