internal import Concurrency
internal import HTTPTypes
internal import Hummingbird
public import Logging
public import MeshTransport

/// Serves the northbound API by HTTP.
public struct RESTFace: Sendable {
    private let listeners: [ServerListener]
    private let servers: [HTTPServer]
    /// How long answers may take to be finished.
    private static let grace = Duration.seconds(1)

    /// Listens; ``run()`` answers.
    ///
    /// - Throws: ``TransportError`` when an address or a file is not available.
    public init(
        _ settings: RESTSettings, backend: some RESTBackend, logger: Logger
    ) throws(TransportError) {
        try self.init(settings, RESTResponder(settings, backend: backend, logger: logger), logger)
    }

    /// Listens for a process that has no values, such as a mesh: only what it counts is served, and probes.
    ///
    /// - Parameter obstacle: Why the process does not do its work yet; nil: it does.
    /// - Throws: ``TransportError`` when an address or a file is not available.
    public init(
        metrics registry: PrometheusRegistry, at addresses: [SocketAddress], version: String,
        obstacle: @escaping @Sendable () async -> String?, logger: Logger
    ) throws(TransportError) {
        var settings = RESTSettings(addresses: addresses)
        settings.isReadOnly = true
        // Who scrapes has one connection or two.
        settings.limits.connections = 64
        settings.limits.peerConnections = 16
        settings.limits.body = 1024
        let routes = ProcessRoutes(registry: registry, version: version, obstacle: obstacle).all
        try self.init(settings, RESTResponder(settings, routes, forLookers: routes.map(\.answer), logger), logger)
    }

    private init(
        _ settings: RESTSettings, _ responder: RESTResponder, _ logger: Logger
    ) throws(TransportError) {
        var listeners: [ServerListener] = []
        var servers: [HTTPServer] = []
        var certificates: CertificateFiles?
        if let files = settings.tls {
            certificates = try CertificateFiles(files, protocols: ["http/1.1"], logger: logger)
        }
        for address in settings.addresses {
            let listener = try ServerListener(address, mode: 0o600)
            listeners.append(listener)
            // What goes through a Unix socket stays on this host.
            let tls = if case .unix = address { nil as CertificateFiles? } else { certificates }
            servers.append(
                HTTPServer(listener, tls: tls, limits: settings.limits, logger: logger) { request, peer in
                    await responder.respond(to: request, from: peer)
                })
        }
        self.listeners = listeners
        self.servers = servers
    }

    /// Where it listens, with real ports.
    public var addresses: [SocketAddress] { listeners.map(\.address) }

    /// Answers until ``stop()`` or until the task is cancelled; then the sockets' files go.
    public func run() async throws {
        defer { for listener in listeners { listener.removeFile() } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for server in servers { group.addTask { try await server.run() } }
            try await group.waitForAll()
        }
    }

    /// Finishes the answers under way and takes no other requests.
    public func stop() { for server in servers { server.stop(within: Self.grace) } }
}

/// What the router tells the handlers of a request.
private struct RESTContext: RequestContext {
    /// Where it is made from.
    struct Source: RequestContextSource {
        let logger: Logger
        let peer: HTTPPeer
        let right: RequestGate.Right
    }

    var coreContext: CoreRequestContextStorage
    let peer: HTTPPeer
    let right: RequestGate.Right

    init(source: Source) {
        coreContext = CoreRequestContextStorage(source: source)
        peer = source.peer
        right = source.right
    }
}

/// Answers requests.
struct RESTResponder: Sendable {
    private let gate: RequestGate
    private let router: RouterResponder<RESTContext>
    private let logger: Logger
    private let lookers = Lookers()

    /// Who may only look shares what it costs with others like him.
    private struct Lookers: Sendable {
        let answers = Gate(4)
        /// Reading a body costs most.
        let bodies = Gate(1)
        /// The longest body, bytes. It is kept while it waits for its turn.
        static let body = 1 << 20
    }

