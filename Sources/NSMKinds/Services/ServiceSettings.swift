public import DescriptorTransport
internal import NSM

/// Where the mesh is, and who we are to it.
public struct ServiceSettings: Sendable {
    /// The manager.
    public var manager: SocketAddress
    /// Our name in paths: unique among the clients of a manager.
    public var name: String
    /// The SPIFFE Workload API, as a URL.
    public var workloadSocket: String
    /// Where the sockets of endpoints are.
    public var socketDirectory: String
    /// The longest time for a transport connection.
    public var dialTimeout: Duration
    /// The longest time for a request.
    public var requestTimeout: Duration
    /// How long our tokens live.
    public var tokenLifetime: Duration
    /// Labels that every client and endpoint has unless it sets them itself, such as `nodeName`.
    public var labels: [String: String]

    /// The socket of the Workload API that `nsm-agent mesh` serves.
    public static let defaultWorkloadSocket = "unix:///run/nsm-agent/workload.sock"

    /// What is wrong with a variable.
    public struct Mistake: Error, Sendable, CustomStringConvertible {
        /// The variable, what is wrong, and what would be right.
        public let description: String
    }

    /// Takes the variables that clients of Network Service Mesh know; `variable` looks one up, nil when it is not set.
    ///
    /// - Throws: ``Mistake`` for a variable that can't be used.
    public init(environment variable: (String) -> String?, host: String) throws(Mistake) {
        let url = variable("NSM_CONNECT_TO") ?? defaultManagerURL
        guard let manager = SocketAddress(url: url) else {
            throw Mistake(description: "NSM_CONNECT_TO is '\(url)'; unix:///path is needed")
        }
        self.manager = manager
        name = variable("NSM_NAME") ?? host
        workloadSocket = variable("SPIFFE_ENDPOINT_SOCKET") ?? Self.defaultWorkloadSocket
        socketDirectory = "/run/nsm-agent/endpoints"
        dialTimeout = try Self.duration("NSM_DIAL_TIMEOUT", variable) ?? .seconds(5)
        requestTimeout = try Self.duration("NSM_REQUEST_TIMEOUT", variable) ?? .seconds(15)
        tokenLifetime = try Self.duration("NSM_MAX_TOKEN_LIFETIME", variable) ?? .seconds(600)
        labels = [:]
        for (label, word) in [("nodeName", "NODE_NAME"), ("podName", "POD_NAME"), ("clusterName", "CLUSTER_NAME")] {
            labels[label] = variable(word)
        }
    }

    private static func duration(_ name: String, _ variable: (String) -> String?) throws(Mistake) -> Duration? {
        guard let text = variable(name) else { return nil }
        guard let duration = GoDuration.parse(text), duration > .zero else {
            throw Mistake(description: "\(name) is '\(text)'; a time such as 15s or 1m30s is needed")
        }
        return duration
    }
}

/// Times as Go writes them: `300ms`, `1m30s`, `1.5h`.
enum GoDuration {
    private static let units: [(String, Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
    ]

    /// Nil when the text is no such time.
    static func parse(_ text: String) -> Duration? {
        if text == "0" { return .zero }
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            guard let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
            rest = rest.dropFirst(unit.count)
            total += number * factor
        }
        return total < 9e18 ? .nanoseconds(Int64(total)) : nil
    }
}
