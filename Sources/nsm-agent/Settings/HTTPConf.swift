internal import Concurrency
internal import MeshTransport
internal import Northbound

/// An `http.conf` of the agents before this one. Keys are those that were in force there, in any case of letters.
struct HTTPConf {
    private(set) var isDisabled = false
    /// Nil: it names none.
    private(set) var address: SocketAddress?
    private(set) var users: [RESTSettings.User] = []
    /// Nil: no user logs in for a token.
    private(set) var sessions: Sessions?
    private(set) var tls: TLSFiles?
    /// Keys that mean nothing here.
    private(set) var ignored: [String] = []

    private var certificate = ""
    private var key = ""
    private var clients: [String] = []
    private var tlsPlace: ConfFile.Entry?
    private var accounts: [Sessions.Account] = []
    private var tokens: ConfFile.Entry?
    private var lifetime = Duration.seconds(3600)

    /// - Throws: `Failure` with the place of the mistake.
    init(path: String) throws(Failure) {
        for entry in try ConfFile(path: path).entries { try take(entry) }
        try addSessions()
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
                // Its text may be a password, so it is not reported.
                guard let user = RESTSettings.User(text) else { throw entry.wrong("entries are user:password") }
                return user
            }
        case "enable-token-auth":
            tokens = try entry.flag() ? entry : nil
        case "users": accounts = try entry.elements().map { user throws(Failure) in try Self.account(user) }
        case "token-expiration": lifetime = try Self.time(entry) ?? lifetime
        default: ignored.append(entry.name)
        }
    }

    // MARK: - Tokens

    /// Nil: the one that holds unless another is given.
    private static func time(_ entry: ConfFile.Entry) throws(Failure) -> Duration? {
        let text = try entry.text()
        let time = Int64(text).map(Duration.nanoseconds) ?? GoDuration.parse(text)
        if time == .zero { return nil }
        guard let time, (Duration.seconds(1)...Duration.seconds(365 * 86_400)).contains(time) else {
            throw entry.wrong("a time from 1s to 8760h is needed, such as 1h, or nanoseconds")
        }
        return time
    }

    private static func account(_ user: ConfFile.Entry) throws(Failure) -> Sessions.Account {
        var (name, hash) = ("", nil as PasswordHash?)
        var permissions: [String] = []
        for entry in try user.entries() {
            switch entry.name {
            case "name": name = try entry.text()
            case "password_hash":
                hash = PasswordHash(try entry.text())
                if hash == nil {
                    throw entry.wrong("a hash of bcrypt with a cost of 4 to 14 is needed, such as $2a$10$…")
                }
            case "permissions": permissions = try entry.texts()
            default: throw entry.wrong("users have name, password_hash and permissions")
            }
        }
        guard !name.isEmpty, let hash else { throw user.wrong("a user needs name and password_hash") }
        return Sessions.Account(name: name, hash: hash, mayChange: permissions.contains("admin"))
    }

    private mutating func addSessions() throws(Failure) {
        guard let tokens else {
            if !accounts.isEmpty { ignored.append("users") }
            return
        }
        // The ancestor has an account 'admin' with a password that everybody knows.
        guard !accounts.isEmpty else { throw tokens.wrong("'enable-token-auth' needs users") }
        guard PasswordHash.isPossible else {
            throw tokens.wrong("'enable-token-auth' needs libcrypt with bcrypt (libxcrypt), which this system lacks")
        }
        sessions = Sessions(accounts, lifetime: lifetime)
    }
}
