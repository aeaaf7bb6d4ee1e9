import Concurrency
import GRPCCore
import HTTPTypes
import Hummingbird
import HummingbirdCore
import MeshTransport
import Model
import NIOCore
@testable import Reconciler
import Synchronization
import TestSupport
import Testing

@testable import Northbound

extension Sessions {
    /// Whether a token is good no more as it is given.
    fileprivate func isOver() async throws -> Bool {
        try await logIn("ann", "secret").map { account($0) == nil } ?? false
    }
}

@Suite("The REST face")
struct RESTTests {
    // MARK: - Answers

    @Test("JSON looks as Go writes it, whatever of it is JSON already")
    func json() {
        let value = JSON.object([
            ("a", .array([1, "x\n\"", .null])), ("empty", .object([])), ("none", .array([])),
            ("raw", .raw(#"{"name":"a:b,{}","list":[1,{"x":"\""}],"nothing":{}}"#)),
        ])
        #expect(
            value.text == """
                {
                  "a": [
                    1,
                    "x\\n\\"",
                    null
                  ],
                  "empty": {},
                  "none": [],
                  "raw": {
                    "name": "a:b,{}",
                    "list": [
                      1,
                      {
                        "x": "\\""
                      }
                    ],
                    "nothing": {}
                  }
                }

                """)
        #expect(JSON.object([("a", .array([1, 2]))]).compact == #"{"a":[1,2]}"#)
    }

    @Test("values are raw objects, or text for old clients")
    func valueText() throws {
        var message = Ligato_Linux_L3_ARPEntry()
        message.interface = "br"
        let value = ModelValue.arp(message)
        #expect(
            try ValueJSON(dataIsText: false).value(value).compact
                == #"{"ProtoMsgName":"ligato.linux.l3.ARPEntry","ProtoMsgData":{"interface":"br"}}"#)
        #expect(
            try ValueJSON(dataIsText: true).value(value).compact
                == #"{"ProtoMsgName":"ligato.linux.l3.ARPEntry","ProtoMsgData":"{\"interface\":\"br\"}"}"#)
    }

    @Test("masks are told as Go tells them")
    func masks() {
        var allocation = Ligato_Netalloc_IPAllocation()
        allocation.address = "10.5.0.1/20"
        allocation.gw = "10.5.0.254"
        #expect(
            ValueMetadata.json(.allocation(allocation), [:]).compact
                == #"{"IfaceAddr":{"IP":"10.5.0.1","Mask":"///wAA=="},"GwAddr":{"IP":"10.5.0.254","Mask":"///wAA=="}}"#)
    }

    @Test("what takes long is read once for all who ask within some time", arguments: [true, false])
    func recent(isKept: Bool) async {
        let count = Mutex(0)
        let recent = Recent(for: isKept ? .seconds(3600) : .zero) { count.withLock { $0 += 1 } }
        await withDiscardingTaskGroup { group in
            for _ in 0..<20 { group.addTask { await recent.value() } }
        }
        #expect(count.withLock { $0 } == (isKept ? 1 : 20))
    }

    private final class Written: Sendable {
        let parts = Mutex<[(bytes: [UInt8], isGateFull: Bool)]>([])
        var bytes: [UInt8] { parts.withLock { $0.flatMap(\.bytes) } }
    }

    private struct Writer: ResponseBodyWriter {
        let written: Written
        let gate: Gate
        mutating func write(_ buffer: ByteBuffer) async throws {
            written.parts.withLock { $0.append((Array(buffer: buffer), gate.isFull)) }
        }
        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }

    @Test("a long text is written in parts, so that a slow reader is told from one that does not read")
    func longText() async throws {
        let written = Written()
        let text = String(repeating: "x", count: 200_000)
        let response = Response.text(text)
        #expect(response.body.contentLength == 200_000)
        try await response.body.write(Writer(written: written, gate: Gate(1)))
        #expect(written.parts.withLock { $0.map(\.bytes.count) } == [65536, 65536, 65536, 3392])
        #expect(written.bytes == Array(text.utf8))
    }

    @Test("a long list is made within the gate and written outside of it", arguments: [0, 1, 20_000])
    func list(count: Int64) async throws {
        let gate = Gate(1)
        let written = Written()
        let peer = HTTPPeer(isUnix: true, user: 0, address: nil, hasCertificate: false)
        let call = RESTCall(parameters: .init(), peer: peer, query: .init(nil), body: [], gate: gate)
        let response = call.array(0..<count) { number in
            #expect(gate.isFull)
            return .int(number)
        }
        try await response.body.write(Writer(written: written, gate: gate))
        #expect(written.parts.withLock { $0.allSatisfy { !$0.isGateFull && $0.bytes.count < 66_000 } })
        let lines = (0..<count).map { "\n  \($0)" }.joined(separator: ",")
        #expect(String(decoding: written.bytes, as: UTF8.self) == "[\(lines)\(count > 0 ? "\n" : "")]\n")
    }

    @Test("arguments of a query")
    func arguments() throws {
        let query = QueryArguments("key=a%2Fb+c&prefix=1&prefix=2&empty=&replace&bad=%zz")
        #expect(query["key"] == "a/b c")
        #expect(query.all("prefix") == ["1", "2"])
        #expect(query["empty"] == nil)
        #expect(query.has("replace") && !query.has("nope"))
        #expect(query["bad"] == "%zz")
        #expect(throws: RESTError.self) { try query.single("prefix") }
        #expect(throws: RESTError.self) { try query.number("key", "ParseInt", as: Int64.self) }
        #expect(try query.number("prefix", "ParseInt", as: Int64.self) == 1)
    }

    // MARK: - Trust

    private func ask(
        _ settings: RESTSettings, host: String? = "localhost", origin: String? = nil, user: UInt32? = 1000,
        isUnix: Bool = false, hasCertificate: Bool = false, authorization: String? = nil, cookie: String? = nil
    ) -> String {
        var fields = HTTPFields()
        fields[.origin] = origin
        fields[.authorization] = authorization
        fields[.cookie] = cookie
        let head = HTTPRequest(method: .get, scheme: "http", authority: host, path: "/", headerFields: fields)
        let request = Request(head: head, body: RequestBody(buffer: .init()))
        let peer = HTTPPeer(
            isUnix: isUnix, user: user, address: isUnix ? nil : "127.0.0.1", hasCertificate: hasCertificate)
        switch RequestGate(settings).right(request, peer) {
        case .change: return "change"
        case .look: return "look"
        case .nothing: return "nothing"
        case .foreign: return "foreign"
        }
    }

    @Test("root may change things, others look unless they are users or it is meant")
    func rights() {
        var settings = RESTSettings(addresses: [])
        #expect(ask(settings) == "look")
        #expect(ask(settings, user: 0) == "change")
        #expect(ask(settings, user: nil) == "look")
        #expect(ask(settings, user: nil, hasCertificate: true) == "change")
        #expect(ask(settings, user: 0, isUnix: true) == "change")
        settings.isInsecure = true
        #expect(ask(settings) == "change")
        settings.isReadOnly = true
        #expect(ask(settings) == "look")
        #expect(ask(settings, user: 0) == "look")
        #expect(ask(settings, user: 0, isUnix: true) == "look")
    }

    @Test("users say who they are, in the way of basic authentication")
    func users() throws {
        var settings = RESTSettings(addresses: [])
        settings.users = [try #require(.init("a:b:c")), try #require(.init("x:y"))]
        #expect(RESTSettings.User("none") == nil)
        #expect(ask(settings) == "nothing")
        #expect(ask(settings, user: 0) == "change")
        #expect(ask(settings, authorization: "Basic " + Base64.encode(Array("a:b:c".utf8))) == "change")
        #expect(ask(settings, authorization: "basic " + Base64.encode(Array("x:y".utf8))) == "change")
        for wrong in ["a:b", "a:b:cc", "", "x:", ":y"] {
            #expect(ask(settings, authorization: "Basic " + Base64.encode(Array(wrong.utf8))) == "nothing")
        }
        #expect(ask(settings, user: 0, authorization: "Basic ?!") == "nothing")
        settings.isReadOnly = true
        #expect(ask(settings, authorization: "Basic " + Base64.encode(Array("x:y".utf8))) == "look")
    }

    /// `secret`, with the least cost.
    private static let hash = "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

    @Test("hashes of bcrypt are known, and only those that take a bearable time")
    func hashes() throws {
        try #require(PasswordHash.isPossible)
        let hash = try #require(PasswordHash(Self.hash))
        #expect(hash.matches("secret"))
        for wrong in ["", "Secret", "secret ", "secret\0", String(repeating: "x", count: 73)] {
            #expect(!hash.matches(wrong))
        }
        for text in [
            "", "secret", "$2b$31$" + Self.hash.dropFirst(7), "$1$04$" + Self.hash.dropFirst(6), Self.hash + "x",
        ] {
            #expect(PasswordHash(text) == nil, "\(text)")
        }
    }

    @Test("who logs in gets a token for some time, and may do what the permissions say")
    func tokens() async throws {
        let hash = try #require(PasswordHash(Self.hash))
        let sessions = Sessions(
            [.init(name: "ann", hash: hash, mayChange: true), .init(name: "bob", hash: hash, mayChange: false)],
            lifetime: .seconds(3600), limit: 4)
        var settings = RESTSettings(addresses: [])
        settings.sessions = sessions
        let ann = try #require(try await sessions.logIn("ann", "secret"))
        let bob = try #require(try await sessions.logIn("bob", "secret"))
        #expect(ann.utf8.count == 64 && ann != bob)
        for (name, password) in [
            ("ann", "wrong"), ("nobody", "x"), ("", ""), ("ann", String(repeating: "x", count: 300)),
        ] {
            #expect(try await sessions.logIn(name, password) == nil)
        }
        #expect(ask(settings) == "nothing")
        #expect(ask(settings, user: 0) == "change")
        #expect(ask(settings, authorization: "Bearer \(ann)") == "change")
        #expect(ask(settings, authorization: "bearer \(bob)") == "look")
        #expect(ask(settings, cookie: "a=b; ligato-rest=\(ann)") == "change")
        #expect(ask(settings, cookie: "xligato-rest=\(ann)") == "nothing")
        for wrong in ["Bearer x", "Bearer ", "Bearer \(ann.uppercased())x", "Basic \(ann)"] {
            #expect(ask(settings, authorization: wrong) == "nothing", "\(wrong)")
        }
        settings.isReadOnly = true
        #expect(ask(settings, authorization: "Bearer \(ann)") == "look")
        settings.isReadOnly = false
        sessions.logOut(ann)
        #expect(ask(settings, authorization: "Bearer \(ann)") == "nothing")
        #expect(ask(settings, authorization: "Bearer \(bob)") == "look", "others stay")
        #expect(try await Sessions([.init(name: "ann", hash: hash, mayChange: true)], lifetime: .zero).isOver())
        for _ in 0..<4 { _ = try await sessions.logIn("ann", "secret") }
        #expect(sessions.count == 3, "there is an end of them, for each user")
        #expect(sessions.account(bob) != nil, "others stay")
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask { (try? await sessions.logIn("nobody", "x", from: .address("192.0.2.1"))) == nil }
            }
            for _ in 0..<2 {
                group.addTask { (try? await sessions.logIn("bob", "secret", from: .address("192.0.2.2"))) != nil }
            }
            for await isAsExpected in group { #expect(isAsExpected, "one peer can't keep others out") }
        }
    }

    @Test("pages of others and names that are not ours are foreign", arguments: [true, false])
    func foreign(isNamed: Bool) {
        var settings = RESTSettings(addresses: [])
        settings.names = isNamed ? ["Agent.Example"] : []
        #expect(ask(settings, host: "agent.example:9191", user: 0) == (isNamed ? "change" : "foreign"))
        for ours in ["127.0.0.1:9191", "[::1]:9191", "10.0.0.1", "LocalHost:1", nil] {
            #expect(ask(settings, host: ours, user: 0) == "change")
        }
        for other in ["evil.com", "127.0.0.1.evil.com", "[::1].evil.com:80", "localhost.evil.com", "0x7f.1"] {
            #expect(ask(settings, host: other, user: 0) == "foreign")
        }
        #expect(ask(settings, origin: "http://localhost", user: 0) == "change")
        for page in ["http://evil.com", "null", "", "file://", "http://localhost:8080"] {
            #expect(ask(settings, origin: page, user: 0) == "foreign")
        }
    }

    // MARK: - History

    private func time(_ seconds: Int64) -> Timestamp { Timestamp(nanoseconds: seconds * 1_000_000_000) }

    private func transaction(
        _ number: UInt64, at seconds: Int64, _ entries: [(key: String, after: ValueState)]
    ) -> Transaction {
        Transaction(
            sequence: number, reason: .files, start: time(seconds), duration: .seconds(1),
            entries: entries.map {
                .init(verb: .create, key: $0.key, summary: "", before: .nonexistent, after: $0.after, error: "")
            })
    }

    @Test("values have a history, as far as transactions are remembered")
    func timeline() throws {
        let status = ValueStatus(
            key: "c", baseKey: nil, kind: "", summary: "", state: .pending, error: "", lastOperation: .undefined,
            details: [], since: time(5))
        let timeline = Timeline(
            [
                transaction(1, at: 10, [("a", .configured), ("b", .failed)]),
                transaction(2, at: 20, [("a", .removed), ("b", .configured)]),
            ],
            [
                ValueStatus(
                    key: "b", baseKey: nil, kind: "", summary: "", state: .configured, error: "",
                    lastOperation: .create, details: [], since: time(21)), status,
            ])
        let first = try #require(timeline.records["a"]?.first)
        #expect(first.since == time(11) && first.until == time(21))
        #expect(timeline.records["b"]?.map(\.state) == [.failed, .configured])
        #expect(timeline.records["b"]?.last?.until == nil)
        #expect(timeline.snapshot(at: time(15)).map(\.key) == ["a", "b", "c"])
        #expect(timeline.snapshot(at: time(30)).map(\.key) == ["b", "c"])
        #expect(timeline.snapshot(at: time(1)).isEmpty)
        #expect(timeline.records["c"]?.first?.flags.map(\.name) == ["value-state", "unavailable"])
    }

    // MARK: - Metrics

    @Test("calls of gRPC are counted under the names of servers in Go")
    func calls() throws {
        let registry = PrometheusRegistry()
        let statistics = CallStatistics(factory: registry)
        let dump = Ligato_Configurator_ConfiguratorService.Method.Dump.descriptor
        for (code, time) in [(Status.Code.ok, 2), (.permissionDenied, 4)] {
            let meters = try #require(statistics.begin(dump))
            meters.received.increment()
            if code == .ok { meters.sent.increment() }
            statistics.end(dump, code, .milliseconds(time))
        }
        statistics.end(Ligato_Generic_ManagerService.Method.GetConfig.descriptor, .ok, .seconds(1))
        let labels = #"grpc_method="Dump",grpc_service="ligato.configurator.ConfiguratorService",grpc_type="unary"}"#
        for line in [
            "grpc_server_started_total{\(labels) 2", "grpc_server_msg_received_total{\(labels) 2",
            "grpc_server_msg_sent_total{\(labels) 1", "grpc_server_handled_total{grpc_code=\"OK\",\(labels) 1",
            "grpc_server_handled_total{grpc_code=\"PermissionDenied\",\(labels) 1",
            "grpc_server_handling_seconds_count{\(labels) 2",
            "grpc_server_handling_seconds_bucket{\(labels.dropLast()),le=\"0.005\"} 2",
            "# TYPE grpc_server_handling_seconds histogram",
        ] { #expect(registry.text.contains(line + "\n"), "\(line)") }
        let times = try #require(statistics.calls(of: dump.service).first).times
        #expect(times.count == 2 && times.least < 0.003 && times.most > 0.003)
        #expect(
            CallRoutes(statistics: statistics).json.compact
                == #"{"AllOperations":{"count":2,"total":0.006,"avg":0.003,"min":0.002,"max":0.004},"Operations":[{"name":"Dump","count":2,"total":0.006,"avg":0.003,"min":0.002,"max":0.004}]}"#
        )
        #expect(
            CallRoutes(statistics: CallStatistics()).json.compact == #"{"AllOperations":{"count":0},"Operations":[]}"#,
            "as release 3.1 of the ancestor says it")
    }

