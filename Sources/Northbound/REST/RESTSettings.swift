public import MeshTransport

/// Where and for whom the REST face is open.
public struct RESTSettings: Sendable {
    /// Somebody who may change things.
    public struct User: Sendable, Hashable {
        /// The name.
        public var name: String
        /// The password.
        public var password: String

        /// Makes one of `name:password`; nil when the text is none.
        public init?(_ text: String) {
            guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else { return nil }
            name = String(text[..<colon])
            password = String(text[text.index(after: colon)...])
        }
    }

    /// What clients may use.
    public struct Limits: Sendable, Hashable {
        /// The longest body, bytes.
        public var body = 16 << 20
        /// All headers of a request, bytes.
        public var header = 32 << 10
        /// How long the header of the first request of a connection may take.
        public var headerTime: Duration = .seconds(10)
        /// How long a body may take.
        public var bodyTime: Duration = .seconds(60)
        /// How long an answer may wait for a client that does not read.
        public var writeTime: Duration = .seconds(30)
        /// How long a connection may stay without a request.
        public var idleTime: Duration = .seconds(75)
        /// Connections at once, from all clients.
        public var connections = 512
        /// Connections at once from one address.
        public var peerConnections = 128

        /// The limits that hold unless others are given.
        public init() {}
    }

    /// Where it listens.
    public var addresses: [SocketAddress]
    /// Whether nothing can be changed.
    public var isReadOnly = false
    /// Why that is, for those who want to change something.
    public var readOnlyReason = "nothing can be changed here: the setting http: {readOnly: true} says so"
    /// Whether every client that reaches it may change things.
    public var isInsecure = false
    /// Whether values are sent as JSON text in a string, as old clients want them.
    public var dataIsText = false
    /// Who may change things, and beyond root is served at all, if there are any.
    public var users: [User] = []
    /// Who may log in for a token, and is served then; nil: nobody.
    public var sessions: Sessions?
    /// Names under which it may be asked, beside numeric addresses, `localhost` and the host's own.
    public var names: [String] = []
    /// Files for TLS; nil: none.
    public var tls: TLSFiles?
    /// Where the process counts; nil: nowhere.
    public var registry: PrometheusRegistry?
    /// Where calls of gRPC are counted; nil: nowhere.
    public var statistics: CallStatistics?
    /// What clients may use.
    public var limits = Limits()

    /// Makes settings.
    public init(addresses: [SocketAddress]) { self.addresses = addresses }
}
