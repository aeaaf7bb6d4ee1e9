import Logging
import Synchronization
import Testing

@testable import KubernetesClient

/// A lease on a server that refuses what is not up to date.
private final class LeaseServer: Sendable {
    private struct State {
        var lease: JSONValue?
        var version = 0
        var isAway = false
    }
    private let state = Mutex(State())

    var holder: String? { state.withLock { $0.lease?["spec"]?["holderIdentity"]?.string } }
    var transitions: Int64? { state.withLock { $0.lease?["spec"]?["leaseTransitions"]?.int } }
    func goAway(_ isAway: Bool) { state.withLock { $0.isAway = isAway } }

    func answer(_ request: ScriptedServer.Request) -> [ScriptedServer.Step] {
        state.withLock { state in
            if state.isAway { return [.close] }
            guard request.method != "GET" else {
                guard let lease = state.lease else { return [.status(404, "NotFound")] }
                return [.answer(200, lease.text)]
            }
            guard var lease = try? JSONValue(parsing: Array(request.body.utf8)) else {
                return [.status(400, "BadRequest")]
            }
            let isFresh =
                request.method == "POST"
                ? state.lease == nil : lease["metadata"]?["resourceVersion"] == .string("\(state.version)")
            guard isFresh else { return [.status(409, "Conflict")] }
            state.version += 1
            lease["metadata"] = [
                "name": "lock", "namespace": "here", "resourceVersion": .string("\(state.version)"),
            ]
            state.lease = lease
            return [.answer(200, lease.text)]
        }
    }
}

/// Keeps the errors that are told as warnings.
private final class Warnings: LogHandler {
    private let kept = Mutex<[String]>([])
    var texts: [String] { kept.withLock { $0 } }

    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    subscript(metadataKey _: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) {
        guard event.level == .warning else { return }
        kept.withLock { $0.append(event.metadata?["error"].map { "\($0)" } ?? "") }
    }
}

@Suite(.timeLimit(.minutes(10))) struct LeaderElectionTests {
    private static func election(
        _ client: KubernetesClient, _ name: String,
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) -> LeaderElection {
        var settings = LeaderElection.Settings(name: "lock", identity: name)
        settings.duration = .seconds(1)
        settings.renewDeadline = .milliseconds(500)
        settings.interval = .milliseconds(20)
        return LeaderElection(client, settings, logger: logger)
    }

    private static func until(_ isSo: () -> Bool) async throws {
        while !isSo() { try await Task.sleep(for: .milliseconds(2)) }
    }

    /// Who leads now.
    private final class Leaders: Sendable {
        private let names = Mutex<[String]>([])
        var now: [String] { names.withLock { $0 } }

        func start(_ client: KubernetesClient, _ name: String) -> Task<Void, any Error> {
            Task {
                try await LeaderElectionTests.election(client, name).run { _ in
                    self.names.withLock { $0.append(name) }
                    defer { self.names.withLock { $0.removeAll { $0 == name } } }
                    try await Task.sleep(for: .seconds(3600))
                }
            }
        }
    }

    @Test func whyThereIsNoLeaseIsToldOnceUntilItChanges() async throws {
        let status = Mutex(403)
        let lease = LeaseServer()
        let warnings = Warnings()
        try await ScriptedServer.serve({ request in
            let status = status.withLock { $0 }
            return status == 200 ? lease.answer(request) : [.status(status, "No\(status)")]
        }) { client, server in
            let run = Task {
                try await Self.election(client, "one", logger: Logger(label: "test") { _ in warnings }).run { _ in
                    try await Task.sleep(for: .seconds(3600))
                }
            }
            try await Self.until { server.seen.count >= 4 }
            #expect(warnings.texts.count == 1)
            status.withLock { $0 = 500 }
            try await Self.until { warnings.texts.count == 2 }
            status.withLock { $0 = 200 }
            try await Self.until { lease.holder == "one" }
            // The same again, after it was well, is news.
            let renewals = server.seen.count
            try await Self.until { server.seen.count > renewals + 4 }
            status.withLock { $0 = 500 }
            try await Self.until { warnings.texts.count == 3 }
            #expect(warnings.texts[1] == warnings.texts[2] && warnings.texts[0] != warnings.texts[1])
            run.cancel()
            _ = await run.result
        }
    }

    @Test func aLeaseThatIsNotRenewedIsNotOursForSure() async throws {
        let lease = LeaseServer()
        try await ScriptedServer.serve({ lease.answer($0) }) { client, _ in
            let kept = Mutex<Leadership?>(nil)
            let run = Task {
                try await Self.election(client, "one").run { leadership in
                    kept.withLock { $0 = leadership }
                    // Longer than the lease lasts: it is renewed meanwhile.
                    try await Task.sleep(for: .milliseconds(1500))
                    #expect(leadership.isValid)
                    try await Task.sleep(for: .seconds(3600))
                }
            }
            try await Self.until { kept.withLock { $0 != nil } }
            try await Task.sleep(for: .milliseconds(1600))
            lease.goAway(true)
            try await Self.until { kept.withLock { $0?.isValid == false } }
            run.cancel()
            _ = await run.result
        }
        #expect(!Leadership(until: .now).isValid)
    }

    @Test func oneLeadsAndTheOtherFollows() async throws {
        let lease = LeaseServer()
        try await ScriptedServer.serve({ lease.answer($0) }) { client, _ in
            let leaders = Leaders()
            let first = leaders.start(client, "one")
            try await Self.until { leaders.now == ["one"] }
            let second = leaders.start(client, "two")
            // Who can't renew stops before the lease is over.
            lease.goAway(true)
            try await Self.until { leaders.now.isEmpty }
            lease.goAway(false)
            try await Self.until { leaders.now.count == 1 }
            let leader = leaders.now[0]
            #expect(lease.holder == leader)
            // Who ends gives the lease back, so that the other one need not wait.
            (leader == "one" ? first : second).cancel()
            try await Self.until { leaders.now.count == 1 && leaders.now[0] != leader }
            #expect((lease.transitions ?? 0) >= 1)
            first.cancel()
            second.cancel()
            _ = await (first.result, second.result)
        }
    }
}
