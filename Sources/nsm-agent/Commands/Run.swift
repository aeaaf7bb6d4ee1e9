internal import Agent
internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import Logging
internal import Mesh
internal import MeshTransport
internal import Metrics
internal import NSMServices
internal import Northbound

struct Run: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the daemon: keep the network as a directory of files says.",
        discussion: """
            Changes of the files are applied at once, and drift is repaired as the kernel reports it. Files with mistakes \
            change nothing; 'nsm-agent status' shows them. SIGHUP reads the files again and tries again what failed. \
            SIGTERM stops the daemon and leaves the network as it is, with all connections to network services.
            """)

    @Option(help: ArgumentHelp("Directory of *.yaml, *.yml and *.json files.", valueName: "directory"))
    var config = OneShot.defaultPath
    @OptionGroup var socket: SocketOptions
    @Flag(help: "Only report drift.")
    var noRepair = false
    @Option(
        help: ArgumentHelp(
            "How often to compare what the kernel sends no events for: proxy neighbours, most sysctls, offloads. 'off': never.",
            valueName: "time"))
    var auditInterval = AuditInterval(milliseconds: 60_000)
    @Flag(help: "Run Network Service Mesh on this host beside the agent, as 'nsm-agent mesh' does.")
    var mesh = false
    @Option(
        help: ArgumentHelp(
            "YAML with options of this command as keys, such as 'mesh: true'; the command line overrides it. (default: \(SettingsFile.defaultPath), if it is there)",
            valueName: "file"))
    var settings: String?
    @Option(
        help: ArgumentHelp(
            "A file that is read once, at the start. All other sources override it. (default: none)",
            valueName: "file"))
    var initialConfig: String?
    @OptionGroup var log: LogOptions
    @OptionGroup var owner: OwnerOptions
    @OptionGroup(title: "Network services") var services: ServiceOptions
    @OptionGroup(title: "Clients") var clients: ClientOptions
    @OptionGroup(title: "gRPC API") var grpc: GRPCOptions
    @OptionGroup(title: "etcd") var etcd: EtcdOptions
    @OptionGroup(title: "Kubernetes") var kubernetes: KubernetesOptions
    @OptionGroup(title: "REST API") var http: HTTPOptions
    @OptionGroup(title: "Containers") var containers: ContainerOptions

    var descriptors: Int { Descriptors.daemon }

    func run() async throws {
        cl_share_heap()
        // Until the daemon listens to it, it must not end the process.
        signal(SIGHUP, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        try Privileges.require(changing: true)
        let line = try UpstreamFlags.split(CommandLine.arguments, environment: environment)
        let words = line.words.drop { $0 != Self._commandName }.dropFirst()
        let upstream = try line.flags.map { try Upstream($0, environment: environment) }
        let all = try RunSettings(SettingsFile(settings), arguments: Array(words), upstream: upstream)
        try await all.run.runDaemon(hosting: all.mesh, as: upstream)
    }

    /// Runs with what was put together from the file and the command line.
    private func runDaemon(hosting mesh: MeshOptions?, as upstream: Upstream?) async throws {
        let logger = log.logger
        let services = try services.settings(label: owner.resolvedLabel, hosting: mesh)
        if mesh != nil { try Descriptors.require(Descriptors.daemon + Descriptors.mesh) }
        if services.isInsecure {
            logger.warning(
                "the mesh is used without TLS and tokens: any program that can open its socket can answer",
                metadata: ["manager": "\(services.manager.url)"])
        }
        OtherVariables.tell(logger)
        let rest = try restSettings(upstream, logger)
        let options = try engineOptions(services, rest, upstream, logger)
        for text in options.openFaces { logger.warning("\(text)") }
        var meshOptions = try mesh?.hostOptions(agentEtcd: options.etcd?.client, logger: logger)
        meshOptions?.metrics = rest?.registry
        meshOptions?.interceptors =
            rest?.registry.map { [CallStatistics(factory: $0, methods: MeshCounts.methods).interceptor] } ?? []
        do {
            let hosted = try meshOptions.map { MeshService(mesh: try HostMesh($0, logger: logger)) }
            if let mesh = hosted?.mesh { rest?.registry?.beforeText { await mesh.collect() } }
            let daemon = try Daemon(options, socket: socket.path, beside: hosted.map { [$0] } ?? [], logger: logger)
            try await daemon.run()
        } catch let error as ControlSocket.Failure {
            throw Failure(error.description, status: error.exitStatus)
        } catch {
            throw Failure("\(error)")
        }
    }

    /// Where the REST API is served, with what it counts. What of it may be a mistake is logged.
    private func restSettings(_ upstream: Upstream?, _ logger: Logger) throws -> RESTSettings? {
        var rest = try http.settings(upstream)
        let ignored = try http.ignoredKeys()
        if let upstream {
            upstream.tell(logger)
        } else if !ignored.isEmpty {
            logger.warning(
                "keys of http.conf that have no effect here", metadata: ["keys": "\(ignored.joined(separator: ", "))"])
        }
        if let place = rest?.placeOfPlainPasswords {
            logger.warning(
                "passwords of users of the REST API can be read on their way; give server-cert-file and server-key-file in http.conf",
                metadata: ["at": "\(place.url)"])
        }
        if rest != nil {
            let registry = PrometheusRegistry(histograms: MeshCounts.histograms)
            MetricsSystem.bootstrap(registry)
            rest?.registry = registry
        }
        return rest
    }

    private func engineOptions(
        _ services: ServiceSettings, _ rest: RESTSettings?, _ upstream: Upstream?, _ logger: Logger
    ) throws -> Engine.Options {
        var options = Engine.Options(
            settings: owner.settings, configPath: config, repairsDrift: !noRepair, services: services,
            auditInterval: auditInterval.nanoseconds, journal: clients.journal(label: owner.resolvedLabel),
            grpc: try grpc.settings(isUpstream: upstream != nil),
            etcd: try etcd.settings(label: owner.resolvedLabel, tellsIgnored: upstream == nil, logger: logger),
            kubernetes: try kubernetes.settings(label: owner.label ?? environment("MICROSERVICE_LABEL")), rest: rest)
        options.containers = try containers.settings()
        options.needsFiles = upstream == nil
        options.history = clients.history(label: owner.resolvedLabel)
        options.initialFile = initialConfig
        options.openFaces = openFaces(options)
        return options
    }
}

