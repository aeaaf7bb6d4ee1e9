internal import ArgumentParser
internal import EtcdClient
internal import Logging
internal import MeshTransport
internal import Mesh
internal import NSM
internal import NetworkTypes

/// How the mesh of a host is run, by itself or by the agent.
struct MeshOptions: ParsableArguments, Sendable {
    @Option(help: ArgumentHelp("Where clients and endpoints find it.", valueName: "url"))
    var listen = defaultManagerURL
    @Option(help: ArgumentHelp("Where the authority is kept, for root alone.", valueName: "directory"))
    var stateDir = "/var/lib/nsm-agent/mesh"
    @Option(help: ArgumentHelp("Where programs find their identities when there is no SPIRE.", valueName: "path"))
    var workloadSocket = "/run/nsm-agent/workload.sock"
    @Option(help: ArgumentHelp("Where 'mesh status' asks, for root alone.", valueName: "path"))
    var statusSocket = MeshStatusClient.defaultPath
    @Option(help: "The authority's trust domain.")
    var trustDomain = "nsm.local"
    @Option(
        name: .customLong("exclude"), parsing: .singleValue,
        help: ArgumentHelp(
            "A prefix that no connection gets addresses from. Can be given more than once.", valueName: "prefix"))
    var excluded: [String] = []
    @Option(
        help: ArgumentHelp(
            "Where endpoints without prefixes that ask have theirs from, so that those of one service on many hosts give addresses of one network: the network to divide, such as 10.60.0.0/16, or on other hosts the --listen-remote of the mesh that divides it.",
            valueName: "prefix|url"))
    var ipam: String?
    @Option(
        help: ArgumentHelp("The length of these prefixes. (default: 24, or 64 of IPv6)", valueName: "length"))
    var ipamLength: UInt8?
    @OptionGroup(title: "Rights") var rights: RightsOptions
    @OptionGroup(title: "Other hosts") var remote: RemoteOptions
    @OptionGroup(title: "etcd as the registry") var etcd: RegistryEtcdOptions

    mutating func validate() throws {
        guard case .unix? = SocketAddress(url: listen) else {
            throw ValidationError("'\(listen)' is not a unix:///path; descriptors travel on Unix sockets only")
        }
        for text in excluded where IPPrefix(text) == nil {
            throw ValidationError("'\(text)' is not a prefix such as 10.0.0.0/8")
        }
        _ = try tokenLifetime()
        _ = try prefixes()
    }

    private func prefixes() throws -> PrefixSource? {
        guard let ipam else {
            if ipamLength != nil { throw ValidationError("--ipam-length needs --ipam") }
            return nil
        }
        do throws(TransportError) {
            return try PrefixSource(ipam, length: ipamLength)
        } catch {
            throw ValidationError("--ipam: \(error)")
        }
    }

    /// In the format of stock managers.
    private func tokenLifetime() throws -> Duration {
        do throws(NSMError) {
            return try MeshEnvironment(environment).tokenLifetime
        } catch {
            throw ValidationError(error.text)
        }
    }

    /// Where clients and endpoints of this process find it, as variables of theirs.
    var variables: [String: String] {
        ["NSM_CONNECT_TO": listen, "SPIFFE_ENDPOINT_SOCKET": "unix://\(workloadSocket)"]
    }

    /// The options, with SPIRE's socket from the environment.
    ///
    /// - Parameter agentEtcd: The etcd from which the agent beside the mesh has its values; nil: none.
    func hostOptions(agentEtcd: EtcdConfiguration? = nil, logger: Logger) throws -> HostMesh.Options {
        guard let address = SocketAddress(url: listen) else { throw ValidationError("'\(listen)' is not an address") }
        var options = HostMesh.Options(
            listen: address, stateDirectory: stateDir, spireSocket: environment("SPIFFE_ENDPOINT_SOCKET"),
            workloadSocket: workloadSocket, trustDomain: trustDomain, host: remote.hostName ?? MeshEnvironment.hostName,
            excludedPrefixes: excluded.compactMap { IPPrefix($0) }, remote: try remote.settings())
        if remote.usesEtcd {
            options.remote?.etcd = try etcd.settings(or: agentEtcd, logger: logger)
        } else if etcd.member.needsEtcd || !etcd.member.etcdEndpoints.isEmpty {
            throw ValidationError("the options of etcd need --registry etcd")
        }
        options.rights = try rights.rights()
        options.trustBundles = try remote.bundles()
        options.svidHint = environment("NSM_AGENT_SVID_HINT")
        options.tokenLifetime = try tokenLifetime()
        options.statusSocket = statusSocket
        options.prefixes = try prefixes()
        return options
    }
}
