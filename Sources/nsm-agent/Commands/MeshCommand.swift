internal import Agent
internal import ArgumentParser
internal import Glibc
internal import Logging
internal import Mesh
internal import Northbound
internal import ServiceLifecycle
internal import UnixSignals

/// The mesh as a part of a process.
struct MeshService: Service {
    let mesh: HostMesh
    /// Whom to tell that it serves; nil: somebody else does.
    var manager: ServiceManager?

    func run() async throws {
        try await withGracefulShutdownHandler {
            manager?.ready("serving clients and endpoints")
            try await cancelWhenGracefulShutdown { try await mesh.run() }
        } onGracefulShutdown: {
            manager?.stopping("connections and traffic stay")
        }
    }
}

/// The numbers of a process, as a part of it.
private struct MetricsService: Service {
    let face: RESTFace
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown { await face.runBeside(logger) }
        // A service that returns earlier ends the others.
        try await gracefulShutdown()
    }
}

struct MeshCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "mesh", abstract: "Run Network Service Mesh on this host: manager, registry and kernel forwarder.",
        discussion: """
            Clients and endpoints connect to its socket with any SDK of Network Service Mesh v1. Each connection is a veth \
            pair between their network namespaces. Identities come from SPIRE when SPIFFE_ENDPOINT_SOCKET names its socket; \
            otherwise the mesh keeps an authority of its own and serves identities to the programs of this host, by their \
            user, on the Workload API socket. SIGTERM stops the mesh; connections and traffic stay. 'nsm-agent run --mesh' \
            runs it beside the agent in one process.
            """, subcommands: [MeshBundle.self, MeshStatusCommand.self])

    @OptionGroup var mesh: MeshOptions
    @OptionGroup var metrics: MetricsOptions
    @OptionGroup var log: LogOptions

    var descriptors: Int { Descriptors.mesh }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        try Privileges.require(changing: true)
        let logger = log.logger
        var options = try mesh.hostOptions(logger: logger)
        let counts = try metrics.address().map(MeshMetrics.init)
        options.metrics = counts?.registry
        options.interceptors = counts.map { [$0.calls.interceptor] } ?? []
        do {
            let host = try HostMesh(options, logger: logger)
            let face = try counts?.face(collect: { await host.collect() }, obstacle: { host.obstacle }, logger: logger)
            let service = MeshService(mesh: host, manager: ServiceManager())
            let group = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: face.map { [MetricsService(face: $0, logger: logger), service] } ?? [service],
                    gracefulShutdownSignals: [.sigterm, .sigint],
                    logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }))
            try await group.run()
            logger.info("stopped; connections and traffic stay")
        } catch {
            throw Failure("\(error)")
        }
    }
}
