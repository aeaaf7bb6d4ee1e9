internal import Agent
internal import ArgumentParser
internal import CNFController
internal import EtcdClient
internal import Glibc
internal import KubernetesClient
internal import Logging
internal import UnixSignals

/// Starts the controller.
@main
struct CNFCRD: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cnf-crd",
        abstract: "Write CNFConfiguration resources of Kubernetes into etcd, for agents that read there.",
        discussion: """
            Of several replicas one works, by a Lease. A resource's status says whether it was understood (Accepted), is in etcd \
            (Applied), and is configured by all of its agents (Ready), which they say when they run with --etcd-publish-states. \
            What the controller wrote goes with the resource; what others wrote to etcd is never touched.

            Exit status: 0 done, 1 something failed, 64 wrong usage, 65 wrong configuration.
            """,
        version: Version.line(program: "cnf-crd"))

    @OptionGroup(title: "Kubernetes") var kubernetes: KubernetesOptions
    @OptionGroup(title: "etcd") var etcd: EtcdOptions
    @OptionGroup(title: "Rules") var rules: RuleOptions
    @OptionGroup(title: "Log") var log: LogOptions
    @Option(help: ArgumentHelp("Where /healthz and /readyz are served; 'off': nowhere.", valueName: "[host]:port"))
    var health = HealthAddress(host: "0.0.0.0", port: 8081)
    @Flag(help: "Take the finalizer off all resources and end. Their keys in etcd stay.")
    var removeFinalizers = false

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let logger = log.logger
        let client = KubernetesClient(try kubernetes.configuration(), logger: logger)
        defer { client.close() }
        if removeFinalizers {
            let count = try await Finalizers.remove(client, namespace: kubernetes.namespace)
            return print("finalizers of \(count) resources removed")
        }
        let etcd = EtcdClient(try etcd.configuration(logger), logger: logger)
        var settings = ControllerSettings(identity: kubernetes.identity)
        settings.namespace = kubernetes.namespace
        settings.root = self.etcd.etcdPrefix
        settings.ownRoot = self.etcd.ownPrefix
        settings.allowed = rules.allowed
        settings.keepsUnknownModels = rules.unknownModels == .store
        if settings.allowed.isOpen {
            logger.warning("resources of every namespace may write for every microservice; --allow says which may")
        }
        try await serve(client, etcd, settings, logger)
    }

    private func serve(
        _ client: KubernetesClient, _ etcd: EtcdClient, _ settings: ControllerSettings, _ logger: Logger
    ) async throws {
        let facts = HealthServer.Facts()
        let election = LeaderElection(client, kubernetes.lease, logger: logger)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let health = health
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { for await _ in signals { return } }
            if let port = health.port {
                let server = HealthServer(host: health.host, port: port, facts: facts)
                group.addTask { try await server.run() }
            }
            group.addTask {
                try await election.run { leadership in
                    await Controller.lead(settings, client, etcd, leadership, facts: facts, logger: logger)
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
