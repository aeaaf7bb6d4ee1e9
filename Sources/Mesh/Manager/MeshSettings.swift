internal import CoreMetrics
internal import GRPCCore
public import MeshTransport
public import Logging
internal import NSM
internal import Netlink
public import NetworkTypes

/// The settings of a mesh at its start.
public struct MeshSettings: Sendable {
    /// Its name in paths; it must differ from those of clients and endpoints.
    public var name: String
    /// Where clients and endpoints find it.
    public var address: SocketAddress
    /// Its identity.
    public var security: Security
    /// How long its tokens live.
    public var tokenLifetime: Duration
    /// Prefixes that no connection gets addresses from, beside those of this host.
    public var excludedPrefixes: [IPPrefix]
    /// The log of events.
    public var logger: Logger
    /// How it is joined with other hosts; nil: not at all.
    public var remote: RemoteSettings?
    /// Where endpoints have shared prefixes from; nil: nowhere.
    public var prefixes: PrefixSource?
    /// A directory where is kept whose shared prefixes were whose, for nobody else to write; nil: nowhere.
    public var prefixDirectory: String?
    /// Who may do what.
    var rights = Rights(settings: MeshRights(), ownDomain: nil, host: "")
    /// How long it may take to reach a peer.
    var dialTimeout = Duration.seconds(2)
    /// Connections of all peers together; more are refused.
    var mostConnections = 65536
    /// The namespace whose network tunnels go through; nil: that of the process.
    var host: NetworkNamespace?
    /// Where it counts; nil: nowhere.
    var metrics: (any MetricsFactory)?
    /// What calls go through before it is decided who may make them.
    var interceptors: [any ServerInterceptor] = []

    /// Makes settings.
    public init(
        name: String, address: SocketAddress, security: Security,
        tokenLifetime: Duration = .seconds(600), excludedPrefixes: [IPPrefix] = [], remote: RemoteSettings? = nil,
        logger: Logger
    ) {
        self.name = name
        self.address = address
        self.security = security
        self.tokenLifetime = tokenLifetime
        self.excludedPrefixes = excludedPrefixes
        self.remote = remote
        self.logger = logger
    }

    var component: Component {
        Component(
            name: name, security: security, tokenLifetime: tokenLifetime, dialTimeout: dialTimeout,
            requestTimeout: .seconds(10), logger: logger)
    }
}
