internal import Glibc
internal import MeshTransport
internal import Northbound
internal import YAML

/// An `http.conf` of the agents before this one. Keys are those that were in force there, in any case of letters.
struct HTTPConf {
    private(set) var isDisabled = false
    private(set) var address = SocketAddress.tcp(host: "0.0.0.0", port: 9191)
    private(set) var users: [RESTSettings.User] = []
    private(set) var tls: TLSFiles?
    /// Keys that mean nothing here.
    private(set) var ignored: [String] = []

    /// - Throws: `Failure` with the place of the mistake.
    init(path: String) throws(Failure) {
        let tree = YAMLTree(parsing: try SettingsFile.read(path, called: ""))
        if let mistake = tree.mistakes.first {
            throw Failure("\(path):\(mistake.line):\(mistake.column): \(mistake.text)", status: ExitStatus.invalid)
        }
        guard let root = tree.documents.first, !tree.isNull(root) else { return }
        guard tree.kind(of: root) == .mapping else {
            throw Failure(
                "\(path): keys and values are needed, such as 'endpoint: 0.0.0.0:9191'", status: ExitStatus.invalid)
        }
        var (certificate, key) = ("", "")
        var clients: [String] = []
        var tlsPlace: String?
        for (name, value) in tree.pairs(of: root) {
            let place = "\(path):\(tree[value].line):\(tree[value].column)"
            switch tree.string(of: name).lowercased() {
            case "disabled":
                guard case .bool(let isSet) = YAMLScalar(plain: tree.string(of: value)) else {
                    throw Failure("\(place): true or false is needed", status: ExitStatus.invalid)
                }
                isDisabled = isSet
            case "endpoint":
                guard let found = Self.address(tree.string(of: value)) else {
                    throw Failure(
                        "\(place): an address and a port are needed, such as 0.0.0.0:9191", status: ExitStatus.invalid)
                }
                address = found
            case "server-cert-file":
                certificate = tree.string(of: value)
                tlsPlace = tlsPlace ?? place
            case "server-key-file":
                key = tree.string(of: value)
                tlsPlace = tlsPlace ?? place
            case "client-cert-files":
                clients = try Self.list(value, tree, place)
                tlsPlace = tlsPlace ?? place
            case "client-basic-auth":
                users = try Self.list(value, tree, place).map { text throws(Failure) in
                    // What it says may be a password, so it is not told.
                    guard let user = RESTSettings.User(text) else {
                        throw Failure("\(place): entries are user:password", status: ExitStatus.invalid)
                    }
                    return user
                }
            default: ignored.append(tree.string(of: name))
            }
        }
        if let tlsPlace, !certificate.isEmpty || !key.isEmpty || !clients.isEmpty {
            // Who names one of them counts on TLS.
            guard !certificate.isEmpty, !key.isEmpty else {
                throw Failure(
                    "\(tlsPlace): TLS needs both server-cert-file and server-key-file", status: ExitStatus.invalid)
            }
            tls = .init(certificateFile: certificate, keyFile: key, clientFiles: clients)
        }
    }

    private static func list(
        _ value: YAMLTree.Index, _ tree: YAMLTree, _ place: String
    ) throws(Failure) -> [String] {
        guard tree.kind(of: value) == .sequence else {
            throw Failure("\(place): a list is needed", status: ExitStatus.invalid)
        }
        return tree.elements(of: value).map { tree.string(of: $0) }
    }

    /// As Go has it, an address without a host is all of them.
    private static func address(_ text: String) -> SocketAddress? {
        SocketAddress(url: text.hasPrefix(":") ? "0.0.0.0\(text)" : text)
    }
}
