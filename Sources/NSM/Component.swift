public import MeshTransport
public import Logging
internal import SPIFFE

/// What a program is in the mesh: its name, its identity and how long it waits.
public struct Component: Sendable {
    /// The name in path segments. Neighbours on a path must have different names, or a hop is lost.
    public var name: String
    /// How peers are recognised.
    public var security: Security
    /// How long a token lives that the component signs; 10 minutes unless set.
    public var tokenLifetime: Duration
    /// The longest time for making a transport connection.
    public var dialTimeout: Duration
    /// The longest time for one request.
    public var requestTimeout: Duration
    /// Where events are logged. Tokens and keys never are.
    public var logger: Logger

    /// Makes a component.
    public init(
        name: String, security: Security, tokenLifetime: Duration = .seconds(600), dialTimeout: Duration = .seconds(5),
        requestTimeout: Duration = .seconds(15), logger: Logger = Logger(label: "nsm")
    ) {
        self.name = name
        self.security = security
        self.tokenLifetime = tokenLifetime
        self.dialTimeout = dialTimeout
        self.requestTimeout = requestTimeout
        self.logger = logger
    }

    /// Whether tokens are signed and checked.
    public var isSecure: Bool {
        switch security {
        case .identity: true
        case .insecure: false
        }
    }
}

/// The default socket of a node's manager.
public let defaultManagerURL = "unix:///var/lib/networkservicemesh/nsm.io.sock"
