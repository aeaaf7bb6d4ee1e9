public import NetworkTypes

/// A connection to a network service.
public struct ClientSpec: Hashable, Sendable {
    /// What it takes of what comes with the connection.
    public struct Acceptance: Hashable, Sendable {
        /// Networks that routes may lead to; nil: all.
        public let routes: [IPPrefix]?
        /// Whether name servers are taken.
        public let isDNS: Bool
    }

    /// The name.
    public let name: String
    /// The name of the service.
    public let networkService: String
    /// Labels by which an endpoint is chosen, in the order they were written.
    public let labels: [ServiceLabel]
    /// The name of the interface.
    public let interfaceName: String
    /// Addresses of its own.
    public let addresses: [AddressSource]
    /// The MAC address of the interface; nil: whatever it is.
    public let mac: MACAddress?
    /// The endpoint's SPIFFE id, or a pattern of one; nil: any endpoint.
    public let endpointID: String?
    /// What it takes; nil: all.
    public let acceptance: Acceptance?

    init?(_ message: Upnp_NetworkServiceClient, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name")
        networkService = message.networkService
        findings.check(name: networkService, "network_service", what: "the name of a service")
        interfaceName = message.interfaceName
        findings.check(name: interfaceName, "interface_name", what: "the name of the interface it yields")
        if !interfaceName.isEmpty, let problem = InterfaceName.mistake(in: interfaceName) {
            findings.mistake(["interface_name"], value: interfaceName, problem)
        }
        labels = findings.labels(message.outgoingLabels, "outgoing_labels")
        endpointID = message.endpointID.orNil
        if let endpointID, let problem = SPIFFEPattern.mistake(in: endpointID) {
            findings.mistake(["endpoint_id"], value: endpointID, problem)
        }
        acceptance = message.hasAccept ? findings.acceptance(message.accept) : nil
        findings.check(message.interfaceType)
        addresses = findings.serviceAddresses(message.ipAddresses, owner: interfaceName)
        mac = findings.mac(message.physAddress, "phys_address")
    }
}

/// A network service that is offered.
public struct EndpointSpec: Hashable, Sendable {
    /// The name of the service.
    public let networkService: String
    /// Labels by which it is chosen, in the order they were written.
    public let labels: [ServiceLabel]
    /// Whether it has one client at most.
    public let isSingleClient: Bool
    /// What the names of its interfaces begin with.
    public let interfaceNamePrefix: String
    /// The label whose value they end with; nil: a number.
    public let suffixLabel: String?
    /// Addresses of its own. References to allocations that name no interface mean the one that comes to be.
    public let addresses: [AddressSource]
    /// The MAC address of its interface; nil: whatever it is.
    public let mac: MACAddress?
    /// Networks that connections get their addresses from.
    public let prefixes: [IPPrefix]
    /// Parts of these from which none is given.
    public let excludedPrefixes: [IPPrefix]
    /// Networks that clients reach by it.
    public let routes: [IPPrefix]
    /// Whether it makes one network with the other endpoints of the service.
    public let isSharedNetwork: Bool
    /// Whom it asks for prefixes, as URLs.
    public let prefixServers: [String]

    /// Bytes of the start of interface names where other endpoints are connected: a dash and six digits follow.
    static let longestSharedPrefix = 8
    /// IPAM servers of one endpoint.
    static let mostPrefixServers = 8

    init?(_ message: Upnp_NetworkServiceEndpoint, _ findings: inout FieldFindings) {
        networkService = message.networkService
        findings.check(name: networkService, "network_service", what: "the name of the service")
        interfaceNamePrefix = message.interfaceNamePrefix
        findings.check(name: interfaceNamePrefix, "interface_name_prefix", what: "the start of interface names")
        // With the shortest end that a name can have.
        let shortest = interfaceNamePrefix + "0"
        if !interfaceNamePrefix.isEmpty, let problem = InterfaceName.mistake(in: shortest) {
            findings.mistake(
                ["interface_name_prefix"], value: interfaceNamePrefix, "gives '\(shortest)', which \(problem)")
        }
        labels = findings.labels(message.advertisedLabels, "advertised_labels")
        isSingleClient = message.singleClient
        suffixLabel = message.interfaceNameSuffixFromLabel.orNil
        findings.check(message.interfaceType)
        addresses = findings.serviceAddresses(message.ipAddresses, owner: nil)
        mac = findings.mac(message.physAddress, "phys_address")
        prefixes = findings.pools(message.prefixes, "prefixes")
        excludedPrefixes = findings.networks(message.excludedPrefixes, ["excluded_prefixes"]) ?? []
        routes = findings.networks(message.routes, ["routes"]) ?? []
        isSharedNetwork = message.vl3
        prefixServers = findings.prefixServers(message)
        findings.checkSharedNetwork(message)
        if prefixes.isEmpty, !message.excludedPrefixes.isEmpty, !isSharedNetwork, prefixServers.isEmpty {
            findings.warning(["excluded_prefixes"], "is not used without prefixes")
        }
        for (index, prefix) in prefixes.enumerated()
        where excludedPrefixes.contains(where: { $0.contains(prefix.address) && $0.length <= prefix.length }) {
            findings.mistake(["prefixes", .element(index)], value: "\(prefix)", "is excluded as a whole")
        }
        guard !isSingleClient else { return }
        for (field, isSet) in [
            ("ip_addresses", !message.ipAddresses.isEmpty), ("phys_address", !message.physAddress.isEmpty),
        ]
        where isSet {
            findings.warning(
                [.field(field)], "is not used without single_client: several interfaces can't share it")
        }
    }
}

