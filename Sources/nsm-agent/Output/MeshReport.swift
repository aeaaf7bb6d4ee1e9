internal import Concurrency
internal import Mesh
internal import Model

/// What a mesh said of itself.
struct MeshReport {
    private let response: Nsmagent_Mesh_StatusResponse
    private let now = Timestamp.now
    private let isWhole: Bool

    /// - Parameter name: Only what has to do with it is shown; empty: everything.
    init(_ response: Nsmagent_Mesh_StatusResponse, name: String = "") {
        var response = response
        isWhole = name.isEmpty
        if !name.isEmpty {
            response.connections.removeAll { !$0.words.contains(name) }
            response.endpoints.removeAll { $0.name != name && $0.host != name && !$0.services.contains(name) }
            response.services.removeAll { $0.name != name }
            response.peers.removeAll { $0.url != name }
        }
        self.response = response
    }

    /// Whether there is nothing to show.
    var isEmpty: Bool {
        response.connections.isEmpty && response.endpoints.isEmpty && response.services.isEmpty
            && response.peers.isEmpty
    }

    /// Whether all connections that are shown are up, and all hosts are reached without trouble.
    var isGood: Bool {
        response.connections.allSatisfy(\.isUp) && response.peers.allSatisfy { $0.isReached && $0.error.isEmpty }
    }

    // MARK: - For people

    func text(_ terminal: Terminal) -> String {
        let remote = response.remoteURL.isEmpty ? "" : ", for other hosts on \(response.remoteURL)"
        let age = Text.age(seconds: Int64(min(max(response.uptime, 0), 1e12)))
        var parts = ["Mesh \(response.name) on \(response.url)\(remote); process \(response.pid), up \(age)\n"]
        if !response.connections.isEmpty { parts.append(connections(terminal)) }
        if !response.endpoints.isEmpty { parts.append(endpoints(terminal)) }
        if !response.services.isEmpty { parts.append(services(terminal)) }
        if !response.peers.isEmpty { parts.append(peers(terminal)) }
        return (parts + [summary]).joined(separator: "\n")
    }

    private func connections(_ terminal: Terminal) -> String {
        var table = Table("CONNECTION", "SERVICE", "AGE", "RECEIVED", "SENT", "CLIENT", "ENDPOINT")
        for row in response.connections {
            let traffic = row.hasTraffic_p ? [Text.bytes(row.receivedBytes), Text.bytes(row.sentBytes)] : ["-", "-"]
            let tunnel = row.vni > 0 ? ", VNI \(row.vni)" : ""
            table.add([
                .init(row.clientID, row.isUp ? nil : .red), .init(row.service), .init(since(row.sinceSeconds)),
                .init(traffic[0]), .init(traffic[1]), .init(row.client.text),
                .init("\(row.endpoint.name): \(row.endpoint.text)\(tunnel)\(row.isUp ? "" : " (down)")"),
            ])
        }
        return table.text(terminal)
    }

    private func endpoints(_ terminal: Terminal) -> String {
        var table = Table("ENDPOINT", "CONNECTIONS", "EXPIRES", "HOST", "SERVICES")
        for row in response.endpoints {
            let left = row.expiresSeconds - now.parts.seconds
            table.add(
                .init(row.name), .init("\(row.connections)"),
                .init(row.expiresSeconds == 0 ? "" : left < 0 ? "expired" : "in \(Text.age(seconds: left))"),
                .init(row.host.isEmpty ? "this host" : row.host), .init(row.services.joined(separator: ", ")))
        }
        return table.text(terminal)
    }

    private func services(_ terminal: Terminal) -> String {
        var table = Table("SERVICE", "ENDPOINTS", "CONNECTIONS", "PAYLOAD")
        for row in response.services {
            table.add(
                .init(row.name), .init("\(row.endpoints)", row.endpoints == 0 ? .yellow : nil),
                .init("\(row.connections)"), .init(row.payload))
        }
        return table.text(terminal)
    }

    private func peers(_ terminal: Terminal) -> String {
        var table = Table("PEER", "STATE", "SINCE", "ENDPOINTS", "DETAIL")
        for row in response.peers {
            let state = row.isReached ? "REACHED" : row.error.isEmpty ? "CONNECTING" : "UNREACHABLE"
            let kind = row.isSharedRegistry ? ["shared registry\(row.meshText)"] : []
            let colour: Terminal.Colour = !row.isReached ? .red : row.error.isEmpty ? .green : .yellow
            table.add(
                .init(row.url), .init(state, colour), .init(since(row.sinceSeconds)),
                .init("\(row.endpoints)"), .init((kind + [row.error].filter { !$0.isEmpty }).joined(separator: "; ")))
        }
        return table.text(terminal)
    }

