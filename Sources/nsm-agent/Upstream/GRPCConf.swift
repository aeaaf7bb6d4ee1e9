internal import MeshTransport

/// A `grpc.conf` of the agents before this one, as options of `run`.
struct GRPCConf {
    private(set) var words: [String] = []
    /// Keys that mean nothing here.
    private(set) var ignored: [String] = []

    /// - Throws: `Failure` with the place of the mistake.
    init(path: String) throws(Failure) {
        var endpoint: ConfFile.Entry?
        var network = "tcp"
        var isInsecure = false
        var certificate: ConfFile.Entry?
        var key: ConfFile.Entry?
        var authorities: [String] = []
        for entry in try ConfFile(path: path).entries {
            switch entry.name {
            case "endpoint": endpoint = entry
            case "network": network = try entry.text()
            case "insecure-transport": isInsecure = try entry.flag()
            case "cert-file": certificate = try entry.text().isEmpty ? nil : entry
            case "key-file": key = try entry.text().isEmpty ? nil : entry
            case "ca-files": authorities = try entry.texts()
            case "max-msg-size":
                let size = try entry.number(0...(1 << 30))
                if size > 0 { words.append("--grpc-max-message-size=\(max(size, 1024))") }
            case "max-concurrent-streams":
                let count = try entry.number(0...Int(UInt32.max))
                if count > 0 { words.append("--grpc-max-streams=\(min(count, 65536))") }
            // Both always: root alone reaches a Unix socket, and one without a listener is replaced.
            case "permission", "force-socket-removal": ignored.append(entry.name)
            // The counters appear wherever the REST API serves metrics.
            case "prometheus-metrics": _ = try entry.flag()
            default: ignored.append(entry.name)
            }
        }
        guard let endpoint, !(try endpoint.text()).isEmpty else {
            throw Failure(
                "\(path): an endpoint is needed, such as 'endpoint: 0.0.0.0:9111'", status: ExitStatus.invalid)
        }
        words += try Self.addresses(endpoint, network).map { "--grpc-listen=\($0.url)" }
        if isInsecure {
            words.append("--grpc-insecure")
        } else {
            try addTLS(certificate, key, authorities, path)
        }
    }

    private mutating func addTLS(
        _ certificate: ConfFile.Entry?, _ key: ConfFile.Entry?, _ authorities: [String], _ path: String
    ) throws(Failure) {
        guard let certificate, let key else {
            guard let one = certificate ?? key else {
                if authorities.isEmpty { return }
                throw Failure("\(path): ca-files need cert-file and key-file beside them", status: ExitStatus.invalid)
            }
            throw one.wrong("TLS needs both cert-file and key-file")
        }
        words += ["--grpc-cert=\(try certificate.text())", "--grpc-key=\(try key.text())"]
        words += authorities.map { "--grpc-client-ca=\($0)" }
    }

    private static func addresses(_ endpoint: ConfFile.Entry, _ network: String) throws(Failure) -> [SocketAddress] {
        let text = try endpoint.text()
        if network.hasPrefix("unix") {
            guard text.hasPrefix("/") else {
                throw endpoint.wrong("the path of a socket is needed, such as /run/agent.sock")
            }
            return [.unix(text)]
        }
        guard let address = Upstream.address(text) else {
            throw endpoint.wrong("an address and a port are needed, such as 0.0.0.0:9111")
        }
        return [address]
    }
}
