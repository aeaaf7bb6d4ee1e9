internal import Agent
internal import ArgumentParser
internal import Logging
internal import Mesh
internal import MeshTransport
internal import Northbound

/// Where a mesh, or a forwarder, tells its numbers.
struct MetricsOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Where /metrics is for Prometheus, with /liveness and /readiness for probes: tcp://address:port for everybody who reaches it, or unix:///path for root alone. (default: nowhere)",
            valueName: "url"))
    var metricsListen: String?

    mutating func validate() throws { _ = try address() }

    /// Where it is; nil: nowhere.
    ///
    /// - Throws: `ValidationError`.
    func address() throws -> SocketAddress? {
        guard let metricsListen else { return nil }
        guard let address = Upstream.address(metricsListen) else {
            throw ValidationError("--metrics-listen '\(metricsListen)': tcp://address:port or unix:///path is needed")
        }
        return address
    }

    /// Where stock programs tell theirs, when they do; nil: nowhere.
    ///
    /// - Throws: `ValidationError`.
    func addressOfStock() throws -> SocketAddress? {
        if let own = try address() { return own }
        // As their library reads a flag.
        guard ["1", "t", "T", "true", "TRUE", "True"].contains(environment("PROMETHEUS") ?? "") else { return nil }
        let text = environment("NSM_PROMETHEUS_LISTEN_ON") ?? ":8081"
        guard let address = Upstream.address(text.contains("://") || text.hasPrefix(":") ? text : "tcp://\(text)")
        else {
            throw ValidationError("NSM_PROMETHEUS_LISTEN_ON is '\(text)'; an address such as :8081 is needed")
        }
        return address
    }
}

extension RESTFace {
    /// Serves until the task is cancelled. A program that can't tell its numbers any more does its work all the same.
    func runBeside(_ logger: Logger) async {
        do {
            try await run()
        } catch {
            if Task.isCancelled { return }
            logger.error("metrics are no longer served", metadata: ["error": "\(error)"])
        }
    }
}

/// What a mesh, or a forwarder, counts, and the face that tells it.
struct MeshMetrics: Sendable {
    let registry = PrometheusRegistry(histograms: MeshCounts.histograms)
    /// Counts the calls.
    let calls: CallStatistics
    private let address: SocketAddress

    init(_ address: SocketAddress) {
        self.address = address
        calls = CallStatistics(factory: registry, methods: MeshCounts.methods)
    }

    /// Listens.
    ///
    /// - Parameters:
    ///   - collect: Brings up to date what is not counted as it happens.
    ///   - obstacle: Why the program does not do its work yet; nil: it does.
    /// - Throws: `TransportError` when the address is not available.
    func face(
        collect: @escaping @Sendable () async -> Void, obstacle: @escaping @Sendable () async -> String?,
        logger: Logger
    ) throws -> RESTFace {
        registry.beforeText(collect)
        let face = try RESTFace(
            metrics: registry, at: [address], version: Version.text, obstacle: obstacle, logger: logger)
        for address in face.addresses { logger.info("metrics are served", metadata: ["at": "\(address.url)/metrics"]) }
        return face
    }
}
