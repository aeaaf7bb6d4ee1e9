import ArgumentParser
import EtcdClient
import KubernetesClient
import Northbound

/// Many agents in one process. Each has the agent's own source: the code that lists, watches, keeps its session alive and
/// writes its status; only the kernel is missing.
@main
struct ScaleAgents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale-agents", abstract: "Many agents without a kernel, to see what a server of theirs needs.",
        subcommands: [OfEtcd.self, OfKubernetes.self])

    struct Options: ParsableArguments, Sendable {
        @Option(help: "How many agents there are.") var agents = 50
        @Option(help: "Over how many seconds their starts are spread.") var ramp = 0.0
    }

    /// Agents `a0`, `a1` … of an etcd.
    struct OfEtcd: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "etcd")
        @Argument(help: "A member of etcd.") var endpoint: String
        @OptionGroup var options: Options
        @Option(help: "How long their sessions outlive them.") var sessionSeconds: Int64 = 5
        @Option(help: "How many keys each has.") var values = 5
        @Flag(help: "They say once for each session that they are well, and not every 10 s.") var quiet = false

        func run() async throws {
            guard let endpoint = EtcdEndpoint(endpoint) else { throw ValidationError("'\(endpoint)' is no endpoint") }
            let configuration = EtcdConfiguration(endpoints: [endpoint])
            let (sessionSeconds, quiet, values, count) = (sessionSeconds, quiet, values, options.agents)
            let (tally, ramp) = (Tally(agents: count), options.ramp)
            let client = EtcdClient(configuration, logger: Simulation.logger)
            try await client.withConnection { writer in
                let puts = (0..<count).flatMap { agent in (0..<values).map { Self.put(agent, $0, 1279) } }
                for start in stride(from: 0, to: puts.count, by: 100) {
                    let part = Array(puts[start..<min(start + 100, puts.count)])
                    _ = try await writer.transaction(then: part)
                }
                let simulation = Simulation(tally: tally, agents: count, ramp: ramp) { agent, engine in
                    var settings = EtcdSettings(
                        client: configuration, label: "a\(agent)", sessionSeconds: sessionSeconds)
                    settings.isQuiet = quiet
                    await EtcdSource(settings, backend: engine, logger: Simulation.logger).run()
                } change: { agent, number in
                    _ = try await writer.transaction(
                        then: [Self.put(agent, 0, 1280 + number % 5000)])
                }
                await simulation.serve()
            }
        }

        private static func put(_ agent: Int, _ number: Int, _ mtu: Int) -> EtcdOperation {
            let address = "10.\(agent >> 8 & 255).\(agent & 255).\(number)/24"
            let text =
                #"{"name":"if\#(number)","type":"BRIDGE","enabled":true,"ip_addresses":["\#(address)"],"mtu":\#(mtu)}"#
            let key = "/vnf-agent/a\(agent)/config/linux/interfaces/v2/interface/if\(number)"
            return .put(key: key, value: Array(text.utf8))
        }
    }

    /// Agents `m0`, `m1` … of a Kubernetes API server. Resource `rN` has to be there, for agent `m(N % AGENTS)`.
    struct OfKubernetes: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "kubernetes")
        @Argument(help: "Where the API server is.") var kubeconfig: String
        @OptionGroup var options: Options
        @Option(help: "Where the resources are.") var namespace = "cnf"
        @Option(help: "Which of them an agent looks at; '%' stands for its number.") var selector = ""
        @Option(help: "The one resource an agent looks at; '%' stands for its number.") var name: String?
        @Option(help: "How many resources there are.") var resources = 50
        @Option(help: "Who changes them.") var writer: String?

        func run() async throws {
            let configuration = try KubernetesConfiguration.kubeconfig([kubeconfig])
            let (namespace, selector, name, count) = (namespace, selector, name, options.agents)
            let resources = resources
            let client = KubernetesClient(
                try .kubeconfig([writer ?? kubeconfig]), logger: Simulation.logger)
            await Simulation(tally: Tally(agents: count), agents: count, ramp: options.ramp) { agent, engine in
                func filled(_ text: String) -> String {
                    text.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "\(agent)")
                }
                var settings = KubernetesSettings(
                    client: configuration, label: "m\(agent)", namespace: namespace, selector: filled(selector),
                    instance: "pod-\(agent)")
                settings.name = name.map(filled)
                await KubernetesSource(settings, backend: engine, logger: Simulation.logger).run()
            } change: { agent, number in
                // The resources of an agent in turn.
                let own = max((resources - agent + count - 1) / count, 1)
                let resource = agent + number / count % own * count
                let link: JSONValue = [
                    "name": .string("b\(resource)"), "type": "BRIDGE", "enabled": true,
                    "mtu": .int(Int64(1280 + number % 5000)),
                ]
                _ = try await client.patch(
                    .cnfConfiguration, "r\(resource)", namespace: namespace,
                    .merge(["spec": ["linuxConfig": ["interfaces": [link]]]]))
            }.serve()
        }
    }
}
