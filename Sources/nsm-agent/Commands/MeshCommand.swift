internal import ArgumentParser
internal import DescriptorTransport
internal import Glibc
internal import Logging
internal import Mesh
internal import NSM
internal import NetworkTypes
internal import ServiceLifecycle
internal import UnixSignals

private struct MeshService: Service {
    let mesh: HostMesh
    func run() async throws { try await cancelWhenGracefulShutdown { try await mesh.run() } }
}

struct MeshCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "mesh", abstract: "Run Network Service Mesh on this host: manager, registry and kernel forwarder.",
        discussion: """
            Clients and endpoints connect to its socket with any SDK of Network Service Mesh v1. Each connection is a veth \
            pair between their network namespaces. Identities come from SPIRE when SPIFFE_ENDPOINT_SOCKET names its socket; \
            otherwise the mesh keeps an authority of its own and serves identities to the programs of this host, by their \
            user, on the Workload API socket. SIGTERM stops the mesh; connections and traffic stay.
            """)

    @Option(help: ArgumentHelp("Where clients and endpoints find it.", valueName: "url"))
    var listen = defaultManagerURL
    @Option(help: ArgumentHelp("Where the authority is kept, for root alone.", valueName: "directory"))
    var stateDir = "/var/lib/nsm-agent/mesh"
    @Option(help: ArgumentHelp("Where programs find their identities when there is no SPIRE.", valueName: "path"))
    var workloadSocket = "/run/nsm-agent/workload.sock"
    @Option(help: "The authority's trust domain.")
    var trustDomain = "nsm.local"
    @Option(
        name: .customLong("exclude"), parsing: .singleValue,
        help: ArgumentHelp(
            "A prefix that no connection gets addresses from. Can be given more than once.", valueName: "prefix"))
    var excluded: [String] = []
    @Option(
        help:
            "Least level that is logged: trace, debug, info, notice, warning, error. (default: $INITIAL_LOGLVL or info)"
    )
    var logLevel: String?
    @Option(help: "How log lines look: text or json.")
    var logFormat = LogFormat.text

    mutating func validate() throws {
        if let logLevel, Logger.Level(name: logLevel) == nil {
            throw ValidationError(
                "there is no log level '\(logLevel)'; use trace, debug, info, notice, warning or error")
        }
        guard case .unix? = SocketAddress(url: listen) else {
            throw ValidationError("'\(listen)' is no unix:///path; descriptors travel on Unix sockets only")
        }
        for text in excluded where IPPrefix(text) == nil {
            throw ValidationError("'\(text)' is no prefix such as 10.0.0.0/8")
        }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        try Privileges.require(changing: true)
        let logger = DaemonLog.make(level: logLevel, format: logFormat)
        guard let address = SocketAddress(url: listen) else { return }
        let options = HostMesh.Options(
            listen: address, stateDirectory: stateDir, spireSocket: environment("SPIFFE_ENDPOINT_SOCKET"),
            workloadSocket: workloadSocket, trustDomain: trustDomain, host: HostName.current,
            excludedPrefixes: excluded.compactMap { IPPrefix($0) })
        do {
            let mesh = try HostMesh(options, logger: logger)
            let group = ServiceGroup(
                configuration: ServiceGroupConfiguration(
                    services: [MeshService(mesh: mesh)], gracefulShutdownSignals: [.sigterm, .sigint],
                    logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }))
            try await group.run()
            logger.info("stopped; connections and traffic stay")
        } catch {
            throw Failure("\(error)")
        }
    }
}

/// The host's name, as far as it can be part of an identity and of a path.
enum HostName {
    static var current: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, 255) == 0 else { return "host" }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let name = String(decoding: bytes, as: UTF8.self).filter { character in
            character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
        }
        return name.isEmpty ? "host" : name
    }
}