/// What is to be said of faces by which everybody can change things.
private func openFaces(_ options: Engine.Options) -> [String] {
    var faces: [(name: String, addresses: [SocketAddress])] = []
    if let grpc = options.grpc, grpc.isInsecure { faces.append(("gRPC", grpc.addresses)) }
    if let rest = options.rest, rest.isInsecure, !rest.isReadOnly { faces.append(("REST", rest.addresses)) }
    return faces.map { face in
        let places = face.addresses.map(\.url).joined(separator: ", ")
        return "everybody who reaches the \(face.name) API can change the network: \(places)"
    }
}

struct Reload: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Make the daemon read its files and the kernel again, and try again what failed.",
        discussion: "As SIGHUP does, but waits until it is done. Exit status 65 if the files have mistakes.",
        aliases: ["resync"])

    @Flag(
        help: ArgumentHelp(
            "Accept what etcd holds now, even if that is less than before.",
            discussion: "When etcd seems to have lost its data, the agent keeps the former values until this is said."))
    var acceptEmpty = false
    @OptionGroup var socket: AgentOptions

    func run() async throws {
        let response = try await socket.client().answer { [acceptEmpty] client in
            try await client.reload(acceptsEmpty: acceptEmpty)
        }
        if response.mistakes.isEmpty { return }
        Failure.write(response.mistakes.map { $0 + "\n" }.joined())
        Failure.tell("the files have mistakes; the configuration in force is unchanged")
        throw Failure.said(status: ExitStatus.invalid)
    }
}

struct Confirm: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "confirm", abstract: "Keep the changes of an 'apply --confirm' that waits.")

    @Option(help: ArgumentHelp("The socket of the apply that waits.", valueName: "path"))
    var socket = ControlSocket.confirmationPath

    func run() async throws {
        let client: ControlClient
        do throws(ControlSocket.Failure) {
            client = try ControlClient(path: socket)
        } catch {
            if case .noAgent = error {
                throw Failure("no apply waits for confirmation on \(socket)", status: ExitStatus.unavailable)
            }
            throw Failure(error.description, status: error.exitStatus)
        }
        let response = try await client.answer { try await $0.confirm() }
        guard response.confirmed else { throw Failure("nothing waits for confirmation on \(socket)") }
        Show.line("Confirmed: the changes stay.")
    }
}

extension ControlClient {
    /// Asks, and puts a failure in the words of the command line.
    func answer<Answer: Sendable>(_ ask: (ControlClient) async throws -> Answer) async throws -> Answer {
        do {
            return try await ask(self)
        } catch let error as ControlClient.Failure {
            throw nsm_agent.Failure(
                error.description, status: error.isAnswer ? ExitStatus.failure : ExitStatus.unavailable)
        }
    }
}
