internal import MeshTransport
internal import Northbound

/// An `http.conf` of the agents before this one. Keys are those that were in force there, in any case of letters.
struct HTTPConf {
    private(set) var isDisabled = false
    /// Nil: it names none.
    private(set) var address: SocketAddress?
    private(set) var users: [RESTSettings.User] = []
    private(set) var tls: TLSFiles?
    /// Keys that mean nothing here.
    private(set) var ignored: [String] = []

    private var certificate = ""
    private var key = ""
    private var clients: [String] = []
    private var tlsPlace: ConfFile.Entry?

    /// - Throws: `Failure` with the place of the mistake.
    init(path: String) throws(Failure) {
        for entry in try ConfFile(path: path).entries { try take(entry) }
        if let tlsPlace, !certificate.isEmpty || !key.isEmpty || !clients.isEmpty {
            // Who names one of them counts on TLS.
            guard !certificate.isEmpty, !key.isEmpty else {
                throw tlsPlace.wrong("TLS needs both server-cert-file and server-key-file")
            }
            tls = .init(certificateFile: certificate, keyFile: key, clientFiles: clients)
        }
    }

    private mutating func take(_ entry: ConfFile.Entry) throws(Failure) {
        switch entry.name {
        case "disabled": isDisabled = try entry.flag()
        case "endpoint":
            guard let found = Upstream.address(try entry.text()) else {
                throw entry.wrong("an address and a port are needed, such as 0.0.0.0:9191")
            }
            address = found
        case "server-cert-file":
            certificate = try entry.text()
            tlsPlace = tlsPlace ?? entry
        case "server-key-file":
            key = try entry.text()
            tlsPlace = tlsPlace ?? entry
        case "client-cert-files":
            clients = try entry.texts()
            tlsPlace = tlsPlace ?? entry
        case "client-basic-auth":
            users = try entry.texts().map { text throws(Failure) in
                // What it says may be a password, so it is not told.
                guard let user = RESTSettings.User(text) else { throw entry.wrong("entries are user:password") }
                return user
            }
        case "enable-token-auth":
            // Who asks for it counts on nobody being let in without a token.
            if try entry.flag() {
                throw entry.wrong(
                    "'enable-token-auth' can't be kept: there are no tokens here; remove it, and name users in client-basic-auth, or authorities of certificates in client-cert-files"
                )
            }
        default: ignored.append(entry.name)
        }
    }
}
