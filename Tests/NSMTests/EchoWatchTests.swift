import Logging
import NetworkTypes
import Synchronization
import Testing

@testable import NSM

/// The paths of a connection, and how often they were asked for.
private final class Connection: Sendable {
    let state = Mutex<(paths: [EchoPath], looks: Int)>(([], 0))

    func look() -> [EchoPath] {
        state.withLock { state in
            state.looks += 1
            return state.paths
        }
    }
    var looks: Int { state.withLock { $0.looks } }
}

@Suite("The watch over data paths") struct EchoWatchTests {
    @Test("rests while no connection has anything to ask, and looks when one has", .timeLimit(.minutes(1)))
    func rests() async throws {
        let watch = EchoWatch(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let check = LivenessCheck(interval: .milliseconds(5), timeout: .milliseconds(20))
        let here = try #require(IPAddress("127.0.0.1"))
        let path = EchoPath(interface: "", source: here, destination: here)
        let connection = Connection()
        let ownSpace = "/proc/self/ns/net"
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            group.addTask { _ = await watch.death(namespace: ownSpace, check, paths: connection.look) }
            while connection.looks == 0 { await Task.yield() }
            #expect(watch.groupsLookedAt == 0)
            for _ in 0..<3 {
                connection.state.withLock { $0 = ([path], 0) }
                while connection.looks < 3 {
                    watch.notePaths(namespace: ownSpace, check)
                    await Task.yield()
                }
                #expect(watch.groupsLookedAt == 1)
                connection.state.withLock { $0.paths = [] }
                while watch.groupsLookedAt > 0 { await Task.yield() }
            }
            group.cancelAll()
        }
    }
}
