import Logging
import Model
@testable import NSM
import Reconciler
import Synchronization
import TestSupport
import Testing

@testable import NSMServices

/// What sessions do, as it happens.
private final class Log: Sendable {
    private struct State {
        var lines: [String] = []
        var running: Set<String> = []
        /// Names whose end waits until it is let go.
        var stuck: [String: AsyncStream<Void>.Continuation] = [:]
        var tells: [String: @Sendable (ServiceReport) async -> Void] = [:]
        /// Sessions of one name that ran at a time, at most.
        var mistakes: [String] = []
    }
    private let state = Mutex(State())

    var lines: [String] { state.withLock { $0.lines } }
    var running: [String] { state.withLock { $0.running.sorted() } }
    var mistakes: [String] { state.withLock { $0.mistakes } }

    func begin(_ name: String, _ version: String, _ tell: @escaping @Sendable (ServiceReport) async -> Void) {
        state.withLock { state in
            if state.running.contains(where: { $0.hasPrefix("\(name)=") }) {
                state.mistakes.append("\(name) ran twice at a time")
            }
            state.lines.append("+\(name)=\(version)")
            state.running.insert("\(name)=\(version)")
            state.tells[name] = tell
        }
    }

    func end(_ name: String, _ version: String) {
        state.withLock { state in
            state.lines.append("-\(name)=\(version)")
            state.running.remove("\(name)=\(version)")
        }
    }

    /// Makes the next end of a session wait until the result is finished.
    func hold(_ name: String) -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        state.withLock { $0.stuck[name] = continuation }
        return stream
    }

    func release(_ name: String) { state.withLock { $0.stuck.removeValue(forKey: name) }?.finish() }

    func report(_ name: String, _ report: ServiceReport) async {
        guard let tell = state.withLock({ $0.tells[name] }) else { return }
        await tell(report)
    }
}

private struct FakeSession: ServiceSession {
    let name: String
    let version: String
    let log: Log
    var hold: AsyncStream<Void>?

    func run(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        log.begin(name, version, tell)
        let (forever, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in forever {}
        continuation.finish()
    }

    func close() async throws {
        if let hold { for await _ in hold {} }
        log.end(name, version)
        if version == "refused" { throw NSMError(.unreachable, "nobody there") }
    }

    var note: ServiceNote { ServiceNote(waiting: ["w"], facts: ["version \(version)"]) }
}

@Suite("Connections are what is declared", .timeLimit(.minutes(10)))
struct NetworkServicesTests {
    private let log = Log()

    private func client(_ name: String, _ service: String) -> NetworkServices.Spec {
        .client(
            .with { client in
                client.name = name
                client.networkService = service
                client.interfaceName = "if-\(name)"
            })
    }

    /// Specs of some of the clients; nil: it is not declared any more.
    private func specs(_ pairs: [String: String?]) -> [Key: NetworkServices.Spec?] {
        Dictionary(uniqueKeysWithValues: pairs.map { name, service in ("k/\(name)", service.map { client(name, $0) }) })
    }

    /// Runs a keeper of fake sessions; `holds` makes some of them end only when they are let go.
    private func withServices(
        holds: [String: AsyncStream<Void>] = [:], dns: ServiceSettings.NameServerMode = .off, file: String = "/none",
        _ body: (NetworkServices) async throws -> Void
    ) async throws {
        var settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        settings.nameServers = dns
        settings.resolverFile = file
        let log = log
        let services = NetworkServices(settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            log.begin("support", "1") { _ in }
            for await _ in AsyncStream<Void>.makeStream().stream {}
        } makeSession: { spec in
            guard case .client(let message) = spec else { fatalError("clients only") }
            return FakeSession(
                name: message.name, version: message.networkService, log: log,
                hold: message.networkService == "held" ? holds[message.name] : nil)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await services.run() }
            try await body(services)
            group.cancelAll()
        }
    }

    /// Waits until the running sessions are these.
    private func settle(_ expected: [String: String]) async {
        let wanted = (["support=1"] + expected.map { "\($0)=\($1)" }).sorted()
        while log.running != wanted { try? await Task.sleep(for: .milliseconds(1)) }
    }

