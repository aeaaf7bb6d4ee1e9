public import Logging
internal import Northbound
public import ServiceLifecycle
internal import UnixSignals

/// The agent as a daemon: engine, control socket and signals, started and stopped together.
public struct Daemon: Sendable {
    private let engine: Engine
    private let control: ControlServer
    private let grpc: GRPCFace?
    private let etcd: EtcdSource?
    private let kubernetes: KubernetesSource?
    private let rest: RESTFace?
    private let manager: ServiceManager
    private let others: [any Service]
    private let logger: Logger

    /// Takes hold of the control socket; nothing runs yet.
    ///
    /// - Parameter beside: What starts and stops with the agent; when one ends, all do.
    /// - Throws: when there is another agent, or no socket is available.
    public init(_ options: Engine.Options, socket: String, beside others: [any Service] = [], logger: Logger) throws {
        self.logger = logger
        self.others = others
        manager = ServiceManager()
        engine = try Engine(options, manager: manager, logger: logger)
        control = try ControlServer(path: socket, backend: engine, configuration: engine, logger: logger)
        let statistics = CallStatistics()
        grpc = try options.grpc.map { [engine] settings in
            var settings = settings
            settings.statistics = statistics
            return try GRPCFace(settings, backend: engine, control: engine, logger: logger)
        }
        etcd = options.etcd.map { [engine] settings in
            var settings = settings
            settings.version = Version.text
            // Beside what clients declare.
            let suffix = ".journal"
            settings.memory = options.journal.map {
                ($0.hasSuffix(suffix) ? String($0.dropLast(suffix.count)) : $0) + ".etcd"
            }
            return EtcdSource(settings, backend: engine, logger: logger)
        }
        kubernetes = options.kubernetes.map { [engine] in KubernetesSource($0, backend: engine, logger: logger) }
        rest = try options.rest.map { [engine] settings in
            var settings = settings
            settings.statistics = statistics
            return try RESTFace(settings, backend: engine, logger: logger)
        }
        let settings = options.settings
        logger.info(
            "starting",
            metadata: [
                "version": "\(Version.text)", "label": "\(settings.label)",
                "protocol": .stringConvertible(settings.ownership.proto),
                "config": "\(options.configPath)", "socket": "\(socket)",
            ])
    }

    /// Runs until `SIGTERM` or `SIGINT`, and leaves the network as it is.
    public func run() async throws {
        var faces: [any Service] = []
        if let grpc { faces.append(GRPCService(face: grpc)) }
        if let etcd { faces.append(EtcdService(source: etcd)) }
        if let kubernetes { faces.append(KubernetesService(source: kubernetes)) }
        if let rest { faces.append(RESTService(face: rest)) }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: others + faces + [
                    ControlFace(server: control), EngineService(engine: engine, manager: manager),
                    Reloader(engine: engine),
                ],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }))
        try await group.run()
        logger.info("stopped; the network stays as it is")
    }
}

private struct EngineService: Service {
    let engine: Engine
    let manager: ServiceManager
    func run() async throws {
        try await withGracefulShutdownHandler {
            try await cancelWhenGracefulShutdown { try await engine.run() }
        } onGracefulShutdown: {
            manager.stopping()
        }
    }
}

private struct ControlFace: Service {
    let server: ControlServer
    func run() async throws {
        try await withGracefulShutdownHandler {
            try await server.run()
        } onGracefulShutdown: {
            server.stop()
        }
    }
}

private struct GRPCService: Service {
    let face: GRPCFace
    func run() async throws {
        try await withGracefulShutdownHandler {
            try await face.run()
        } onGracefulShutdown: {
            face.stop()
        }
    }
}

private struct EtcdService: Service {
    let source: EtcdSource
    func run() async throws { await cancelWhenGracefulShutdown { await source.run() } }
}

private struct KubernetesService: Service {
    let source: KubernetesSource
    func run() async throws { await cancelWhenGracefulShutdown { await source.run() } }
}

private struct RESTService: Service {
    let face: RESTFace
    func run() async throws {
        try await withGracefulShutdownHandler {
            try await face.run()
        } onGracefulShutdown: {
            face.stop()
        }
    }
}

/// `SIGHUP` reads the configuration again.
private struct Reloader: Service {
    let engine: Engine
    func run() async throws {
        // Not the sequence's own way to end at a shutdown: that starts tasks, and with them a pool of workers.
        await cancelWhenGracefulShutdown {
            for await _ in await UnixSignalsSequence(trapping: .sighup) { engine.requestReload(.signal) }
        }
    }
}