    init(_ settings: RESTSettings, backend: any RESTBackend, logger: Logger) {
        let page = PageFeed(backend)
        self.init(
            settings, Routes(backend, settings, page).all,
            forLookers: Routes(LookerBackend(backend), settings, page).all.map(\.answer), logger)
    }

    /// - Parameter answersForLookers: What who may only look is answered, one for each route.
    init(_ settings: RESTSettings, _ routes: [Route], forLookers answersForLookers: [Route.Answer], _ logger: Logger) {
        gate = RequestGate(settings)
        self.logger = logger
        let lookers = lookers
        let limit = settings.limits.body
        let router = Router(context: RESTContext.self, options: [.autoGenerateHeadEndpoints])
        var methods: [String: Set<HTTPRequest.Method>] = [:]
        for (route, answerForLookers) in zip(routes, answersForLookers) {
            let path = route.path.replacing("{", with: ":").replacing("}", with: "")
            methods[path, default: []].insert(route.method)
            router.on(RouterPath(path), method: route.method) { request, context in
                try await Self.answer(route, answerForLookers, request, context, lookers, limit)
            }
        }
        for (path, known) in methods {
            let taken = known.contains(.get) ? known.union([.head]) : known
            for method in [HTTPRequest.Method.get, .put, .post, .delete, .patch, .head] where !taken.contains(method) {
                router.on(RouterPath(path), method: method) { _, context in
                    if case .nothing = context.right { return Self.unauthorized }
                    let allowed = taken.map(\.rawValue).sorted().joined(separator: ", ")
                    return Response(status: .methodNotAllowed, headers: [.allow: allowed])
                }
            }
        }
        self.router = router.buildResponder()
    }

    func respond(to request: Request, from peer: HTTPPeer) async -> Response {
        let right = gate.right(request, peer)
        if case .foreign(let reason) = right { return RESTError(reason, .forbidden).response }
        let context = RESTContext(source: .init(logger: logger, peer: peer, right: right))
        do {
            let response = try await router.respond(to: request, context: context)
            if response.status == .notFound, response.body.contentLength == 0 {
                if case .nothing = right { return Self.unauthorized }
                return .text("404 page not found\n", status: .notFound)
            }
            return response
        } catch let error as RESTError {
            return error.response
        } catch is CancellationError {
            return RESTError("the agent is stopping", .serviceUnavailable).response
        } catch {
            logger.error("a request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            return RESTError("\(error)").response
        }
    }

    private static func answer(
        _ route: Route, _ answerForLookers: Route.Answer, _ request: Request, _ context: RESTContext,
        _ lookers: Lookers, _ limit: Int
    ) async throws -> Response {
        let obstacle: String?
        switch context.right {
        case .change: obstacle = nil
        case .look(let reason): obstacle = reason
        case .nothing:
            if route.access != .probe { return unauthorized }
            obstacle = "it is not known who asks"
        case .foreign(let reason): throw RESTError(reason, .forbidden)
        }
        if route.access == .change, let obstacle { throw RESTError(obstacle, .forbidden) }
        var gate: Gate?
        if obstacle != nil, route.access != .probe { gate = route.takesBody ? lookers.bodies : lookers.answers }
        // The body is read first: no request waits for the body of another one.
        let longest = min(gate == nil ? limit : min(limit, Lookers.body), route.bodyLimit ?? limit)
        let body = route.takesBody ? try await request.bytes(upTo: longest) : []
        let call = RESTCall(
            parameters: context.parameters, peer: context.peer, query: QueryArguments(request.uri.query), body: body,
            gate: gate, token: SessionToken.of(request), headers: request.headers,
            requestBody: route.takesBody ? nil : request.body, isHead: request.method == .head)
        guard let gate else { return try await route.answer(call) }
        return try await gate.run { try await answerForLookers(call) }
    }

    private static var unauthorized: Response {
        var response = RESTError("say who you are: a user of http.conf is needed", .unauthorized).response
        response.headers[.wwwAuthenticate] = "Basic realm=\"nsm-agent\""
        return response
    }
}