    @Test("nothing is started before something is declared")
    func lazy() async throws {
        try await withServices { services in
            await services.declare(specs(["a": nil]))
            #expect(log.lines == [])
            await services.declare(specs(["a": "1"]))
            await settle(["a": "1"])
            #expect(log.lines.sorted() == ["+a=1", "+support=1"])
        }
    }

    @Test("what does not change is not touched; what changes ends before it begins again")
    func changes() async throws {
        try await withServices { services in
            await services.declare(specs(["a": "1", "b": "1"]))
            await settle(["a": "1", "b": "1"])
            await services.declare(specs(["b": "2", "c": "1"]))
            await settle(["a": "1", "b": "2", "c": "1"])
            // What was declared before is no change.
            await services.declare(specs(["a": "1"]))
            #expect(!log.lines.contains("-a=1"))
            let lines = log.lines
            #expect(lines.firstIndex(of: "-b=1").map { $0 < lines.firstIndex(of: "+b=2") ?? 0 } == true)
            await services.declare(specs(["a": nil, "b": nil, "c": nil]))
            await settle([:])
            #expect(log.mistakes == [] && !log.lines.dropLast(3).contains("-a=1"))
        }
    }

    @Test("an end that takes long keeps nobody else waiting, and the newest wish is what follows it")
    func slowEnd() async throws {
        let hold = log.hold("a")
        try await withServices(holds: ["a": hold]) { services in
            await services.declare(specs(["a": "held"]))
            await settle(["a": "held"])
            await services.declare(specs(["a": "2", "b": "1"]))
            await settle(["a": "held", "b": "1"])
            await services.declare(specs(["a": "3"]))
            log.release("a")
            await settle(["a": "3", "b": "1"])
            #expect(!log.lines.contains("+a=2") && log.mistakes == [])
        }
    }

    @Test("a mesh that can't be told of an end is no obstacle")
    func refusedEnd() async throws {
        try await withServices { services in
            await services.declare(specs(["a": "refused"]))
            await settle(["a": "refused"])
            await services.declare(specs(["a": "2"]))
            await settle(["a": "2"])
        }
    }

    @Test("the agent's end leaves connections as they are")
    func leaves() async throws {
        try await withServices { services in
            await services.declare(specs(["a": "1"]))
            await settle(["a": "1"])
        }
        #expect(log.lines.sorted() == ["+a=1", "+support=1"])
    }

    @Test("whatever is declared on the way, what counts is the last")
    func property() async throws {
        var random = SeededGenerator(seed: 33)
        try await withServices { services in
            var last: [String: String] = [:]
            for _ in 0..<40 {
                for _ in 0...random.below(6) {
                    var changes: [String: String?] = [:]
                    for name in ["a", "b", "c", "d"] where random.chance(60) {
                        changes.updateValue(random.chance(60) ? "\(random.below(3))" : nil, forKey: name)
                    }
                    for (name, service) in changes { last[name] = service }
                    await services.declare(specs(changes))
                    if random.chance(50) { await Task.yield() }
                }
                if log.lines.isEmpty { continue }
                await settle(last)
                let keys = Set(last.keys.map { "k/\($0)" })
                while await Set(services.reportsNow.keys) != keys { await Task.yield() }
            }
            #expect(log.mistakes == [])
        }
    }

    @Test("what sessions tell is told on, and what connections brought stays until they are closed")
    func reports() async throws {
        let hold = log.hold("a")
        try await withServices(holds: ["a": hold]) { services in
            await services.declare(specs(["a": "held"]))
            await settle(["a": "held"])
            var connection = NSMConnection()
            connection.context.ipContext.srcIpAddrs = ["10.0.0.1/32"]
            guard case .client(let message) = client("a", "held") else { return }
            let report = ServiceReport(message, .established(connection))
            await log.report("a", report)
            #expect(await services.reportsNow == ["k/a": report])
            #expect(await services.notes() == ["k/a": ServiceNote(waiting: ["w"], facts: ["version held"])])
            await services.declare(["k/a": nil])
            let ending = try #require(await services.reportsNow["k/a"])
            #expect(ending.parts == report.parts && ending.parts["a"]??.interface == "if-a")
            #expect(ending.observation == .waiting(["the end of what was declared before"]))
            // What comes late is not taken.
            await log.report("a", ServiceReport(.blocked("late")))
            #expect(await services.reportsNow["k/a"] == ending)
            log.release("a")
            while await !services.reportsNow.isEmpty { try? await Task.sleep(for: .milliseconds(1)) }
        }
    }

