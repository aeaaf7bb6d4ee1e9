internal import ArgumentParser
internal import MeshTransport
internal import Mesh
internal import NetworkTypes

/// How the mesh is joined with those of other hosts.
struct RemoteOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Where the meshes of other hosts reach this one, such as tcp://192.0.2.1:5001. They need identities that this host trusts.",
            valueName: "url"))
    var listenRemote: String?
    @Option(
        name: .customLong("peer"), parsing: .singleValue,
        help: ArgumentHelp(
            "A mesh on another host whose endpoints clients here may have, by its --listen-remote. Can be given more than once.",
            valueName: "url"))
    var peers: [String] = []
    @Option(
        help: ArgumentHelp(
            "A registry that many hosts share, tcp:// or unix://; another host's mesh will do. Endpoints of this host are registered there with the address of --listen-remote, and those of others found. With 'etcd' they are in the etcd of --etcd-endpoints.",
            valueName: "url|etcd"))
    var registry: String?
    @Option(
        help: ArgumentHelp(
            "This host's address for tunnels. (default: that of --listen-remote)", valueName: "address"))
    var tunnelAddress: String?
    @Option(help: ArgumentHelp("The UDP port of VXLAN tunnels; the same on all hosts.", valueName: "port"))
    var vxlanPort = RemoteSettings.defaultTunnelPort
    @Option(
        name: .customLong("tunnel"), parsing: .singleValue,
        help: ArgumentHelp("\(TunnelKinds.help) (default: both, VXLAN first)", valueName: "kind"))
    var tunnels: [String] = []
    @Option(
        name: .customLong("trust-bundle"), parsing: .singleValue,
        help: ArgumentHelp(
            "A file with the authorities of another host's trust domain, from its 'nsm-agent mesh bundle'. Read again when it changes. Can be given more than once.",
            valueName: "domain=file"))
    var trustBundles: [String] = []
    @Option(
        help: ArgumentHelp(
            "This host's name in the mesh; hosts that are joined need different ones. (default: the host's name)",
            valueName: "name"))
    var hostName: String?

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        _ = try addresses()
        if tunnelAddress != nil { _ = try tunnel(nil) }
        _ = try TunnelKinds.parse(tunnels)
        _ = try bundles()
        if vxlanPort == 0 { throw ValidationError("--vxlan-port 0: ports are 1 to 65535") }
        if let hostName, !(1...64).contains(hostName.utf8.count) || !hostName.utf8.allSatisfy(Self.isNameByte) {
            throw ValidationError(
                "--host-name '\(hostName)': 1 to 64 letters, digits, dots, dashes and underscores are needed")
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        let character = Character(UnicodeScalar(byte))
        return character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
    }

    /// Whether the registry is an etcd.
    var usesEtcd: Bool { registry == "etcd" }

    /// Nil when nothing joins this host with others. Which etcd is used is not among it.
    func settings() throws -> RemoteSettings? {
        let (listen, found, shared) = try addresses()
        guard listen != nil || !found.isEmpty || registry != nil else {
            if tunnelAddress != nil {
                throw ValidationError("--tunnel-address needs --listen-remote, --peer or --registry beside it")
            }
            if !tunnels.isEmpty {
                throw ValidationError("--tunnel needs --listen-remote, --peer or --registry beside it")
            }
            return nil
        }
        var settings = RemoteSettings(
            listen: listen, tunnelAddress: try tunnel(listen), tunnelPort: vxlanPort, peers: found, registry: shared)
        if !tunnels.isEmpty { settings.tunnels = try TunnelKinds.parse(tunnels) }
        return settings
    }

    private func addresses() throws -> (listen: SocketAddress?, peers: [SocketAddress], registry: SocketAddress?) {
        (
            try listenRemote.map { try Self.address($0, "--listen-remote", allowsUnix: false) },
            try peers.map { try Self.address($0, "--peer", allowsUnix: false) },
            try usesEtcd ? nil : registry.map { try Self.address($0, "--registry", allowsUnix: true) }
        )
    }

    /// The files of other trust domains.
    func bundles() throws -> [String: String] {
        var files: [String: String] = [:]
        for text in trustBundles {
            let words = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard words.count == 2, !words[0].contains("/") else {
                throw ValidationError(
                    "--trust-bundle '\(text)': a trust domain and a file are needed, such as b.example=b.pem")
            }
            guard files.updateValue(words[1], forKey: words[0]) == nil else {
                throw ValidationError(
                    "--trust-bundle: two files for \(words[0]); put the certificates of both into one")
            }
        }
        return files
    }

    private func tunnel(_ listen: SocketAddress?) throws -> IPAddress {
        if let tunnelAddress {
            guard let address = IPAddress(tunnelAddress), !address.isUnspecified, !address.isMulticast else {
                throw ValidationError(
                    "--tunnel-address '\(tunnelAddress)' is not an address of this host such as 192.0.2.1")
            }
            return address
        }
        guard case .tcp(let host, _)? = listen, let address = IPAddress(host), !address.isUnspecified else {
            throw ValidationError(
                "tunnels need an address of this host that others reach: give --tunnel-address, or --listen-remote with one address"
            )
        }
        return address
    }

    private static func address(_ text: String, _ option: String, allowsUnix: Bool) throws -> SocketAddress {
        switch SocketAddress(url: text) {
        case .tcp(let host, let port)? where port > 0 && (option != "--listen-remote" || IPAddress(host) != nil):
            return .tcp(host: host, port: port)
        case .unix(let path)? where allowsUnix: return .unix(path)
        case .tcp?, .unix?, nil:
            let other = allowsUnix ? ", unix:///path or etcd" : ""
            throw ValidationError(
                "\(option) '\(text)': tcp://address:port\(other) is needed, such as tcp://192.0.2.1:5001")
        }
    }
}