    @Test("what is counted is told as Prometheus reads it")
    func metrics() {
        let registry = PrometheusRegistry()
        registry.makeCounter(label: "b_total", dimensions: [("x", "1\"\\\n")]).increment(by: 2)
        registry.makeCounter(label: "b_total", dimensions: [("x", "1\"\\\n")]).increment(by: 1)
        registry.makeTimer(label: "a_seconds", dimensions: []).recordNanoseconds(1_500_000_000)
        registry.makeRecorder(label: "g", dimensions: [], aggregate: false).record(Int64(7))
        let timer = registry.makeTimer(
            label: "ligato_kvscheduler_txn_duration_seconds", dimensions: [("txn_type", "NBTransaction")])
        timer.recordNanoseconds(20_000_000)
        let lines = registry.text.split(separator: "\n").map(String.init)
        #expect(lines.contains(#"b_total{x="1\"\\\n"} 3"#))
        #expect(lines.contains("a_seconds_sum 1.5") && lines.contains("a_seconds_count 1"))
        #expect(lines.contains("g 7"))
        let name = "ligato_kvscheduler_txn_duration_seconds_bucket{txn_type=\"NBTransaction\","
        #expect(lines.contains(name + "le=\"0.01\"} 0") && lines.contains(name + "le=\"0.025\"} 1"))
        #expect(lines.contains(name + "le=\"+Inf\"} 1"))
        #expect(lines.contains("# TYPE ligato_kvscheduler_txn_duration_seconds histogram"))
    }
}
