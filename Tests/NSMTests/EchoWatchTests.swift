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
    @Test("rests while no connection has anything to ask, and looks when one has")
    func rests() async throws {
        let watch = EchoWatch(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        // So long that no echo is too late: who is taken for dead is watched no more.
        let check = LivenessCheck(interval: .milliseconds(5), timeout: .seconds(60))
        let here = try #require(IPAddress("127.0.0.1"))
        let path = EchoPath(interface: "", source: here, destination: here)
        let connection = Connection()
        let ownSpace = "/proc/self/ns/net"
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            group.addTask { _ = await watch.death(namespace: ownSpace, check, paths: connection.look) }
            try await eventually("the connection is watched") { connection.looks > 0 }
            #expect(watch.groupsLookedAt == 0)
            for _ in 0..<3 {
                connection.state.withLock { $0 = ([path], 0) }
                try await eventually("it is looked at") {
                    watch.notePaths(namespace: ownSpace, check)
                    return connection.looks >= 3
                }
                #expect(watch.groupsLookedAt == 1)
                connection.state.withLock { $0.paths = [] }
                try await eventually("the watch rests") { watch.groupsLookedAt == 0 }
            }
            group.cancelAll()
        }
    }
}
