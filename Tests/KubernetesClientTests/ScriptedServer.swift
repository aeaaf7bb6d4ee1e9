import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

@testable import KubernetesClient

/// A server on the loopback that answers as a test says.
final class ScriptedServer: Sendable {
    struct Request: Sendable {
        var method: String
        var uri: String
        var headers: [String: String]
        var body: String
        /// Which connection it came on, from 0.
        var connection: Int
        /// Requests before it.
        var number: Int
    }

    enum Step: Sendable {
        case answer(Int, String, headers: [String] = [])
        case raw(String)
        case close
    }

    let requests = Mutex<[Request]>([])
    private let connections = Mutex(0)
    private let channel: any Channel
    let configuration: KubernetesConfiguration

    private init(_ channel: any Channel, _ configuration: KubernetesConfiguration) {
        self.channel = channel
        self.configuration = configuration
    }

    /// Runs `body` with a client of a server that answers with `script`.
    static func serve<Result: Sendable>(
        _ script: @escaping @Sendable (Request) -> [Step],
        limits: (inout KubernetesConfiguration.Limits) -> Void = { _ in },
        _ body: (KubernetesClient, ScriptedServer) async throws -> Result
    ) async throws -> Result {
        let holder = Mutex<ScriptedServer?>(nil)
        let gate = NIOSingletons.posixEventLoopGroup.next().makePromise(of: ScriptedServer.self)
        let channel = try await ServerBootstrap(group: NIOSingletons.posixEventLoopGroup)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                gate.futureResult.hop(to: channel.eventLoop).flatMapThrowing { server in
                    let number = server.connections.withLock { count in
                        defer { count += 1 }
                        return count
                    }
                    try channel.pipeline.syncOperations.addHandlers([
                        ByteToMessageHandler(HTTPRequestDecoder()), ScriptHandler(server, number, script),
                    ])
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = channel.localAddress?.port ?? 0
        guard let address = ServerAddress("http://127.0.0.1:\(port)/base") else { fatalError() }
        var configuration = KubernetesConfiguration(server: address, credentials: .token("secret"), namespace: "here")
        configuration.limits.longestWait = .milliseconds(50)
        // Tests of other parts keep the machine busy.
        configuration.limits.connectTimeout = .seconds(60)
        limits(&configuration.limits)
        let server = ScriptedServer(channel, configuration)
        holder.withLock { $0 = server }
        gate.succeed(server)
        let client = KubernetesClient(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        do {
            let result = try await body(client, server)
            try await channel.close().get()
            return result
        } catch {
            try await channel.close().get()
            throw error
        }
    }

    var seen: [Request] { requests.withLock { $0 } }
}

private final class ScriptHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = ByteBuffer

    private let server: ScriptedServer
    private let number: Int
    private let script: @Sendable (ScriptedServer.Request) -> [ScriptedServer.Step]
    private var head: HTTPRequestHead?
    private var body = ""

    init(
        _ server: ScriptedServer, _ number: Int,
        _ script: @escaping @Sendable (ScriptedServer.Request) -> [ScriptedServer.Step]
    ) {
        self.server = server
        self.number = number
        self.script = script
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = ""
        case .body(let part): body += String(buffer: part)
        case .end: answer(context)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard let head else { return }
        var headers: [String: String] = [:]
        for (name, value) in head.headers { headers[name.lowercased()] = value }
        let request = server.requests.withLock { requests in
            let request = ScriptedServer.Request(
                method: head.method.rawValue, uri: head.uri, headers: headers, body: body, connection: number,
                number: requests.count)
            requests.append(request)
            return request
        }
        for step in script(request) {
            switch step {
            case .answer(let status, let text, let headers):
                let lines = ["HTTP/1.1 \(status) X", "Content-Length: \(text.utf8.count)"] + headers + ["", text]
                write(lines.joined(separator: "\r\n"), context)
            case .raw(let text): write(text, context)
            case .close: context.close(promise: nil)
            }
        }
    }

    private func write(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
}

extension ScriptedServer.Step {
    static let watchHead = Self.raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    static let watchEnd = Self.raw("0\r\n\r\n")

    /// A part of an answer, of any bytes.
    static func chunk(_ text: String) -> Self {
        .raw("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
    }

    static func status(_ code: Int, _ reason: String, _ message: String = "no", headers: [String] = []) -> Self {
        .answer(code, Self.statusText(code, reason, message), headers: headers)
    }

    static func statusText(_ code: Int, _ reason: String, _ message: String = "no") -> String {
        #"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"\#(message)","reason":"\#(reason)","code":\#(code)}"#
    }

    static func list(_ names: [String], version: Int, next: String? = nil) -> Self {
        let items = names.map { #"{"metadata":{"name":"\#($0)","resourceVersion":"1"}}"# }.joined(separator: ",")
        let more = next.map { #","continue":"\#($0)""# } ?? ""
        return .answer(
            200, #"{"kind":"List","metadata":{"resourceVersion":"\#(version)"\#(more)},"items":[\#(items)]}"#)
    }

    static func line(_ type: String, _ name: String, _ version: Int) -> String {
        #"{"type":"\#(type)","object":{"metadata":{"name":"\#(name)","resourceVersion":"\#(version)"}}}"# + "\n"
    }
}