extension FieldFindings {
    fileprivate mutating func checkSharedNetwork(_ message: Upnp_NetworkServiceEndpoint) {
        guard message.vl3 else { return }
        let prefix = message.interfaceNamePrefix
        if prefix.utf8.count > EndpointSpec.longestSharedPrefix {
            mistake(
                ["interface_name_prefix"], value: prefix,
                "is longer than \(EndpointSpec.longestSharedPrefix) bytes; with vl3 the interfaces to other endpoints"
                    + " have a dash and six digits behind it")
        }
        if message.singleClient {
            mistake(["vl3"], value: "true", "is for many clients, and single_client is set")
        }
    }

    /// URLs of IPAM servers.
    fileprivate mutating func prefixServers(_ message: Upnp_NetworkServiceEndpoint) -> [String] {
        let urls = message.prefixServers
        if !urls.isEmpty, !message.prefixes.isEmpty {
            warning(["prefix_servers"], "is not used, as prefixes is set")
        }
        if urls.count > EndpointSpec.mostPrefixServers {
            mistake(
                ["prefix_servers"], value: "\(urls.count) URLs",
                "are too many; at most \(EndpointSpec.mostPrefixServers) are asked")
        }
        var seen: Set<String> = []
        for (index, url) in urls.enumerated() {
            let path: [PathPart] = ["prefix_servers", .element(index)]
            if !Self.isServer(url) {
                mistake(path, value: url, "is not a URL such as unix:///run/ipam.sock or tcp://192.0.2.1:5001")
            } else if !seen.insert(url).inserted {
                mistake(path, value: url, "is there twice")
            }
        }
        return urls
    }

    private static func isServer(_ url: String) -> Bool {
        if url.hasPrefix("unix:///") { return url.utf8.count <= 115 && !url.utf8.contains(0) }
        guard url.hasPrefix("tcp://"), let colon = url.lastIndex(of: ":") else { return false }
        let host = url[..<colon].dropFirst(6)
        let port = UInt16(url[url.index(after: colon)...])
        return !host.isEmpty && host.utf8.count <= 255 && !host.contains("/") && (port ?? 0) > 0
    }
}

/// A word that clients and endpoints find each other by.
public struct ServiceLabel: Hashable, Sendable {
    /// Its name.
    public let key: String
    /// What it says.
    public let value: String
}

/// SPIFFE ids whose path may hold `*`. Source: the SPIFFE-ID standard, sections 2.1 to 2.3.
enum SPIFFEPattern {
    /// Why a text is none.
    static func mistake(in text: String) -> String? {
        let scheme = "spiffe://"
        guard text.utf8.count <= 2048 else { return "is longer than 2048 bytes" }
        guard text.utf8.starts(with: scheme.utf8) else { return "is not a SPIFFE id, such as spiffe://example.org/db" }
        let rest = text.utf8.dropFirst(scheme.utf8.count)
        let domain = rest.prefix { $0 != UInt8(ascii: "/") }
        if domain.contains(UInt8(ascii: "*")) { return "has a '*' in its trust domain; only the path can be a pattern" }
        func isPlain(_ byte: UInt8) -> Bool {
            byte &- 48 < 10 || byte &- 97 < 26 || byte == 45 || byte == 46 || byte == 95
        }
        guard (1...255).contains(domain.count), domain.allSatisfy(isPlain) else {
            return "has a trust domain that is not 1 to 255 lower-case letters, digits, '.', '-' and '_'"
        }
        let path = rest.dropFirst(domain.count)
        let segments = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard segments.count > 1 else { return "has no path; for all of a trust domain write '/*' behind it" }
        for segment in segments.dropFirst() {
            let word = String(decoding: segment, as: UTF8.self)
            guard !word.isEmpty, word != ".", word != "..",
                segment.allSatisfy({ isPlain($0) || $0 &- 65 < 26 || $0 == UInt8(ascii: "*") })
            else { return "has a path segment that is not of letters, digits, '.', '-', '_' and '*'" }
        }
        return nil
    }
}