    @Test("changes are told once, with the newest report of each connection")
    func stream() async throws {
        try await withServices { services in
            await services.declare(specs(["a": "1", "b": "1"]))
            await settle(["a": "1", "b": "1"])
            for number in 0..<20 { await log.report("a", ServiceReport(.blocked("\(number)"))) }
            for await _ in services.changes {
                let reports = await services.takeChanges()
                #expect(reports["k/a"]??.observation == .blocked("19") && reports.keys.contains("k/b"))
                break
            }
            #expect(await services.takeChanges().isEmpty)
            await log.report("b", ServiceReport(.inPlace))
            for await _ in services.changes {
                #expect(await services.takeChanges() == ["k/b": ServiceReport(.inPlace)])
                break
            }
        }
    }

    /// What keeps connections, with sessions that do nothing.
    private func services(_ register: NameRegister) throws -> NetworkServices {
        let settings = try ServiceSettings(environment: { _ in nil }, host: "h")
        let log = log
        return NetworkServices(
            settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, register: register, support: {}
        ) { _ in FakeSession(name: "a", version: "1", log: log) }
    }

    @Test("names that clients have are not given by endpoints")
    func names() async throws {
        let register = NameRegister()
        let services = try services(register)
        await services.declare(specs(["a": "1"]))
        #expect(!register.take("if-a", for: "an endpoint"))
    }

    @Test("a name that was asked for while another session ended, and is wanted no more, is free again")
    func unusedNames() async throws {
        let register = NameRegister()
        let services = try services(register)
        for name in ["first", "second", "third"] {
            let spec = NetworkServices.Spec.client(.with { $0.interfaceName = name })
            await services.declare(["k/a": spec])
        }
        // The first one still runs, as nobody ends it here.
        #expect(!register.take("first", for: "an endpoint"))
        #expect(register.take("second", for: "an endpoint"))
        #expect(!register.take("third", for: "an endpoint"))
        await services.declare(["k/a": nil])
        #expect(register.take("third", for: "an endpoint"))
    }

    @Test("a name that an endpoint had is a client's once it is free")
    func latecomer() async throws {
        let register = NameRegister()
        let services = try services(register)
        #expect(register.take("if-a", for: "an endpoint"))
        await services.declare(specs(["a": "1"]))
        register.release("if-a", of: "an endpoint")
        await services.declare(specs(["b": "1"]))
        #expect(!register.take("if-a", for: "an endpoint"))
    }

    @Test("of many connections only those that changed are told")
    func parts() async throws {
        try await withServices { services in
            await services.declare(specs(["a": "1"]))
            await settle(["a": "1"])
            func part(_ name: String) -> ServiceReport.Part { ServiceReport.Part(interface: name) }
            func report(_ parts: [String: ServiceReport.Part?]) -> ServiceReport {
                var report = ServiceReport(.inPlace)
                report.parts = parts
                return report
            }
            await log.report("a", report(["1": part("x1"), "2": part("x2")]))
            #expect(await services.takeChanges() == ["k/a": report(["1": part("x1"), "2": part("x2")])])
            // The first is as it was, the second changed and then went, the third is new.
            await log.report("a", report(["1": part("x1"), "2": part("y2"), "3": part("x3")]))
            await log.report("a", report(["2": nil]))
            #expect(await services.takeChanges() == ["k/a": report(["2": nil, "3": part("x3")])])
            #expect(await services.reportsNow == ["k/a": report(["1": part("x1"), "3": part("x3")])])
            await log.report("a", report(["1": part("x1"), "2": nil]))
            #expect(await services.takeChanges().isEmpty)
            // One that begins anew has brought nothing, and those who follow must learn that.
            await services.declare(specs(["a": "2"]))
            await settle(["a": "2"])
            let changes = await services.takeChanges()
            #expect(changes["k/a"]??.parts == ["1": nil, "3": nil])
        }
    }
}
