public import MeshTransport
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
        /// A resolver of our own asks them, and the resolver's file names it alone.
        case resolver
    }

    /// The manager.
    public var manager: SocketAddress
    /// Our name in paths: unique among the clients of a manager, and the start of our connections' ids.
    public var name: String
    /// The SPIFFE Workload API, as a URL.
    public var workloadSocket: String
    /// Which of several identities to take, by its hint; nil: the first.
    public var svidHint: String?
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
    /// Services whose clients may be given the same addresses.
    public var awareness = AwarenessGroups()
    /// A file with the policy routes that the clients of our endpoints are given; nil: there is none.
    public var policyFile: String?
    /// IPAM servers of vL3 networks: each gives every endpoint without prefixes of its own a prefix that no other endpoint has.
    public var prefixServers: [SocketAddress] = []
    /// A pattern of the SPIFFE ids that such servers have over TCP; nil: those of managers whose authority is a host's mesh.
    public var prefixServerID: String?
    /// What is done with name servers.
    public var nameServers = NameServerMode.off
    /// Where our own resolver listens.
    public var resolverAddress = ResolverAddress.standard
    /// The resolver's file.
    public var resolverFile = "/etc/resolv.conf"
    /// Clients that the environment asks for.
    public var clients: [Upnp_NetworkServiceClient]

    /// The socket of the Workload API that `nsm-agent mesh` serves.
    public static let defaultWorkloadSocket = MeshEnvironment.defaultWorkloadSocket

    /// What is wrong with a variable.
    public struct Mistake: Error, Hashable, Sendable, CustomStringConvertible {
        /// The variable, what is wrong, and what would be right.
        public let description: String
    }

    /// Takes the variables that clients of Network Service Mesh know; `variable` looks one up, nil when it is not set.
    ///
    /// `NSM_LABELS` are labels of every client and endpoint, before `NODE_NAME` and the like.
    ///
    /// - Parameter host: The name when `NSM_NAME` gives none.
    /// - Throws: ``Mistake`` for a variable that can't be used.
    public init(environment variable: (String) -> String?, host: String) throws(Mistake) {
        let environment: MeshEnvironment
        do {
            environment = try MeshEnvironment(variable, host: host)
            if let isWanted = try MeshEnvironment.flag("NSM_LOCAL_DNS_SERVER_ENABLED", variable) {
                nameServers = isWanted ? .resolver : .off
            }
        } catch {
            throw Mistake(description: error.text)
        }
        manager = environment.manager
        name = environment.name
        workloadSocket = environment.workloadSocket
        svidHint = environment.svidHint
        dialTimeout = environment.dialTimeout
        requestTimeout = environment.requestTimeout
        tokenLifetime = environment.tokenLifetime
        liveness = environment.liveness
        labels = try Self.labels(variable("NSM_LABELS") ?? "").merging(environment.labels) { own, _ in own }
        clients = try ServiceList.clients(variable("NSM_NETWORK_SERVICES") ?? "")
        awareness = try AwarenessGroups(variable("NSM_AWARENESS_GROUPS") ?? "")
        if let text = variable("NSM_LOCAL_DNS_SERVER_ADDRESS"), !text.isEmpty {
            resolverAddress = try Self.resolverAddress(text, "NSM_LOCAL_DNS_SERVER_ADDRESS")
        }
        let servers = (variable("NSM_PREFIX_SERVER_URL") ?? "").split(separator: ",")
        prefixServers = try Self.prefixServers(
            servers.map { String($0.trimmingWhitespace) }, "NSM_PREFIX_SERVER_URL")
        prefixServerID = variable("NSM_AGENT_PREFIX_SERVER_ID").flatMap { $0.isEmpty ? nil : $0 }
        policyFile = variable("NSM_PBR_CONFIG_PATH").flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A client of a service as it is written on a command line: `db`, `db/nsm-db?app=web` or the same behind `kernel://`.
    ///
    /// - Parameter name: The end of its connection's id.
    /// - Throws: ``Mistake``.
    public static func client(_ text: String, name: String) throws(Mistake) -> Upnp_NetworkServiceClient {
        var client = try ServiceList.client(text, of: "the service")
        client.name = name
        return client
    }

    /// Labels in the format of stock endpoints, `key:value,key:value`, or of stock clients, with `=`.
    private static func labels(_ text: String) throws(Mistake) -> [String: String] {
        var labels: [String: String] = [:]
        for item in text.split(separator: ",") {
            let item = item.trimmingWhitespace
            guard let mark = item.firstIndex(where: { $0 == ":" || $0 == "=" }), mark != item.startIndex else {
                throw Mistake(description: "NSM_LABELS: '\(item)' is not a label; an item is key:value")
            }
            labels[String(item[..<mark])] = String(item[item.index(after: mark)...])
        }
        return labels
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

    /// An address of a resolver; `place` is the variable or option to blame.
    ///
    /// - Throws: ``Mistake`` when the text is none.
    public static func resolverAddress(_ text: String, _ place: String) throws(Mistake) -> ResolverAddress {
        guard let address = ResolverAddress(text) else {
            throw Mistake(description: "\(place) is '\(text.prefix(256))'; an address such as 127.0.0.1:53 is needed")
        }
        guard address.address.isLoopback else {
            throw Mistake(
                description:
                    "\(place) is '\(text.prefix(256))', where other hosts could ask; an address of the loopback such as 127.0.0.1:53 is needed, or a socket unit that hands the socket over"
            )
        }
        return address
    }

    /// The addresses of IPAM servers; `place` is the variable or option to blame.
    ///
    /// - Throws: ``Mistake`` when a text is none, or there are too many.
    public static func prefixServers(_ urls: [String], _ place: String) throws(Mistake) -> [SocketAddress] {
        guard urls.count <= 8 else {
            throw Mistake(description: "\(place) names \(urls.count) servers; at most 8 are asked")
        }
        var servers: [SocketAddress] = []
        for url in urls { servers.append(try address(url, place)) }
        return servers
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
}

extension Substring {
    /// Without spaces at its ends.
    fileprivate var trimmingWhitespace: Substring {
        var text = drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }
}
