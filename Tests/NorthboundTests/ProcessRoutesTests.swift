import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Synchronization
import Testing

@testable import Northbound

@Suite("What a process without values serves")
struct ProcessRoutesTests {
    private let registry = PrometheusRegistry(histograms: ["x_seconds"])
    private let obstacle = Obstacle()

    private final class Obstacle: Sendable {
        let text = Mutex<String?>("not yet")
    }

    private var responder: RESTResponder {
        var settings = RESTSettings(addresses: [])
        settings.isReadOnly = true
        let routes = ProcessRoutes(registry: registry, version: "1") { [obstacle] in obstacle.text.withLock { $0 } }.all
        return RESTResponder(
            settings, routes, forLookers: routes.map(\.answer), Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func ask(
        _ path: String, method: HTTPRequest.Method = .get, host: String = "192.0.2.1:9192"
    ) async -> HTTPResponse.Status {
        let head = HTTPRequest(method: method, scheme: "http", authority: host, path: path)
        // Somebody from anywhere.
        let peer = HTTPPeer(isUnix: false, user: nil, address: "192.0.2.7", hasCertificate: false)
        return await responder.respond(to: Request(head: head, body: RequestBody(buffer: .init())), from: peer).status
    }

    @Test("numbers and probes, to everybody who reaches it, and nothing else")
    func routes() async {
        #expect(await ask("/metrics") == .ok)
        #expect(await ask("/metrics", method: .head) == .ok)
        #expect(await ask("/liveness") == .ok)
        #expect(await ask("/readiness") == .serviceUnavailable)
        obstacle.text.withLock { $0 = nil }
        #expect(await ask("/readiness") == .ok)
        #expect(await ask("/metrics", method: .post) == .methodNotAllowed)
        #expect(await ask("/scheduler/dump") == .notFound)
        // A page of somebody else, under a name of his, learns nothing.
        #expect(await ask("/metrics", host: "evil.example") == .forbidden)
    }

    @Test("what is not counted as it happens is asked for before the text is made")
    func collected() async {
        registry.beforeText { [registry] in
            registry.makeMeter(label: "x_in_use", dimensions: []).set(Int64(3))
        }
        registry.makeTimer(label: "x_seconds", dimensions: []).recordNanoseconds(7_000_000)
        #expect(!registry.text.contains("x_in_use"))
        let text = await registry.currentText
        #expect(text.contains("# TYPE x_in_use gauge\nx_in_use 3\n"))
        #expect(text.contains("x_seconds_bucket{le=\"0.01\"} 1\n"))
    }
}