    private var summary: String {
        if !isWhole { return "" }
        let (connections, endpoints) = (Int(response.connectionCount), Int(response.endpointCount))
        let services = Int(response.serviceCount)
        var text =
            Text.count(connections, "connection") + ", " + Text.count(endpoints, "endpoint") + ", "
            + Text.count(services, "service") + ".\n"
        let shown = (response.connections.count, response.endpoints.count, response.services.count)
        if shown != (connections, endpoints, services) {
            text += "Shown are \(shown.0) connections, \(shown.1) endpoints and \(shown.2) services.\n"
        }
        return text
    }

    private func since(_ seconds: Int64) -> String {
        seconds == 0 ? "" : Text.age(seconds: now.parts.seconds - seconds)
    }

    // MARK: - For programs

    var tree: Tree {
        [
            "name": .string(response.name), "url": .string(response.url), "remoteUrl": .string(response.remoteURL),
            "pid": .int(Int64(response.pid)), "uptimeSeconds": .double(response.uptime),
            "connectionCount": .int(Int64(response.connectionCount)),
            "endpointCount": .int(Int64(response.endpointCount)), "serviceCount": .int(Int64(response.serviceCount)),
            "connections": .sequence(response.connections.map(\.tree)),
            "endpoints": .sequence(response.endpoints.map(\.tree)),
            "services": .sequence(
                response.services.map { row in
                    [
                        "name": .string(row.name), "payload": .string(row.payload),
                        "endpoints": .int(Int64(row.endpoints)), "connections": .int(Int64(row.connections)),
                    ]
                }),
            "peers": .sequence(response.peers.map(\.tree)),
        ]
    }
}

extension Tree {
    /// A moment, as RFC 3339 says it; empty for none.
    fileprivate static func time(_ seconds: Int64) -> Tree {
        .string(seconds == 0 ? "" : Timestamp(seconds: seconds, nanos: 0)?.rfc3339(fractionDigits: 0) ?? "")
    }
}

extension Nsmagent_Mesh_End {
    /// As people read it: `nsm-db in red (10.60.0.2/30)`, `on 192.0.2.2`.
    fileprivate var text: String {
        let place = host.isEmpty ? "\(interface.isEmpty ? "?" : interface) in \(namespaceText)" : "on \(host)"
        return addresses.isEmpty ? place : "\(place) (\(addresses.joined(separator: ", ")))"
    }

    private var namespaceText: String {
        if !namespace.isEmpty { return namespace }
        return isOwnNamespace ? "the mesh's own namespace" : "netns \(namespaceInode)"
    }

    fileprivate var tree: Tree {
        [
            "name": .string(name), "interface": .string(interface), "namespace": .string(namespace),
            "namespaceInode": .uint(namespaceInode), "isOwnNamespace": .bool(isOwnNamespace),
            "addresses": .texts(addresses), "host": .string(host),
        ]
    }
}

extension Nsmagent_Mesh_Connection {
    /// What it is found by.
    fileprivate var words: [String] {
        [id, clientID, service] + [client, endpoint].flatMap { [$0.name, $0.interface, $0.namespace, $0.host] }
    }

    fileprivate var tree: Tree {
        var pairs: [(String, Tree)] = [
            ("id", .string(id)), ("clientId", .string(clientID)), ("service", .string(service)),
            ("isUp", .bool(isUp)), ("since", .time(sinceSeconds)), ("owner", .string(owner)),
            ("client", client.tree), ("endpoint", endpoint.tree),
        ]
        if hasTraffic_p {
            pairs += [("receivedBytes", .uint(receivedBytes)), ("sentBytes", .uint(sentBytes))]
        }
        if vni > 0 { pairs.append(("vni", .int(Int64(vni)))) }
        if mtu > 0 { pairs.append(("mtu", .int(Int64(mtu)))) }
        return .mapping(pairs)
    }
}

extension Nsmagent_Mesh_Endpoint {
    fileprivate var tree: Tree {
        [
            "name": .string(name), "services": .texts(services), "host": .string(host),
            "registrant": .string(registrant), "expires": .time(expiresSeconds),
            "connections": .int(Int64(connections)),
        ]
    }
}

extension Nsmagent_Mesh_Peer {
    /// The other meshes that it knows, the first of them by name.
    fileprivate var meshText: String {
        if meshes.isEmpty { return "" }
        let more = meshes.count > 5 ? " and \(meshes.count - 5) more" : ""
        return " with \(meshes.prefix(5).joined(separator: ", "))\(more)"
    }

    fileprivate var tree: Tree {
        [
            "url": .string(url), "isSharedRegistry": .bool(isSharedRegistry), "isReached": .bool(isReached),
            "since": .time(sinceSeconds), "error": .string(error), "endpoints": .int(Int64(endpoints)),
            "meshes": .texts(meshes),
        ]
    }
}
