internal import NetworkTypes

/// What checks across clients and endpoints need to know of those before.
struct ServiceFacts {
    /// The client that has an interface, by the interface's name.
    var clients: [String: Int] = [:]
    /// What the names of endpoints' interfaces begin with.
    var prefixes: Set<String> = []

    /// Whether an interface that nobody declares may come with a connection.
    func mayBring(_ name: String) -> Bool {
        if clients[name] != nil { return true }
        // Names in the kernel are short.
        guard !prefixes.isEmpty, name.utf8.count <= InterfaceName.maximumLength else { return false }
        return name.indices.dropFirst().contains { prefixes.contains(String(name[..<$0])) }
    }
}

extension Checker {
    /// Checks a connection to a network service.
    mutating func check(client: Upnp_NetworkServiceClient, _ item: Int) {
        check(name: client.name, item, "name")
        check(name: client.networkService, item, "network_service", what: "the name of a service")
        let name = client.interfaceName
        check(name: name, item, "interface_name", what: "the name of the interface it yields")
        if !name.isEmpty {
            if let problem = InterfaceName.mistake(in: name) {
                report(item, ["interface_name"], value: name, problem)
            } else if let earlier = services.clients[name] {
                // One client declared twice is reported as such.
                if config.items[earlier].key != config.items[item].key {
                    let other = config.items[earlier].value.name.inQuotes
                    report(
                        item, ["interface_name"], value: name,
                        "is the interface of client \(other) already (\(position(of: [], in: earlier)))")
                }
            } else {
                services.clients[name] = item
            }
        }
        check(labels: client.outgoingLabels, item, "outgoing_labels")
        let identity = client.endpointID
        if !identity.isEmpty, let problem = Self.mistake(inIdentity: identity) {
            report(item, ["endpoint_id"], value: identity, problem)
        }
        checkRoutes(accepted: client.accept.routes.prefixes, item)
        checkMesh(client.interfaceType, client.ipAddresses, client.physAddress, item)
    }

    /// Checks a network service that is offered.
    mutating func check(endpoint: Upnp_NetworkServiceEndpoint, _ item: Int) {
        check(name: endpoint.networkService, item, "network_service", what: "the name of the service")
        let prefix = endpoint.interfaceNamePrefix
        check(name: prefix, item, "interface_name_prefix", what: "the start of interface names")
        if !prefix.isEmpty {
            // With the shortest end that a name can have.
            if let problem = InterfaceName.mistake(in: prefix + "0") {
                report(item, ["interface_name_prefix"], value: prefix, "gives '\(prefix)0', which \(problem)")
            }
            services.prefixes.insert(prefix)
        }
        check(labels: endpoint.advertisedLabels, item, "advertised_labels")
        checkMesh(endpoint.interfaceType, endpoint.ipAddresses, endpoint.physAddress, item)
        guard !endpoint.singleClient else { return }
        for (field, isSet) in [
            ("ip_addresses", !endpoint.ipAddresses.isEmpty), ("phys_address", !endpoint.physAddress.isEmpty),
        ]
        where isSet {
            warn(item, [.field(field)], "is not used without single_client: several interfaces can't share it")
        }
    }

    /// Why a text is no SPIFFE id whose path may hold `*`. Source: the SPIFFE-ID standard, sections 2.1 to 2.3.
    private static func mistake(inIdentity text: String) -> String? {
        let scheme = "spiffe://"
        guard text.utf8.count <= 2048 else { return "is longer than 2048 bytes" }
        guard text.utf8.starts(with: scheme.utf8) else { return "is no SPIFFE id, such as spiffe://example.org/db" }
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

    private mutating func checkRoutes(accepted routes: [String], _ item: Int) {
        var seen: Set<IPPrefix> = []
        for (index, text) in routes.enumerated() {
            let path: [PathPart] = ["accept", "routes", .element(index)]
            guard let prefix = parsePrefix(text) else {
                report(item, path, value: text, "is not an IP address with prefix length")
                continue
            }
            if prefix != prefix.network {
                report(item, path, value: text, "has bits beyond its length; write \(prefix.network)")
            } else if !seen.insert(prefix).inserted {
                report(item, path, value: text, "is there twice")
            }
        }
    }

    private mutating func check(labels: [Upnp_ConnectionLabel], _ item: Int, _ field: String) {
        var seen: Set<String> = []
        for (index, label) in labels.enumerated() {
            let path: [PathPart] = [.field(field), .element(index), "key"]
            if label.key.isEmpty {
                report(item, path, "is missing; a label has a key and a value")
            } else if !seen.insert(label.key).inserted {
                report(item, path, value: label.key, "is there twice")
            }
        }
    }

    private mutating func checkMesh(
        _ type: Upnp_ConnectionInterfaceType, _ addresses: [String], _ mac: String, _ item: Int
    ) {
        if type == .memInterface {
            let text = "is not possible: it needs VPP, which is not here; use KERNEL_INTERFACE"
            reject(item, ["interface_type"], value: "MEM_INTERFACE", text)
        }
        var seen: Set<IPPrefix> = []
        for (index, text) in addresses.enumerated() where !text.isReference {
            let path: [PathPart] = ["ip_addresses", .element(index)]
            guard let prefix = parsePrefix(text) else {
                report(item, path, value: text, "is not an IP address with prefix length")
                continue
            }
            if prefix.address.isMulticast || prefix.address.isUnspecified {
                report(item, path, value: text, "can't be the address of an interface")
            } else if !seen.insert(prefix).inserted {
                report(item, path, value: text, "is there twice")
            }
        }
        if !mac.isEmpty { check(mac: mac, item, "phys_address") }
    }

    /// Checks that the agent does not make itself what a connection brings.
    mutating func checkServicesTogether() {
        if services.clients.isEmpty { return }
        for facts in interfaces where facts.namespace == 0 && facts.type != .existing {
            guard let item = services.clients[facts.hostName] else { continue }
            report(
                item, ["interface_name"], value: facts.hostName,
                "is the name of a \(facts.type.word), which the agent makes itself (\(position(of: [], in: facts.item))); choose another one"
            )
        }
    }
}
