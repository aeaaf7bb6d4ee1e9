internal import ArgumentParser
internal import Concurrency
internal import EtcdClient
internal import Glibc
internal import Logging
internal import Northbound

/// Where in etcd values are declared.
struct EtcdOptions: ParsableArguments, Sendable {
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A member of the etcd that declares values, such as 192.0.2.1:2379; several with commas between them, or by giving this more than once. (default: no etcd)",
            valueName: "address"))
    var etcdEndpoints: [String] = []
    @Option(
        help: ArgumentHelp(
            "An etcd.conf as ligato's agents have it; other options count more. (default: $ETCD_CONFIG)",
            valueName: "file"))
    var etcdConfig: String?
    @Option(
        help: ArgumentHelp(
            "What all keys of all agents begin with; the label of this one and 'config/' follow.", valueName: "text"))
    var etcdPrefix = "/vnf-agent/"
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
    @Flag(
        help:
            "Write the state of each value to etcd, under config-status/. (default: if $ENABLE_STATUS_PUBLISHING is set)"
    )
    var etcdPublishStates = false
    @Flag(
        help:
            "Say to etcd once for each session that the agent is well, which the session takes along, instead of every 10 s."
    )
    var etcdQuiet = false
    @Option(
        help: ArgumentHelp(
            "How long what is bound to the agent's session in etcd outlives the agent; it gives three signs of life in that time. (default: 5, or session-ttl of the etcd.conf)",
            valueName: "seconds"))
    var etcdSessionSeconds: Int64?

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        _ = try endpoints()
        guard etcdPrefix.hasPrefix("/"), etcdPrefix.hasSuffix("/") else {
            throw ValidationError("--etcd-prefix '\(etcdPrefix)': it must begin and end with '/'")
        }
        guard (1...86_400).contains(etcdSessionSeconds ?? 5) else {
            throw ValidationError("--etcd-session-seconds '\(etcdSessionSeconds ?? 0)': 1 to 86400 is needed")
        }
    }

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

    /// Nil: etcd is not used.
    ///
    /// - Parameter tellsIgnored: Whether to report the file's unknown keys; false: another part reports them.
    func settings(label: String, tellsIgnored: Bool = true, logger: Logger) throws -> EtcdSettings? {
        let endpoints = try endpoints()
        let file = try file(logger, tellsIgnored)
        guard file != nil || !endpoints.isEmpty else {
            if namesTLS || etcdUser != nil || etcdPublishStates || etcdQuiet || etcdSessionSeconds != nil {
                throw Failure(
                    "the options of etcd need --etcd-endpoints or --etcd-config", status: ExitStatus.invalid)
            }
            return nil
        }
        var client = file?.client ?? EtcdConfiguration()
        if !endpoints.isEmpty { client.endpoints = endpoints }
        if namesTLS {
            client.tls = .init(
                authorities: etcdCaFile ?? client.tls?.authorities,
                certificate: etcdCertFile ?? client.tls?.certificate,
                key: etcdKeyFile ?? client.tls?.key)
        }
        client.credentials = try credentials()
        var settings = EtcdSettings(client: client, label: label, root: etcdPrefix)
        settings.publishesStates = etcdPublishStates || environment("ENABLE_STATUS_PUBLISHING") != nil
        if let file {
            settings.sessionSeconds = file.sessionSeconds
            settings.expandsVariables = file.expandsVariables
            settings.history = file.history
        }
        settings.isQuiet = etcdQuiet
        if let etcdSessionSeconds { settings.sessionSeconds = etcdSessionSeconds }
        return settings
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
