internal import ArgumentParser
internal import Mesh
internal import MeshTransport
internal import NSM
internal import NetworkTypes

/// How the forwarder of a host is run under a manager of somebody else. What is not given is taken from the variables that stock
/// forwarders know.
struct ForwarderOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Its name in the registry and in paths, unlike that of any other program of the mesh. (default: $NSM_NAME, or forwarder- and the host's name)",
            valueName: "name"))
    var nsmName: String?
    @Option(
        help: ArgumentHelp(
            "The manager that it serves. (default: $NSM_CONNECT_TO or the node's standard socket)", valueName: "url"))
    var nsmManager: String?
    @Option(
        help: ArgumentHelp(
            "Where it listens. The manager is given the socket itself and need not see the file. (default: $NSM_LISTEN_ON or unix:///run/nsm-agent/forwarder.sock)",
            valueName: "url"))
    var listen: String?
    @Option(
        help: ArgumentHelp(
            "The service that managers look for. (default: $NSM_NSNAME or forwarder)", valueName: "service"))
    var service: String?
    @Option(
        name: .customLong("label"), parsing: .singleValue,
        help: ArgumentHelp(
            "A label by which managers choose among forwarders. Can be given more than once. (default: $NSM_LABELS, written as key:value,key:value, or p2p=true)",
            valueName: "key=value"))
    var labels: [String] = []
    @Option(
        help: ArgumentHelp(
            "Connections that it takes. A manager asks another forwarder of the host for more.", valueName: "number"))
    var maxConnections = 65536
    @Option(
        help: ArgumentHelp(
            "This host's address for tunnels; without it clients have endpoints of this host alone. (default: $NSM_TUNNEL_IP)",
            valueName: "address"))
    var tunnelAddress: String?
    @Option(
        help: ArgumentHelp(
            "The UDP port of VXLAN tunnels; the same on all hosts. (default: $NSM_VXLAN_PORT or 4789)",
            valueName: "port"))
    var vxlanPort: UInt16?
    @Option(
        name: .customLong("tunnel"), parsing: .singleValue,
        help: ArgumentHelp(
            "\(TunnelKinds.help) (default: both, in the order of $NSM_MECHANISM_PRIORITY, or VXLAN first)",
            valueName: "kind"))
    var tunnels: [String] = []
    @Option(
        name: .customLong("manager"), parsing: .singleValue,
        help: ArgumentHelp(
            "A pattern of the SPIFFE ids that managers of this and of other hosts have, such as spiffe://example.org/ns/nsm-system/*. Tunnels need it, or --tunnel-from. Can be given more than once.",
            valueName: "pattern"))
    var managers: [String] = []
    @Option(
        name: .customLong("tunnel-from"), parsing: .singleValue,
        help: ArgumentHelp(
            "Where tunnels to other hosts may lead; with --manager alone anywhere. Can be given more than once.",
            valueName: "prefix"))
    var tunnelSources: [String] = []
    @Flag(
        help:
            "Connections may end in the forwarder's own network namespace as in any other: also with default routes, rules for all packets and changed sysctls."
    )
    var hostNetwork = false

    mutating func validate() throws { _ = try forwarder() }

    /// The Workload API.
    var workloadSocket: String { environment("SPIFFE_ENDPOINT_SOCKET") ?? MeshEnvironment.defaultWorkloadSocket }

    /// What the options and the environment say together.
    func forwarder() throws -> NodeForwarder.Options {
        let stock: MeshEnvironment
        do throws(NSMError) {
            stock = try MeshEnvironment({ environment($0) }, host: "forwarder-\(MeshEnvironment.hostName)")
        } catch {
            throw ValidationError(error.text)
        }
        let place = listen ?? environment("NSM_LISTEN_ON") ?? "unix:///run/nsm-agent/forwarder.sock"
        guard case .unix(let path)? = SocketAddress(url: place) else {
            throw ValidationError("--listen '\(place)' is not a unix:///path; descriptors travel on Unix sockets only")
        }
        let manager = try nsmManager.map { text in
            guard let address = SocketAddress(url: text) else {
                throw ValidationError("--nsm-manager '\(text)': a URL such as unix:///path is needed")
            }
            return address
        }
        var options = NodeForwarder.Options(
            name: nsmName ?? stock.name, listen: .unix(path), manager: manager ?? stock.manager)
        guard case .unix = options.manager else {
            throw ValidationError(
                "the manager at \(options.manager.url) can't be served: namespaces come on Unix sockets only")
        }
        options.service = service ?? environment("NSM_NSNAME") ?? options.service
        options.labels = try labelsGiven() ?? options.labels
        guard (1...1_000_000).contains(maxConnections) else {
            throw ValidationError("--max-connections \(maxConnections): 1 to 1000000 are possible")
        }
        options.mostConnections = maxConnections
        options.svidHint = stock.svidHint
        options.tokenLifetime = stock.tokenLifetime
        options.dialTimeout = stock.dialTimeout
        options.requestTimeout = stock.requestTimeout
        options.tunnelAddress = try address()
        options.tunnelPort = try port()
        options.tunnels = try kinds()
        options.rights = try rights()
        return options
    }

    /// Refuses tunnels that could lead anywhere: any endpoint can pass for the manager of another host.
    ///
    /// - Throws: `ValidationError`. A probe has not these options, so it does not ask.
    func checkTunnels() throws {
        if try address() == nil || !managers.isEmpty || !tunnelSources.isEmpty { return }
        throw ValidationError(
            "tunnels need --manager, the SPIFFE ids of the other hosts' managers, or --tunnel-from, their addresses")
    }

    private func labelsGiven() throws -> [String: String]? {
        let given =
            labels.isEmpty ? environment("NSM_LABELS").map { $0.split(separator: ",").map(String.init) } : labels
        guard let given else { return nil }
        var found: [String: String] = [:]
        for text in given {
            let words = text.split(
                separator: labels.isEmpty ? ":" : "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard words.count == 2, !words[0].isEmpty else {
                throw ValidationError(
                    labels.isEmpty
                        ? "NSM_LABELS: '\(text)' is not a key:value" : "--label '\(text)': key=value is needed")
            }
            found[String(words[0]).trimmed] = String(words[1]).trimmed
        }
        return found
    }

    private func address() throws -> IPAddress? {
        guard let text = tunnelAddress ?? environment("NSM_TUNNEL_IP") else { return nil }
        guard let address = IPAddress(text), !address.isUnspecified, !address.isMulticast else {
            let source = tunnelAddress == nil ? "NSM_TUNNEL_IP" : "--tunnel-address"
            throw ValidationError("\(source) '\(text)' is not an address of a host such as 192.0.2.1")
        }
        return address
    }

    private func port() throws -> UInt16 {
        if let vxlanPort {
            guard vxlanPort > 0 else { throw ValidationError("--vxlan-port 0: ports are 1 to 65535") }
            return vxlanPort
        }
        guard let text = environment("NSM_VXLAN_PORT") else { return RemoteSettings.defaultTunnelPort }
        guard let port = UInt16(text) else {
            throw ValidationError("NSM_VXLAN_PORT is '\(text)'; a port is needed, or 0 for 4789")
        }
        return port == 0 ? RemoteSettings.defaultTunnelPort : port
    }

    private func kinds() throws -> [ForwarderMechanism] {
        guard tunnels.isEmpty else { return try TunnelKinds.parse(tunnels) }
        let all = TunnelKinds.all
        // Those of other forwarders mean nothing here.
        let first = (environment("NSM_MECHANISM_PRIORITY") ?? "").split(separator: ",").compactMap { text in
            all.first { $0.rawValue == String(text).trimmed.uppercased() }
        }
        return (first + all).reduce(into: []) { kinds, kind in if !kinds.contains(kind) { kinds.append(kind) } }
    }

    private func rights() throws -> MeshRights {
        var rights = MeshRights()
        rights.isOpen = true
        rights.usesHostNetwork = hostNetwork
        rights.managers = try RightsOptions.ids(managers)
        rights.tunnelSources = try RightsOptions.prefixes(tunnelSources)
        return rights
    }
}

extension String {
    /// Without blanks around it.
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
