internal import ArgumentParser
internal import Concurrency
internal import EtcdClient
internal import Glibc
internal import Logging
internal import Northbound

/// Where in etcd values are declared.
struct EtcdOptions: ParsableArguments, Sendable {
    @OptionGroup var member: EtcdClientOptions
    @Option(
        help: ArgumentHelp(
            "What all keys of all agents begin with; the label of this one and 'config/' follow.", valueName: "text"))
    var etcdPrefix = "/vnf-agent/"
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
        guard etcdPrefix.hasPrefix("/"), etcdPrefix.hasSuffix("/") else {
            throw ValidationError("--etcd-prefix '\(etcdPrefix)': it must begin and end with '/'")
        }
        guard (1...86_400).contains(etcdSessionSeconds ?? 5) else {
            throw ValidationError("--etcd-session-seconds '\(etcdSessionSeconds ?? 0)': 1 to 86400 is needed")
        }
    }

    /// Nil: etcd is not used.
    ///
    /// - Parameter tellsIgnored: Whether to report the file's unknown keys; false: another part reports them.
    func settings(label: String, tellsIgnored: Bool = true, logger: Logger) throws -> EtcdSettings? {
        guard let (client, file) = try member.client(tellsIgnored: tellsIgnored, logger: logger) else {
            if member.needsEtcd || etcdPublishStates || etcdQuiet || etcdSessionSeconds != nil {
                throw Failure(
                    "the options of etcd need --etcd-endpoints or --etcd-config", status: ExitStatus.invalid)
            }
            return nil
        }
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
}
