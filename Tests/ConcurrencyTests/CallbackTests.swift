import Synchronization
import Testing

@testable import Concurrency

@Suite("A closure that is set later")
struct CallbackTests {
    @Test("a call is not deeper for those before it")
    func depth() {
        let callback = Callback<Int>()
        callback(0)
        let depths = Mutex<[Int: UInt]>([:])
        callback.set { number in
            var here = number
            let depth = withUnsafePointer(to: &here) { UInt(bitPattern: $0) }
            if number % 9999 == 1 { depths.withLock { $0[number] = depth } }
        }
        for number in 1...10_000 { callback(number) }
        let found = depths.withLock { $0 }
        #expect(found.count == 2)
        #expect(Set(found.values).count == 1, "\(found)")
    }
}
