internal import Agent
internal import ArgumentParser
internal import Glibc
internal import Logging
internal import Mesh
internal import NSM
internal import Northbound

struct ForwarderCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "forwarder",
        abstract: "Run the kernel forwarder of this host for a manager of Network Service Mesh v1.",
        discussion: """
            For hosts that have a manager of Network Service Mesh already, in the place of its VPP or OVS forwarder. It registers \
            at the manager, which then puts it between clients and endpoints. Those of this host are connected by a veth pair, \
            those of different hosts by VXLAN, or by WireGuard where the kernel has it. There are kernel interfaces only: no memif, \
            no SR-IOV. \
            Identities come from SPIRE's socket in SPIFFE_ENDPOINT_SOCKET. NSM_NAME, NSM_LABELS, NSM_NSNAME, NSM_CONNECT_TO, \
            NSM_LISTEN_ON, NSM_TUNNEL_IP, NSM_VXLAN_PORT, NSM_MECHANISM_PRIORITY, NSM_MAX_TOKEN_LIFETIME, NSM_DIAL_TIMEOUT, NSM_REQUEST_TIMEOUT, \
            NSM_LOG_LEVEL, and with PROMETHEUS=true NSM_PROMETHEUS_LISTEN_ON, mean what they mean to stock forwarders. SIGTERM stops it; connections and traffic stay. \
            Hosts without a manager have all in one with 'nsm-agent mesh'.
            """, subcommands: [ForwarderHealth.self])

    @OptionGroup var options: ForwarderOptions
    @OptionGroup var metrics: MetricsOptions
    @OptionGroup var log: LogOptions

    var descriptors: Int { Descriptors.mesh }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        try Privileges.require(changing: true)
        let logger = log.logger
        let service = ServiceManager()
        try options.checkTunnels()
        var settings = try options.forwarder()
        let counts = try metrics.addressOfStock().map(MeshMetrics.init)
        settings.metrics = counts?.registry
        settings.interceptors = counts.map { [$0.calls.interceptor] } ?? []
        do {
            let forwarder = try NodeForwarder(settings, workloadSocket: options.workloadSocket, logger: logger)
            let face = try counts?.face(
                collect: { await forwarder.collect() },
                obstacle: { forwarder.isRegistered ? nil : "the forwarder is not registered at its manager" },
                logger: logger)
            try await withThrowingTaskGroup(of: Void.self) { group in
                if let face { group.addTask { await face.runBeside(logger) } }
                defer { group.cancelAll() }
                try await run(forwarder, settings, service, logger)
            }
            logger.info("stopped; connections and traffic stay")
        } catch {
            throw Failure("\(error)")
        }
    }

    private func run(
        _ forwarder: NodeForwarder, _ settings: NodeForwarder.Options, _ service: ServiceManager, _ logger: Logger
    ) async throws {
        try await forwarder.run {
            logger.info(
                "the forwarder is ready",
                metadata: [
                    "name": "\(settings.name)", "at": "\(settings.listen.url)", "manager": "\(settings.manager.url)",
                ])
            service.ready("registered at \(settings.manager.url)")
        } until: {
            await terminationSignal()
            service.stopping("connections and traffic stay")
        }
    }
}

struct ForwarderHealth: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Ask the forwarder that runs here whether its manager has it.",
        discussion: """
            For probes of Kubernetes: grpc.health.v1 on the forwarder's socket, with the identity of SPIFFE_ENDPOINT_SOCKET. \
            Options and variables are those of 'nsm-agent forwarder'. Exit status 0, or 69 with the reason.
            """)

    @ParentCommand var command: ForwarderCommand
    @Option(help: ArgumentHelp("How long to wait, in seconds.", valueName: "seconds"))
    var timeout = 5

    func validate() throws {
        guard (1...600).contains(timeout) else { throw ValidationError("--timeout \(timeout): 1 to 600 are possible") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let options = command.options
        do {
            try await NodeForwarder.probe(
                options.forwarder().listen, workloadSocket: options.workloadSocket, within: .seconds(timeout),
                logger: command.log.logger(orOf: "error"))
        } catch {
            throw Failure("\(error)", status: ExitStatus.unavailable)
        }
        Show.line("The manager has the forwarder.")
    }
}