extension FieldFindings {
    fileprivate mutating func acceptance(_ message: Upnp_ServiceAcceptance) -> ClientSpec.Acceptance {
        let routes = message.hasRoutes ? networks(message.routes.prefixes, ["accept", "routes"]) ?? [] : nil
        return ClientSpec.Acceptance(routes: routes, isDNS: message.hasDns ? message.dns : true)
    }

    /// Networks, each written once and without bits beyond its length; nil: none can be read.
    fileprivate mutating func networks(_ texts: [String], _ field: [PathPart]) -> [IPPrefix]? {
        var found: [IPPrefix]?
        var seen: Set<IPPrefix> = []
        for (index, text) in texts.enumerated() {
            let path = field + [.element(index)]
            if text.isEmpty { mistake(path, value: text, "is empty") }
            guard let prefix = prefix(text, path) else { continue }
            if prefix != prefix.network {
                mistake(path, value: text, "has bits beyond its length; write \(prefix.network)")
            } else if !seen.insert(prefix).inserted {
                mistake(path, value: text, "is there twice")
            }
            found = (found ?? []) + [prefix]
        }
        return found
    }

    /// Networks of which each has room for a pair of addresses, and none lies in another.
    fileprivate mutating func pools(_ texts: [String], _ field: PathPart) -> [IPPrefix] {
        let prefixes = networks(texts, [field]) ?? []
        for (index, prefix) in prefixes.enumerated() {
            let path: [PathPart] = [field, .element(index)]
            if prefix.isHost {
                mistake(path, value: "\(prefix)", "has room for one address; a connection needs two")
            } else if prefix.address.isMulticast || prefix.address.isLoopback {
                mistake(path, value: "\(prefix)", "can't be the addresses of interfaces")
            } else if let other = prefixes.first(where: { $0 != prefix && $0.contains(prefix.address) }) {
                mistake(path, value: "\(prefix)", "lies in \(other), which is there, too")
            }
        }
        return prefixes
    }

    fileprivate mutating func labels(_ labels: [Upnp_ConnectionLabel], _ field: String) -> [ServiceLabel] {
        self.labels(labels, [.field(field)])
    }

    /// Labels, each key once.
    mutating func labels(_ labels: [Upnp_ConnectionLabel], _ field: [PathPart]) -> [ServiceLabel] {
        var seen: Set<String> = []
        return labels.enumerated().map { index, label in
            let path = field + [.element(index), "key"]
            if label.key.isEmpty {
                mistake(path, "is missing; a label has a key and a value")
            } else if !seen.insert(label.key).inserted {
                mistake(path, value: label.key, "is there twice")
            }
            return ServiceLabel(key: label.key, value: label.value)
        }
    }

    fileprivate mutating func check(_ type: Upnp_ConnectionInterfaceType) {
        switch type {
        case .defaultInterface, .kernelInterface: break
        case .memInterface:
            impossible(
                ["interface_type"], value: "MEM_INTERFACE",
                "is not possible: it needs VPP, which is not here; use KERNEL_INTERFACE")
        case .UNRECOGNIZED(let number): unknown(number, "upnp.ConnectionInterfaceType", ["interface_type"])
        }
    }

    fileprivate mutating func serviceAddresses(_ texts: [String], owner: String?) -> [AddressSource] {
        var seen: Set<IPPrefix> = []
        return texts.enumerated().compactMap { index, text in
            let path: [PathPart] = ["ip_addresses", .element(index)]
            if text.isReference {
                return reference(text, path, owner: owner, gateway: .refused).map { .allocated($0) }
            }
            if text.isEmpty { mistake(path, value: text, "is empty") }
            guard let prefix = prefix(text, path) else { return nil }
            if prefix.address.isMulticast || prefix.address.isUnspecified {
                mistake(path, value: text, "can't be the address of an interface")
            } else if !seen.insert(prefix).inserted {
                mistake(path, value: text, "is there twice")
            }
            return .literal(prefix)
        }
    }
}
