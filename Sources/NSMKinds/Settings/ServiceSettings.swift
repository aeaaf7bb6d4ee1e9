public import DescriptorTransport
public import Model
public import NSM

/// Where the mesh is, who we are to it, and what it may do here.
public struct ServiceSettings: Sendable {
    /// What is done with the name servers that network services give to their clients.
    public enum NameServerMode: String, Sendable, CaseIterable {
        /// Nothing.
        case off
        /// They are written into the resolver's file.
        case file
        /// They are logged and shown in status.
        case print
    }

    /// The manager.
    public var manager: SocketAddress
    /// Our name in paths: unique among the clients of a manager, and the start of our connections' ids.
    public var name: String
    /// The SPIFFE Workload API, as a URL.
    public var workloadSocket: String
    /// Talks without TLS and tokens. Only for a manager on a Unix socket that does the same.
    public var isInsecure = false
    /// Where the sockets of endpoints are.
    public var socketDirectory = "/run/nsm-agent/endpoints"
    /// The longest time for a transport connection.
    public var dialTimeout: Duration
    /// The longest time for a request.
    public var requestTimeout: Duration
    /// How long our tokens live.
    public var tokenLifetime: Duration
    /// How the data path of connections is checked; nil: not at all.
    public var liveness: LivenessCheck?
    /// Labels that every client and endpoint has unless it sets them itself, such as `nodeName`.
    public var labels: [String: String] = [:]
    /// What is done with name servers.
    public var nameServers = NameServerMode.off
    /// The resolver's file.
    public var resolverFile = "/etc/resolv.conf"
    /// Clients that the environment asks for.
    public var clients: [Upnp_NetworkServiceClient]

    /// The socket of the Workload API that `nsm-agent mesh` serves.
    public static let defaultWorkloadSocket = "unix:///run/nsm-agent/workload.sock"

    /// What is wrong with a variable.
    public struct Mistake: Error, Hashable, Sendable, CustomStringConvertible {
        /// The variable, what is wrong, and what would be right.
        public let description: String
    }

    /// Takes the variables that clients of Network Service Mesh know; `variable` looks one up, nil when it is not set.
    ///
    /// - Parameter host: The name when `NSM_NAME` gives none.
    /// - Throws: ``Mistake`` for a variable that can't be used.
    public init(environment variable: (String) -> String?, host: String) throws(Mistake) {
        let url = variable("NSM_CONNECT_TO") ?? defaultManagerURL
        manager = try Self.address(url, "NSM_CONNECT_TO")
        name = variable("NSM_NAME") ?? host
        workloadSocket = variable("SPIFFE_ENDPOINT_SOCKET") ?? Self.defaultWorkloadSocket
        guard ["unix:/", "tcp://"].contains(where: workloadSocket.hasPrefix) else {
            throw Mistake(
                description:
                    "SPIFFE_ENDPOINT_SOCKET is '\(workloadSocket)'; unix:///path or tcp://address:port is needed")
        }
        dialTimeout = try Self.duration("NSM_DIAL_TIMEOUT", variable) ?? .seconds(5)
        requestTimeout = try Self.duration("NSM_REQUEST_TIMEOUT", variable) ?? .seconds(15)
        tokenLifetime = try Self.duration("NSM_MAX_TOKEN_LIFETIME", variable) ?? .seconds(600)
        liveness = LivenessCheck()
        liveness?.interval = try Self.duration("NSM_LIVENESS_CHECK_INTERVAL", variable) ?? LivenessCheck().interval
        liveness?.timeout = try Self.duration("NSM_LIVENESS_CHECK_TIMEOUT", variable) ?? LivenessCheck().timeout
        if try !Self.flag("NSM_LIVENESS_CHECK_ENABLED", variable, unset: true) { liveness = nil }
        for (label, word) in [("nodeName", "NODE_NAME"), ("podName", "POD_NAME"), ("clusterName", "CLUSTER_NAME")] {
            labels[label] = variable(word)
        }
        clients = try ServiceList.clients(variable("NSM_NETWORK_SERVICES") ?? "")
    }

    /// Checks what variables and options say together.
    ///
    /// - Throws: ``Mistake`` for what can't be.
    public func check() throws(Mistake) {
        guard !name.isEmpty, name.utf8.count <= 253, !name.utf8.contains(where: { $0 <= 32 || $0 == 127 }) else {
            throw Mistake(
                description:
                    "the name in the mesh is '\(name)'; 1 to 253 bytes without spaces are needed (NSM_NAME, --nsm-name)"
            )
        }
        if isInsecure, case .tcp = manager {
            throw Mistake(
                description:
                    "--nsm-insecure is for a manager on a Unix socket, and not for \(manager.url), which others can listen to"
            )
        }
    }

    /// A manager's address; `place` is the variable or option to blame.
    ///
    /// - Throws: ``Mistake`` when the text is none.
    public static func address(_ url: String, _ place: String) throws(Mistake) -> SocketAddress {
        guard let address = SocketAddress(url: url) else {
            throw Mistake(description: "\(place) is '\(url)'; a URL such as unix:///path is needed")
        }
        return address
    }

    /// The time that a variable says; nil when it is not set.
    ///
    /// - Throws: ``Mistake`` when it is none, or not positive.
    public static func duration(_ name: String, _ variable: (String) -> String?) throws(Mistake) -> Duration? {
        guard let text = variable(name) else { return nil }
        guard let duration = GoDuration.parse(text), duration > .zero else {
            throw Mistake(description: "\(name) is '\(text)'; a time such as 15s or 1m30s is needed")
        }
        return duration
    }

    /// Source: `strconv.ParseBool`, which reads the variables of stock clients.
    private static func flag(
        _ name: String, _ variable: (String) -> String?, unset: Bool
    ) throws(Mistake) -> Bool {
        guard let text = variable(name) else { return unset }
        if ["1", "t", "T", "true", "TRUE", "True"].contains(text) { return true }
        if ["0", "f", "F", "false", "FALSE", "False"].contains(text) { return false }
        throw Mistake(description: "\(name) is '\(text)'; true or false is needed")
    }
}
