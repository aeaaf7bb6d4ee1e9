internal import ArgumentParser
internal import MeshTransport
internal import NetworkTypes
internal import Northbound

/// How programs talk to the agent by HTTP.
struct HTTPOptions: ParsableArguments, Sendable {
    @Option(
        name: .customLong("http-listen"), parsing: .singleValue,
        help: ArgumentHelp(
            "Where the REST API is: unix:///path for root alone, or tcp://127.0.0.1:9191, where only root's programs may change things. Can be given more than once. (default: nowhere)",
            valueName: "url"))
    var httpListen: [String] = []
    @Flag(help: "Only look: nothing can be changed by the REST API.")
    var httpReadOnly = false
    @Flag(help: "Let everybody who reaches the REST API change things.")
    var httpInsecure = false
    @Option(
        help: ArgumentHelp(
            "An http.conf as the agents before this one have it: endpoint, server-cert-file, server-key-file, client-cert-files, client-basic-auth.",
            valueName: "file"))
    var httpConf: String?
    @Option(help: ArgumentHelp("The server's certificates for TLS, PEM.", valueName: "file"))
    var httpCert: String?
    @Option(help: ArgumentHelp("The key of --http-cert, PEM.", valueName: "file"))
    var httpKey: String?
    @Option(
        name: .customLong("http-client-ca"), parsing: .singleValue,
        help: ArgumentHelp(
            "Authorities of clients' certificates, PEM; without such a certificate nobody is served. Can be given more than once.",
            valueName: "file"))
    var httpClientCA: [String] = []
    @Option(
        name: .customLong("http-name"), parsing: .singleValue,
        help: ArgumentHelp(
            "A name of this host that the REST API may be asked under. Can be given more than once.", valueName: "name")
    )
    var httpNames: [String] = []
    @Flag(help: "Tell values as JSON text in a string, as clients before release 3.5 want them.")
    var httpValueText = false
    @Option(help: ArgumentHelp("The longest body that the REST API takes.", valueName: "bytes"))
    var httpMaxBody = 16 << 20
    @Option(help: ArgumentHelp("Connections to the REST API at once.", valueName: "count"))
    var httpMaxConnections = 512

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        _ = try addresses()
        guard (1024...(64 << 20)).contains(httpMaxBody) else {
            throw ValidationError("--http-max-body \(httpMaxBody): 1024 to \(64 << 20) are needed")
        }
        guard (1...65536).contains(httpMaxConnections) else {
            throw ValidationError("--http-max-connections \(httpMaxConnections): 1 to 65536 are needed")
        }
    }

    private func addresses() throws -> [SocketAddress] {
        try httpListen.map { text in
            guard let address = SocketAddress(url: text) else {
                throw ValidationError("--http-listen '\(text)': unix:///path or tcp://address:port is needed")
            }
            return address
        }
    }

    /// Nil: the REST API is off. The command line and the settings take precedence over an http.conf.
    ///
    /// - Parameter upstream: The agent before this one, which always has a REST API.
    func settings(_ upstream: Upstream? = nil) throws -> RESTSettings? {
        let conf = try httpConf.map { try HTTPConf(path: $0) }
        if conf?.isDisabled == true, httpListen.isEmpty { return nil }
        var settings = RESTSettings(addresses: try addresses())
        if settings.addresses.isEmpty {
            let usual = upstream?.httpAddress ?? conf.map { _ in Upstream.anyAddress(port: 9191) }
            guard let address = conf?.address ?? usual else { return nil }
            settings.addresses = [address]
        }
        settings.isReadOnly = httpReadOnly
        settings.isInsecure = httpInsecure
        settings.dataIsText = httpValueText
        settings.users = conf?.users ?? []
        settings.sessions = conf?.sessions
        settings.names = httpNames
        settings.tls = try TLSFiles(options: "http", httpCert, httpKey, httpClientCA) ?? conf?.tls
        if httpClientCA.isEmpty, let clients = conf?.tls?.clientFiles { settings.tls?.clientFiles = clients }
        settings.limits.body = httpMaxBody
        settings.limits.connections = httpMaxConnections
        settings.limits.peerConnections = min(settings.limits.peerConnections, max(httpMaxConnections / 2, 1))
        if !settings.isGuarded, let open = settings.addresses.first(where: { !$0.isLocal }) {
            if upstream != nil {
                settings.isReadOnly = true
                settings.readOnlyReason = Self.upstreamReason
                return settings
            }
            throw Failure(
                "the REST API at \(open.url): beyond this host everybody could change things; give --http-client-ca with --http-cert and --http-key, or users in --http-conf, or say --http-read-only, or --http-insecure if that is meant",
                status: ExitStatus.invalid)
        }
        return settings
    }

    private static let upstreamReason =
        "nothing can be changed here: http.conf has no client-basic-auth, and no setting says http: {insecure: true}"

    /// What an http.conf says that means nothing here.
    func ignoredKeys() throws -> [String] { try httpConf.map { try HTTPConf(path: $0).ignored } ?? [] }
}

extension RESTSettings {
    /// Where passwords can be read on their way; nil: nowhere.
    var placeOfPlainPasswords: SocketAddress? {
        users.isEmpty && sessions == nil || tls != nil ? nil : addresses.first { !$0.isLocal }
    }

    /// Whether not everybody who reaches it can change things, or that is meant.
    fileprivate var isGuarded: Bool {
        isReadOnly || isInsecure || !users.isEmpty || sessions != nil || !(tls?.clientFiles.isEmpty ?? true)
    }
}

extension SocketAddress {
    /// Whether only programs of this host reach it. A name may stand for any address.
    var isLocal: Bool {
        switch self {
        case .unix: true
        case .tcp(let host, _):
            IPAddress(host).map { $0 == IPAddress("::1") || $0.family == .v4 && host.hasPrefix("127.") } ?? false
        }
    }
}

extension TLSFiles {
    /// The files of three options; nil: none is given.
    init?(options: String, _ certificate: String?, _ key: String?, _ clients: [String]) throws {
        guard let certificate, let key else {
            if certificate == nil, key == nil, clients.isEmpty { return nil }
            throw ValidationError("TLS needs both --\(options)-cert and --\(options)-key")
        }
        self.init(certificateFile: certificate, keyFile: key, clientFiles: clients)
    }
}
