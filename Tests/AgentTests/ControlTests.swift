import Concurrency
import Glibc
import Northbound
import Synchronization
import Testing

@testable import Reconciler

/// An agent with more to say than goes into one message.
private final class Talkative: ControlBackend {
    static let count = 30_000
    /// Bytes of the longest message so far.
    let longest = Mutex(0)

    static let values = (0..<count).map { index in
        ValueStatus(
            key: "config/linux/l3/v2/route/\(index)/with/a/key/of/a/common/length", baseKey: nil, kind: "route",
            summary: "10.0.0.0/8 via 10.0.0.\(index) dev eth0", state: .pending, error: "", lastOperation: .create,
            details: ["gw-reachable", String(repeating: "x", count: 200)], since: Timestamp(nanoseconds: 1),
            nextTry: nil)
    }

    static let transactions = (1...3).map { number in
        let entries = (0..<(number == 2 ? count : 2)).map { index in
            Transaction.Entry(
                verb: .create, key: "config/linux/l3/v2/route/\(index)", summary: String(repeating: "y", count: 200),
                before: .nonexistent, after: .configured, error: "")
        }
        var transaction = Transaction(
            sequence: UInt64(number), reason: .files, start: Timestamp(nanoseconds: 1), duration: .seconds(1),
            entries: entries)
        transaction.omitted = number
        return transaction
    }

    static let edges = (1..<count).map { index in
        GraphEdge(from: values[index].key, to: values[index - 1].key, isDerived: false, isUnmet: true)
    }

    private func note(_ count: Int) { longest.withLock { $0 = max($0, count) } }

    func status(
        _ request: Nsmagent_Control_StatusRequest, to write: @escaping Write<Nsmagent_Control_StatusResponse>
    ) async throws {
        var head = Nsmagent_Control_StatusResponse()
        head.version = "1"
        head.mistakes = (0..<Self.count).map { "pods.yaml:\($0):1: a mistake that takes about half a line to tell" }
        let now = Timestamp(nanoseconds: 1)
        try await head.write(Self.values.lazy.map { Nsmagent_Control_Value($0, now: now) }) { part in
            self.note(try part.serializedData().count)
            try await write(part)
        }
    }

    func configuration(
        _: Nsmagent_Control_ConfigurationRequest, to write: @escaping Write<Nsmagent_Control_ConfigurationResponse>
    ) {}
    func explain(_ request: Nsmagent_Control_ExplainRequest) async throws -> Nsmagent_Control_ExplainResponse {
        .init()
    }

    func history(
        _ request: Nsmagent_Control_HistoryRequest, to write: @escaping Write<Nsmagent_Control_Transaction>
    ) async throws {
        for transaction in Self.transactions {
            try await Nsmagent_Control_Transaction.write(transaction) { part in
                self.note(try part.serializedData().count)
                try await write(part)
            }
        }
    }

    func graph(
        _ request: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>
    ) async throws {
        try await Nsmagent_Control_GraphResponse.write(Self.values, edges: Self.edges) { part in
            self.note(try part.serializedData().count)
            try await write(part)
        }
    }

    func confirm() async -> Nsmagent_Control_ConfirmResponse { .init() }
    func reload(_ request: Nsmagent_Control_ReloadRequest) async -> Nsmagent_Control_ReloadResponse { .init() }
}

@Suite("Control")
struct ControlTests {
    @Test("answers of any size arrive whole, in messages that are small")
    func parts() async throws {
        let path = "/tmp/nsm-agent-control-\(getpid()).sock"
        let backend = Talkative()
        let server = try ControlServer(path: path, backend: backend)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            let client = try ControlClient(path: path)

            let status = try await client.status(.init())
            #expect(status.version == "1")
            #expect(status.mistakes.count == Talkative.count)
            #expect(status.values.map(\.status.key) == Talkative.values.map(\.key))
            #expect(status.values.last?.status.details == Talkative.values.last?.details)

            let history = try await client.history(.init())
            #expect(history.map(\.sequence) == [1, 2, 3])
            #expect(history.map(\.omitted) == [1, 2, 3])
            #expect(history.map(\.operations.count) == [2, Talkative.count, 2])
            #expect(history[1].operations.map(\.key) == Talkative.transactions[1].entries.map(\.key))

            let graph = try await client.graph(.init())
            #expect(graph.nodes.map(\.key) == Talkative.values.map(\.key))
            #expect(graph.edges.map(\.to) == Talkative.edges.map(\.to))
            group.cancelAll()
        }
        #expect((1...1 << 20).contains(backend.longest.withLock { $0 }))
    }

    @Test("a value with endless texts fits into a message all the same")
    func endless() throws {
        let endless = String(repeating: "ä", count: 1 << 20)
        let status = ValueStatus(
            key: "k", baseKey: nil, kind: "route", summary: endless, state: .failed, error: endless,
            lastOperation: .create, details: (0..<100_000).map { "reason \($0)" }, since: Timestamp(nanoseconds: 1),
            nextTry: nil)
        let value = Nsmagent_Control_Value(status, now: Timestamp(nanoseconds: 1))
        #expect(try value.serializedData().count < 1 << 18)
        #expect(value.status.details.last?.hasPrefix("and ") == true)
        #expect(value.summary.hasSuffix("…"))
    }
}
