internal import ArgumentParser
internal import EtcdClient
internal import Glibc
internal import Logging
internal import Northbound

/// Where etcd is and who we are to it, for whatever it is used.
struct EtcdClientOptions: ParsableArguments, Sendable {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A member of etcd, such as 192.0.2.1:2379; several with commas between them, or by giving this more than once. (default: no etcd)",
            valueName: "address"))
    var etcdEndpoints: [String] = []
    @Option(
        help: ArgumentHelp(
            "An etcd.conf as ligato's agents have it; other options count more. (default: $ETCD_CONFIG)",
            valueName: "file"))
    var etcdConfig: String?
    @Option(help: ArgumentHelp("Who may sign etcd's certificates, PEM.", valueName: "file"))
    var etcdCaFile: String?
    @Option(help: ArgumentHelp("The certificate that is shown to etcd, PEM.", valueName: "file"))
    var etcdCertFile: String?
    @Option(help: ArgumentHelp("The key of that certificate, PEM.", valueName: "file"))
    var etcdKeyFile: String?
    @Option(help: ArgumentHelp("The user that the agent is to etcd.", valueName: "name"))
    var etcdUser: String?
    @Option(help: ArgumentHelp("A file with that user's password in its first line.", valueName: "file"))
    var etcdPasswordFile: String?

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws { _ = try endpoints() }

    private func endpoints() throws -> [EtcdEndpoint] {
        try etcdEndpoints.flatMap { $0.split(separator: ",") }.map { text in
            guard let endpoint = EtcdEndpoint(String(text)) else {
                throw ValidationError(
                    "--etcd-endpoints '\(text)': host:port, https://host:port or unix:///path is needed")
            }
            return endpoint
        }
    }

    private var namesTLS: Bool { etcdCaFile != nil || etcdCertFile != nil || etcdKeyFile != nil }

    /// Whether something is said that needs an etcd.
    var needsEtcd: Bool { namesTLS || etcdUser != nil }

    /// How to talk to etcd, and the file that says more; nil: etcd is not used.
    ///
    /// - Parameter tellsIgnored: Whether to report the file's unknown keys; false: another part reports them.
    func client(tellsIgnored: Bool = true, logger: Logger) throws -> (client: EtcdConfiguration, file: EtcdFile?)? {
        let endpoints = try endpoints()
        let file = try file(logger, tellsIgnored)
        guard file != nil || !endpoints.isEmpty else { return nil }
        var client = file?.client ?? EtcdConfiguration()
        if !endpoints.isEmpty { client.endpoints = endpoints }
        if namesTLS {
            client.tls = .init(
                authorities: etcdCaFile ?? client.tls?.authorities,
                certificate: etcdCertFile ?? client.tls?.certificate,
                key: etcdKeyFile ?? client.tls?.key)
        }
        client.credentials = try credentials()
        return (client, file)
    }

    /// Nil: there is none, which is right for one that only the environment names.
    private func file(_ logger: Logger, _ tellsIgnored: Bool) throws -> EtcdFile? {
        guard let path = etcdConfig ?? environment("ETCD_CONFIG") else { return nil }
        if etcdConfig == nil, access(path, F_OK) != 0 {
            logger.warning("no etcd: its file is not there", metadata: ["ETCD_CONFIG": "\(path)"])
            return nil
        }
        let file = try Self.read(path)
        if tellsIgnored, !file.ignored.isEmpty {
            let keys = file.ignored.joined(separator: ", ")
            logger.warning("etcd", metadata: ["at": "\(path): not known and not used: \(keys)"])
        }
        for warning in file.warnings { logger.warning("etcd", metadata: ["at": "\(warning)"]) }
        return file
    }

    /// Reads an etcd.conf.
    static func read(_ path: String) throws(Failure) -> EtcdFile {
        let text = try SettingsFile.read(path, called: "")
        do throws(EtcdFile.Mistake) {
            return try EtcdFile(text, path: path, environment: environment)
        } catch {
            throw Failure(error.description, status: ExitStatus.invalid)
        }
    }

    private func credentials() throws -> EtcdConfiguration.Credentials? {
        guard let etcdUser else {
            if etcdPasswordFile == nil { return nil }
            throw Failure("--etcd-password-file needs --etcd-user", status: ExitStatus.invalid)
        }
        guard let etcdPasswordFile else {
            throw Failure("--etcd-user needs --etcd-password-file", status: ExitStatus.invalid)
        }
        let lines = try SettingsFile.read(etcdPasswordFile, called: "the password ").split(
            separator: "\n", omittingEmptySubsequences: false)
        return .init(user: etcdUser, password: lines.first.map(String.init) ?? "")
    }
}
