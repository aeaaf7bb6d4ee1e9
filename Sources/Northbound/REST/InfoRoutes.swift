internal import Concurrency
internal import Glibc
internal import Hummingbird
internal import HTTPTypes
internal import Model

/// Probes, the version, the schema and the log.
struct InfoRoutes: Sendable {
    let backend: any RESTBackend

    // MARK: - Probes

    func liveness(_ call: RESTCall) async throws -> Response {
        // That it answers says that it lives; that its one loop answers, that it works.
        .text(Self.probe(await backend.agentReport(), isReadiness: false).compact)
    }

    func readiness(_ call: RESTCall) async throws -> Response {
        let report = await backend.agentReport()
        return .text(
            Self.probe(report, isReadiness: true).compact, status: report.isReady ? .ok : .internalServerError)
    }

    private static func probe(_ report: AgentReport, isReadiness: Bool) -> JSON {
        let start = report.start.nanoseconds / 1_000_000_000
        return .fields([
            ("build_version", .string(report.version)), ("state", report.isReady ? 1 : nil),
            ("start_time", .int(start)),
            ("last_change", .int(start)), ("last_update", .int(Timestamp.now.nanoseconds / 1_000_000_000)),
            ("interface_stats", isReadiness ? .object([]) : nil), ("PluginStatus", .object([])),
            ("NonFatalPlugins", .null),
        ])
    }

    // MARK: - About

    func version(_ call: RESTCall) async throws -> Response {
        let report = await backend.agentReport()
        var system = utsname()
        uname(&system)
        let machine = withUnsafeBytes(of: &system.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let architectures = ["x86_64": "amd64", "aarch64": "arm64"]
        return .json(
            .object([
                ("App", "nsm-agent"), ("Version", .string(report.version)), ("GitCommit", .string(report.commit)),
                ("GitBranch", ""),
                ("BuildUser", ""), ("BuildHost", ""), ("BuildTime", 0), ("GoVersion", ""), ("OS", "linux"),
                ("Arch", .string(architectures[machine] ?? machine)), ("APIVersion", ""), ("OSType", ""),
            ]))
    }

    /// It is long, and always the same.
    private static let schemaText = JSONWriter.write(Schema.jsonSchema())

    func schema(_ call: RESTCall) async throws -> Response {
        .text(Self.schemaText, type: "application/json; charset=UTF-8")
    }

    // MARK: - Log

    /// There is one log; the ancestor of this agent has one for each of its parts.
    func loggers(_ call: RESTCall) async throws -> Response {
        let level = await backend.logLevel() ?? "info"
        return .json(.array([.object([("logger", "nsm-agent"), ("level", .string(level))])]))
    }

    func setLevel(_ call: RESTCall) async throws -> Response {
        let logger = call.parameters.get("logger") ?? ""
        let level = call.parameters.get("level") ?? ""
        guard await backend.setLogLevel(level) else { throw RESTError("invalid log level: \"\(level.prefix(100))\"") }
        return .json(.object([("logger", .string(logger)), ("level", .string(level))]))
    }
}
