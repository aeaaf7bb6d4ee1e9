import Concurrency
import GRPCCore
import NSM
import Synchronization
import Testing

/// Closing what is closed is as good as closing it once, whoever else closes it or asks for it at the same time.
@Suite("Closes at an endpoint")
struct EndpointCloseTests {
    /// What became of some Closes of one connection at once.
    static func failures(of connection: NSMConnection, _ calls: Calls, count: Int = 4) async -> [String] {
        await withTaskGroup(of: String?.self) { group in
            for _ in 0..<count {
                group.addTask {
                    do {
                        try await calls.close(connection, timeout: .seconds(60))
                        return nil
                    } catch {
                        return "\(error)"
                    }
                }
            }
            return await group.reduce(into: []) { if let failure = $1 { $0.append(failure) } }
        }
    }

    @Test("several at once, and after each other, succeed, and one releases", .timeLimit(.minutes(10)))
    func together() async throws {
        let released = Mutex<[String]>([])
        let fixture = try EndpointFixture([
            .init(
                name: "svc", ipam: PointToPointIPAM("172.16.0.0/24"),
                released: { id in
                    // Others come while this one is at it.
                    try? await Task.sleep(for: .milliseconds(20))
                    released.withLock { $0.append(id) }
                })
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                let answer = try await calls.request(EndpointFixture.request("x", "svc"), timeout: .seconds(60))
                for _ in 0..<2 { #expect(await Self.failures(of: answer, calls) == []) }
                #expect(released.withLock { $0.count } == 1 && fixture.endpoint.state.connections.isEmpty)
                // What never was, too.
                var other = answer
                other.id = "y"
                other.path.pathSegments = [.with { ($0.name, $0.id) = ("manager", "y") }]
                #expect(await Self.failures(of: other, calls) == [])
            }
        }
    }

    @Test("one that comes during a request has its turn behind it, and nothing is left", .timeLimit(.minutes(10)))
    func during() async throws {
        let (entered, mayGoOn) = (Latch(), Latch())
        let isHeld = Mutex(false)
        let fixture = try EndpointFixture([
            .init(
                name: "svc", ipam: PointToPointIPAM("172.16.0.0/24"),
                admit: { _ in
                    if isHeld.withLock({ $0 }) {
                        entered.open()
                        await mayGoOn.wait()
                    }
                    return EndpointAdmission()
                })
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                var request = EndpointFixture.request("x", "svc")
                let answer = try await calls.request(request, timeout: .seconds(60))
                isHeld.withLock { $0 = true }
                request.connection = answer
                async let refreshed = calls.request(request, timeout: .seconds(60))
                await entered.wait()
                async let failures = Self.failures(of: answer, calls)
                try await Task.sleep(for: .milliseconds(50))
                mayGoOn.open()
                #expect(try await refreshed.id == answer.id)
                #expect(await failures == [] && fixture.endpoint.state.connections.isEmpty)
            }
        }
    }
}
