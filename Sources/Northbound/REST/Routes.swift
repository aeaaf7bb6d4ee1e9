internal import HTTPTypes
internal import Hummingbird

/// A path that is answered.
struct Route: Sendable {
    /// Who may ask.
    enum Access: Sendable {
        /// Everybody, also before they say who they are.
        case probe
        /// Who may look.
        case look
        /// Who may change things.
        case change
    }

    typealias Answer = @Sendable (RESTCall) async throws -> Response

    let method: HTTPRequest.Method
    /// With `{names}` for what may differ.
    let path: String
    let access: Access
    /// What it is for.
    let summary: String
    /// Names of arguments.
    let query: [String]
    /// Whether it looks at the body.
    let takesBody: Bool
    /// The longest body, bytes; nil: as long as any.
    let bodyLimit: Int?
    let answer: Answer

    init(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, access: Access = .look,
        query: [String] = [], takesBody: Bool = false, bodyLimit: Int? = nil, _ answer: @escaping Answer
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.summary = summary
        self.query = query
        self.takesBody = takesBody
        self.bodyLimit = bodyLimit
        self.answer = answer
    }
}

/// All paths.
struct Routes: Sendable {
    let all: [Route]

    init(_ backend: any RESTBackend, _ settings: RESTSettings, _ page: PageFeed) {
        let json = ValueJSON(dataIsText: settings.dataIsText)
        let scheduler = SchedulerRoutes(backend: backend, json: json)
        let history = HistoryRoutes(backend: backend, json: json)
        let linux = LinuxRoutes(backend: backend)
        let calls = CallRoutes(statistics: settings.statistics)
        let configuration = ConfigurationRoutes(backend: backend)
        let info = InfoRoutes(backend: backend)
        let routes =
            Self.scheduler(scheduler, history) + Self.linux(linux) + Self.calls(calls)
            + Self.configuration(configuration)
            + Self.info(info) + (settings.sessions.map { Self.sessions(SessionRoutes(sessions: $0)) } ?? [])
            + Self.metrics(MetricsRoutes(backend: backend, registry: settings.registry))
            + Self.page(PageRoutes(feed: page))
        let index = Route(
            .get, "/", "The page for browsers; all paths for others, and with 'paths'.", query: ["paths"]
        ) { call in PageRoutes.page(call) { Self.index(routes) } }
        let described = routes + [index]
        all =
            described + [
                Route(.get, "/openapi.json", "The description of all paths, for programs.") { _ in
                    .json(OpenAPI.document(described, version: await backend.agentReport().version))
                }
            ]
    }

    private static func scheduler(_ scheduler: SchedulerRoutes, _ history: HistoryRoutes) -> [Route] {
        [
            Route(
                .get, "/scheduler/status", "Where values stand, with what is derived from them.",
                query: ["key", "descriptor", "key-prefix", "sources"], scheduler.status),
            Route(
                .get, "/scheduler/dump", "Values in the kernel (SB), declared (NB), or both (cached).",
                query: ["descriptor", "key-prefix", "view"], scheduler.dump),
            Route(
                .post, "/scheduler/downstream-resync", "Reads the kernel and makes it as it is wanted.",
                access: .change,
                query: ["retry", "verbose"], scheduler.resynchronise),
            Route(.get, "/scheduler/stats", "Numbers of transactions and states.", scheduler.statistics),
            Route(
                .get, "/scheduler/txn-history", "What was done.", query: ["seq-num", "since", "until", "format"],
                history.transactions),
            Route(
                .get, "/scheduler/key-timeline", "How a value was over time.", query: ["key", "time"], history.timeline),
            Route(
                .get, "/scheduler/graph-snapshot", "How all values were at a time.", query: ["time"], history.snapshot),
            Route(
                .get, "/scheduler/flag-stats", "How many records of values have a flag.", query: ["flag", "prefix"],
                history.flagStatistics),
            Route(
                .get, "/scheduler/graph", "What depends on what, as a graph for graphviz.", query: ["txn", "format"],
                history.graph),
        ]
    }

    private static func linux(_ linux: LinuxRoutes) -> [Route] {
        [
            Route(.get, "/dump/linux/v2/interfaces", "Interfaces in the kernel.", linux.interfaces),
            Route(.get, "/dump/linux/v2/routes", "Routes in the kernel.", linux.routes),
            Route(.get, "/dump/linux/v2/arps", "Neighbours in the kernel.", linux.neighbours),
            Route(.get, "/stats/linux/interfaces", "What interfaces carried.", linux.interfaceStatistics),
        ]
    }

    private static func sessions(_ sessions: SessionRoutes) -> [Route] {
        [
            Route(.get, "/login", "A page to log in.", access: .probe, sessions.page),
            Route(
                .post, "/login", "A token for a user and a password.", access: .probe, takesBody: true,
                bodyLimit: 4096, sessions.logIn),
            Route(
                .post, "/authenticate", "A cookie for a user and a password.", access: .probe, takesBody: true,
                bodyLimit: 4096, sessions.authenticate),
            Route(.post, "/logout", "Ends the tokens of the user.", sessions.logOut),
        ]
    }

    private static func calls(_ calls: CallRoutes) -> [Route] {
        [
            Route(
                .get, "/stats/configurator", "Calls of the gRPC service that takes whole configurations.",
                calls.configurator)
        ]
    }

    private static func configuration(_ configuration: ConfigurationRoutes) -> [Route] {
        [
            Route(
                .get, "/configuration", "All that is declared, as YAML.", query: ["sources"],
                configuration.configuration),
            Route(
                .put, "/configuration", "Declares the values of a YAML or JSON body.", access: .change,
                query: ["replace"], takesBody: true, configuration.change),
            Route(
                .post, "/configuration/validate", "Says what is wrong with a YAML or JSON body.",
                takesBody: true, configuration.validate),
        ]
    }

    private static func info(_ info: InfoRoutes) -> [Route] {
        [
            Route(.get, "/liveness", "Whether the agent lives.", access: .probe, info.liveness),
            Route(.get, "/readiness", "Whether it has taken up its configuration.", access: .probe, info.readiness),
            Route(.get, "/info/version", "Which agent this is.", info.version),
            Route(.get, "/info/configuration/jsonschema", "What a configuration may say.", info.schema),
            Route(.get, "/log/list", "Loggers and their levels.", info.loggers),
            Route(.put, "/log/{logger}/{level}", "Sets the level of the log.", access: .change, info.setLevel),
        ]
    }

    private static func metrics(_ metrics: MetricsRoutes) -> [Route] {
        [
            Route(.get, "/metrics", "The agent in numbers, for Prometheus.", metrics.metrics),
            Route(.get, "/metrics/{model}", "Metrics of a model; there is none here.", metrics.model),
        ]
    }

    private static func page(_ page: PageRoutes) -> [Route] {
        [
            Route(.get, "/ui/state", "All that the page shows.", page.state),
            Route(.get, "/ui/events", "The same, and what changes of it, as server-sent events.", page.events),
            Route(.get, "/ui/files/{file}", "What the page consists of.", page.file),
        ]
    }

    private static func index(_ routes: [Route]) -> Response {
        var text =
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Index</title></head>\n<body>\n<h2>Index:</h2>\n<ul>\n"
        for route in routes where route.method == .get && !route.path.contains("{") {
            text += "<li><a href=\"\(route.path)\">\(route.path)</a> \(route.summary)</li>\n"
        }
        return .text(text + "</ul>\n</body>\n</html>\n", type: "text/html; charset=UTF-8")
    }
}
