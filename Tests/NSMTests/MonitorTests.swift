import NSM
import Synchronization
import TestSupport
import Testing

@Suite("Those who watch connections")
struct MonitorTests {
    @Test("new tokens are no news, unless a watcher looks for them, and all else is")
    func news() async throws {
        let monitor = ConnectionMonitor()
        let (one, other) = (PeerIdentity(unproven: "a"), PeerIdentity(unproven: "b"))
        var connection = NSMConnection.with { connection in
            connection.id = "c"
            connection.path.index = 1
            connection.path.pathSegments = [
                .with { ($0.name, $0.id, $0.token) = ("client", "0", "t0") },
                .with { ($0.name, $0.id) = ("mesh", "c") },
            ]
        }
        monitor.update(connection, owner: one)
        var events = monitor.watch(NSMMonitorScopeSelector()).makeAsyncIterator()
        var tokens = monitor.watch(.with { $0.pathSegments = [.with { $0.token = "t2" }] }).makeAsyncIterator()
        #expect(await events.next()?.connections.count == 1)
        #expect(await tokens.next()?.connections.isEmpty == true)
        for token in ["t1", "t2", "t2", "t3"] {
            connection.path.pathSegments[0].token = token
            connection.path.pathSegments[0].expires.seconds += 1
            monitor.update(connection, owner: one)
            // It is what there is, all the same.
            #expect(monitor.connection("c") == connection)
        }
        let changes: [(inout NSMConnection) -> Void] = [
            { $0.context.mtu = 1400 }, { $0.labels["a"] = "b" }, { $0.state = .down }, { $0.mechanism.type = "KERNEL" },
            { $0.path.pathSegments[1].metrics["a"] = "1" }, { $0.path.pathSegments[1].name = "mesh2" },
            { $0.networkServiceEndpointName = "e" }, { $0.payload = "IP" },
        ]
        for change in changes {
            change(&connection)
            monitor.update(connection, owner: one)
            let event = await events.next()
            #expect(event?.type == .update && event?.connections["c"] == connection)
        }
        monitor.update(connection, owner: other)
        #expect(await events.next()?.connections["c"] == connection)
        #expect(monitor.owner("c") == other)
        monitor.delete("c")
        #expect(await events.next()?.type == .delete)
        monitor.finish()
        #expect(await events.next() == nil)
        // Twice, as the end of the token was another one.
        for _ in 0..<2 { #expect(await tokens.next()?.connections["c"]?.path.pathSegments[0].token == "t2") }
        #expect(await tokens.next() == nil)
    }

    @Test("who never reads loses its stream after a bounded number of events, and others get all of them")
    func slow() async throws {
        let monitor = ConnectionMonitor()
        let slow = monitor.watch(NSMMonitorScopeSelector())
        let count = 10_000
        let seen = Mutex(0)
        let reading = Task {
            for await event in monitor.watch(NSMMonitorScopeSelector()) where event.type == .update {
                seen.withLock { $0 += 1 }
            }
        }
        try await eventually("the reader watches") { monitor.watchers == 2 }
        for number in 0..<count {
            monitor.update(
                .with { connection in
                    connection.id = "c"
                    connection.labels["number"] = "\(number)"
                }, owner: PeerIdentity(unproven: "a"))
            if number % 1000 == 999 { try await eventually("all are read") { seen.withLock { $0 } == number + 1 } }
        }
        #expect(monitor.watchers == 1)
        var events = 0
        for await _ in slow { events += 1 }
        // What there was when it began, and those that waited.
        #expect(events == 1 + 4096)
        reading.cancel()
        await reading.value
        try await eventually("nobody watches") { monitor.watchers == 0 }
    }
}
