internal import Agent
internal import ArgumentParser
internal import CNFController
internal import EtcdClient
internal import Glibc
internal import KubernetesClient
internal import Logging
internal import Northbound

/// What an environment variable says; nil: nothing.
func environment(_ name: String) -> String? {
    guard let text = getenv(name).map({ String(cString: $0) }), !text.isEmpty else { return nil }
    return text
}

struct KubernetesOptions: ParsableArguments {
    @Option(
        name: [.customLong("kubeconfig"), .customLong("kube-config", withSingleDash: true)],
        help: ArgumentHelp(
            "How to reach the API server. (default: $KUBE_CONFIG or $KUBECONFIG if it is there, else the pod's service account)",
            valueName: "file"))
    var kubeconfig: String?
    @Option(help: ArgumentHelp("The context of that file. (default: its current one)", valueName: "name"))
    var context: String?
    @Option(help: ArgumentHelp("Only resources of this namespace. (default: those of all)", valueName: "namespace"))
    var namespace: String?
    @Option(
        help: ArgumentHelp(
            "Who this is among its replicas. (default: $POD_NAME, else the host's name)", valueName: "name"))
    var identity = environment("POD_NAME") ?? environment("HOSTNAME") ?? "cnf-crd-\(getpid())"
    @Option(help: ArgumentHelp("The Lease by which replicas agree who works.", valueName: "name"))
    var leaseName = "cnf-crd"
    @Option(help: ArgumentHelp("Its namespace. (default: the pod's own)", valueName: "namespace"))
    var leaseNamespace: String?
    @Option(
        help: ArgumentHelp(
            "How long a Lease lasts that is not renewed: after so long another replica works.", valueName: "seconds"))
    var leaseSeconds = 15

    mutating func validate() throws {
        guard (3...3600).contains(leaseSeconds) else {
            throw ValidationError("--lease-seconds \(leaseSeconds): from 3 to 3600")
        }
        guard !identity.isEmpty else { throw ValidationError("--identity: it must not be empty") }
    }

    func configuration() throws -> KubernetesConfiguration {
        var configuration: KubernetesConfiguration
        if let kubeconfig {
            configuration = try .kubeconfig([kubeconfig], context: context)
        } else if let path = environment("KUBE_CONFIG"), access(path, R_OK) == 0 {
            configuration = try .kubeconfig([path], context: context)
        } else {
            configuration = try .standard()
        }
        configuration.userAgent = "cnf-crd/\(Version.text)"
        return configuration
    }

    var lease: LeaderElection.Settings {
        var lease = LeaderElection.Settings(name: leaseName, namespace: leaseNamespace, identity: identity)
        lease.duration = .seconds(leaseSeconds)
        lease.renewDeadline = .seconds(leaseSeconds) * 2 / 3
        lease.interval = .seconds(leaseSeconds) / 7
        return lease
    }
}

struct EtcdOptions: ParsableArguments {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A member of etcd; several with commas, or by giving this more than once.", valueName: "address"))
    var etcdEndpoints: [String] = []
    @Option(
        name: [.long, .customLong("etcd-config", withSingleDash: true)],
        help: ArgumentHelp(
            "An etcd.conf as ligato's agents have it; other options count more. (default: $ETCD_CONFIG)",
            valueName: "file"))
    var etcdConfig: String?
    @Option(help: ArgumentHelp("What all keys of all agents begin with.", valueName: "text"))
    var etcdPrefix = "/vnf-agent/"
    @Option(
        help: ArgumentHelp(
            "What the controller's own keys begin with; controllers of several clusters at one etcd need different ones.",
            valueName: "text"))
    var ownPrefix = "/cnf-crd/"
    @Option(help: ArgumentHelp("Who may sign etcd's certificates, PEM.", valueName: "file"))
    var etcdCaFile: String?
    @Option(help: ArgumentHelp("The certificate that is shown to etcd, PEM.", valueName: "file"))
    var etcdCertFile: String?
    @Option(help: ArgumentHelp("The key of that certificate, PEM.", valueName: "file"))
    var etcdKeyFile: String?

