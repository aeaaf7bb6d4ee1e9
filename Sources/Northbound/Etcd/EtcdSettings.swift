public import EtcdClient

/// Where in etcd the configuration of an agent is.
public struct EtcdSettings: Sendable {
    /// How to talk to etcd.
    public var client: EtcdConfiguration
    /// The name of the agent there.
    public var label: String
    /// What all keys of all agents begin with.
    public var root: String
    /// How long what is bound to the agent's life outlives it, seconds.
    public var sessionSeconds: Int64
    /// Whether `$NAME` in values stands for a variable of the environment.
    public var expandsVariables: Bool
    /// Whether the state of each value is written under `config-status/`.
    public var publishesStates: Bool
    /// Whether that the agent is well is written once for each session, which takes it along, instead of every 10 s.
    public var isQuiet = false
    /// How much of the past etcd is to keep; nil: that is for others to say.
    public var history: Duration?
    /// The file that keeps what was last seen of etcd over a restart; nil: it is not kept.
    public var memory: String?
    /// The version of the agent, which stands in its status.
    public var version = ""

    /// Makes settings.
    public init(
        client: EtcdConfiguration, label: String, root: String = "/vnf-agent/", sessionSeconds: Int64 = 5,
        expandsVariables: Bool = false, publishesStates: Bool = false, history: Duration? = nil
    ) {
        self.client = client
        self.label = label
        self.root = root
        self.sessionSeconds = sessionSeconds
        self.expandsVariables = expandsVariables
        self.publishesStates = publishesStates
        self.history = history
    }

    /// How often etcd is asked whether it is there: as often as the session says that the agent is, but not more than every 5 s.
    var probeInterval: Duration { .seconds(max(sessionSeconds / 3, 5)) }

    /// What all keys of the agent begin with.
    var prefix: String { "\(root)\(label)/" }
}
