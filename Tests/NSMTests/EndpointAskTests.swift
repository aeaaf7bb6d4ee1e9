import NSM
import NetworkTypes
import Synchronization
import Testing

/// How often something was told.
private final class Told: Sendable {
    private let number = Mutex(0)
    var count: Int { number.withLock { $0 } }

    /// Counts until the task is cancelled.
    func follow(_ asks: AsyncStream<Void>) -> Task<Void, Never> {
        Task { for await _ in asks { number.withLock { $0 += 1 } } }
    }
}

/// Clients that are asked to come for what has changed.
extension EndpointTests {
    @Test("a client that is to come and has not is asked once more, and is led where its admission says")
    func asksAgain() async throws {
        let routes = Mutex(["10.1.0.0/16"])
        var offered = service("10.0.0.0/24")
        offered.admit = { _ in EndpointAdmission(routes: routes.withLock { $0 }.compactMap { IPPrefix($0) }) }
        let fixture = try EndpointFixture([offered])
        try await fixture.run {
            try await fixture.withCalls { calls in
                func led(_ connection: NSMConnection) -> [String] {
                    connection.context.ipContext.srcRoutes.map(\.prefix)
                }
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                #expect(led(first) == ["10.0.0.1/32", "10.1.0.0/16"])
                let endpoint = fixture.endpoint
                routes.withLock { $0 = ["10.2.0.0/16"] }
                endpoint.refresh(clientsOf: "s") { _ in false }
                #expect(endpoint.refreshAgain(clientsOf: "s") == 0)
                endpoint.refresh(clientsOf: "s") { led($0).contains("10.1.0.0/16") }
                let asked = Mutex<[NSMState]>([])
                let watching = Task {
                    try await calls.monitor(NSMMonitorScopeSelector()) { event in
                        asked.withLock { $0 += event.connections.values.map(\.state) }
                        return true
                    }
                }
                try await eventually("what there is") { asked.withLock { $0 } == [.refreshRequested] }
                #expect(endpoint.refreshAgain(clientsOf: "other") == 0 && endpoint.refreshAgain(clientsOf: "s") == 1)
                try await eventually("once more") { asked.withLock { $0.count } == 2 }
                let second = try await calls.request(refresh(first), timeout: Self.patience)
                #expect(led(second) == ["10.0.0.1/32", "10.2.0.0/16"] && endpoint.refreshAgain(clientsOf: "s") == 0)
                watching.cancel()
                _ = await watching.result
            }
        }
    }

    @Test("what changes while a request is answered is not in the answer, and its client is to come once more")
    func changesMeanwhile() async throws {
        let routes = Mutex(["10.1.0.0/16"])
        let meanwhile = Mutex<(@Sendable () -> Void)?>(nil)
        var offered = service("10.0.0.0/24")
        offered.admit = { _ in
            let admission = EndpointAdmission(routes: routes.withLock { $0 }.compactMap { IPPrefix($0) })
            meanwhile.withLock { $0 }?()
            return admission
        }
        let fixture = try EndpointFixture([offered])
        let endpoint = fixture.endpoint
        try await fixture.run {
            try await fixture.withCalls { calls in
                func led(_ connection: NSMConnection) -> [String] {
                    connection.context.ipContext.srcRoutes.map(\.prefix)
                }
                func states() -> [NSMState] { endpoint.state.connections.values.map(\.state) }
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                // Whether it was asked to come before, or not.
                for number in 2...3 {
                    _ = endpoint.takeChanges()
                    meanwhile.withLock { meanwhile in
                        meanwhile = {
                            routes.withLock { $0 = ["10.\(number).0.0/16"] }
                            endpoint.refresh(clientsOf: "s") { _ in true }
                        }
                    }
                    let second = try await calls.request(refresh(first), timeout: Self.patience)
                    #expect(led(second) == ["10.0.0.1/32", "10.\(number - 1).0.0/16"])
                    #expect(states() == [.refreshRequested] && endpoint.refreshAgain(clientsOf: "s") == 1)
                    #expect(endpoint.takeChanges().state.connections.count == 1)
                }
                meanwhile.withLock { $0 = nil }
                let last = try await calls.request(refresh(first), timeout: Self.patience)
                #expect(led(last) == ["10.0.0.1/32", "10.3.0.0/16"])
                #expect(states() == [.up] && endpoint.refreshAgain(clientsOf: "s") == 0)
                // One who comes for the first time is known to nobody yet.
                let policy = NSMPolicyRoute.with { $0.from = "192.0.2.9/32" }
                meanwhile.withLock { $0 = { endpoint.replace(policies: [policy], of: "s") } }
                let new = try await calls.request(EndpointFixture.request("d", "s"), timeout: Self.patience)
                #expect(new.context.ipContext.policies.isEmpty && states() == [.refreshRequested, .refreshRequested])
                try await calls.close(new, timeout: Self.patience)
                #expect(endpoint.refreshAgain(clientsOf: "s") == 1)
            }
        }
    }

    @Test("nothing wakes up for clients that have come as long as none is asked")
    func asks() async throws {
        let fixture = try EndpointFixture([service("10.0.0.0/24")])
        let endpoint = fixture.endpoint
        try await fixture.run {
            try await fixture.withCalls { calls in
                let first = try await calls.request(EndpointFixture.request("c", "s"), timeout: Self.patience)
                let told = Told()
                let following = told.follow(endpoint.asks(of: "s"))
                _ = try await calls.request(refresh(first), timeout: Self.patience)
                endpoint.refresh(clientsOf: "s") { _ in false }
                endpoint.refresh(clientsOf: "other") { _ in true }
                endpoint.refresh(clientsOf: "s") { _ in true }
                try await eventually("somebody was asked") { told.count > 0 }
                #expect(told.count == 1)
                // Who follows later is told of those that have not come.
                let second = told.follow(endpoint.asks(of: "s"))
                try await eventually("somebody is still asked") { told.count == 2 }
                _ = try await calls.request(refresh(first), timeout: Self.patience)
                let third = told.follow(endpoint.asks(of: "s"))
                endpoint.refresh(clientsOf: "s") { _ in true }
                try await eventually("somebody was asked again") { told.count == 5 }
                for task in [following, second, third] { task.cancel() }
            }
        }
    }
}
