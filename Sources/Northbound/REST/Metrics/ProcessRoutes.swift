internal import Concurrency
internal import HTTPTypes
internal import Hummingbird

/// What a process without values serves by HTTP: its numbers and probes.
struct ProcessRoutes: Sendable {
    let registry: PrometheusRegistry
    let version: String
    /// Why it does not do its work yet; nil: it does.
    let obstacle: @Sendable () async -> String?
    private let start = Timestamp.now

    init(registry: PrometheusRegistry, version: String, obstacle: @escaping @Sendable () async -> String?) {
        self.registry = registry
        self.version = version
        self.obstacle = obstacle
    }

    var all: [Route] {
        [
            Route(.get, "/metrics", "The process in numbers, for Prometheus.") { _ in
                .text(await text, type: PrometheusText.type)
            },
            Route(.get, "/liveness", "Whether the process lives.", access: .probe) { _ in .text("ok\n") },
            Route(.get, "/readiness", "Whether it does its work.", access: .probe) { _ in
                guard let obstacle = await obstacle() else { return .text("ok\n") }
                return .text(obstacle + "\n", status: .serviceUnavailable)
            },
        ]
    }

    private var text: String {
        get async {
            await registry.currentText
                + PrometheusText.family("nsm_agent_build_info", .gauge, [([("version", version)], 1)])
                + PrometheusText.process(["process"], start: start)
        }
    }
}