    mutating func validate() throws {
        _ = try endpoints()
        for (name, prefix) in [("etcd-prefix", etcdPrefix), ("own-prefix", ownPrefix)] {
            guard prefix.hasPrefix("/"), prefix.hasSuffix("/") else {
                throw ValidationError("--\(name) '\(prefix)': it must begin and end with '/'")
            }
        }
        guard !etcdPrefix.hasPrefix(ownPrefix), !ownPrefix.hasPrefix(etcdPrefix) else {
            throw ValidationError("--own-prefix '\(ownPrefix)': it must not be under --etcd-prefix, nor above it")
        }
    }

    private func endpoints() throws -> [EtcdEndpoint] {
        try etcdEndpoints.flatMap { $0.split(separator: ",") }.map { text in
            guard let endpoint = EtcdEndpoint(String(text)) else {
                throw ValidationError(
                    "--etcd-endpoints '\(text)': host:port, https://host:port or unix:///path is needed")
            }
            return endpoint
        }
    }

    func configuration(_ logger: Logger) throws -> EtcdConfiguration {
        var configuration = EtcdConfiguration()
        if let path = etcdConfig ?? environment("ETCD_CONFIG") {
            let file = try EtcdFile(TextFile.read(path), path: path, environment: environment)
            for warning in file.warnings { logger.warning("etcd", metadata: ["at": "\(warning)"]) }
            configuration = file.client
        }
        let endpoints = try endpoints()
        if !endpoints.isEmpty { configuration.endpoints = endpoints }
        if etcdCaFile != nil || etcdCertFile != nil || etcdKeyFile != nil {
            configuration.tls = .init(
                authorities: etcdCaFile ?? configuration.tls?.authorities,
                certificate: etcdCertFile ?? configuration.tls?.certificate, key: etcdKeyFile ?? configuration.tls?.key)
        }
        return configuration
    }
}

struct RuleOptions: ParsableArguments {
    /// What is done with items of models that are not known.
    enum UnknownModels: String, ExpressibleByArgument, CaseIterable {
        case refuse
        case store
    }

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A microservice for which resources of a namespace may write; more than once for more, '*' for all. (default: all may write for all)",
            valueName: "namespace=microservice"))
    var allow: [String] = []
    @Option(help: "What is done with items of models that are not known, and of VPP: store writes them unchecked.")
    var unknownModels = UnknownModels.refuse

    mutating func validate() throws {
        var list = AllowList()
        for rule in allow where !list.add(rule) {
            throw ValidationError("--allow '\(rule)': NAMESPACE=MICROSERVICE is needed")
        }
    }

    var allowed: AllowList {
        var list = AllowList()
        for rule in allow { _ = list.add(rule) }
        return list
    }
}

struct LogOptions: ParsableArguments {
    /// How log lines look.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text
        case json

        var format: StandardErrorLog.Format { self == .text ? .text : .json }
    }

    /// What is logged.
    enum Level: String, ExpressibleByArgument, CaseIterable {
        case trace, debug, info, notice, warning, error

        var level: Logger.Level {
            switch self {
            case .trace: .trace
            case .debug: .debug
            case .info: .info
            case .notice: .notice
            case .warning: .warning
            case .error: .error
            }
        }
    }

    @Option(help: "Least level that is logged. (default: debug if $VERBOSE is set, else info)")
    var logLevel: Level?
    @Option(help: "How log lines look.")
    var logFormat = Format.text
    @Flag(
        name: [.customLong("verbose"), .customLong("verbose", withSingleDash: true)],
        help: "The same as --log-level debug.")
    var isVerbose = false

    var logger: Logger {
        let usual: Level = isVerbose || environment("VERBOSE") != nil ? .debug : .info
        let level = (logLevel ?? usual).level
        return Logger(label: "cnf-crd") { StandardErrorLog(label: $0, format: logFormat.format, level: level) }
    }
}

/// The address that serves the health.
struct HealthAddress: ExpressibleByArgument, CustomStringConvertible {
    let host: String
    /// Nil: nowhere.
    let port: Int?

    init(host: String, port: Int?) {
        self.host = host
        self.port = port
    }

    init?(argument: String) {
        if argument == "off" {
            self.init(host: "", port: nil)
            return
        }
        guard let colon = argument.lastIndex(of: ":"), let port = Int(argument[argument.index(after: colon)...]),
            (1...65535).contains(port)
        else { return nil }
        var host = argument[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(host: host.isEmpty ? "0.0.0.0" : String(host), port: port)
    }

    var description: String { port.map { host.contains(":") ? "[\(host)]:\($0)" : "\(host):\($0)" } ?? "off" }
}
