internal import CLinux
internal import Glibc
internal import NSM
internal import Netlink
internal import NetworkTypes

/// Makes connections in the kernel: veth pairs from one namespace straight into another.
///
/// The links carry the connection's id in their aliases, so that what an earlier process made is found again.
public actor Forwarder {
    /// What was done for a connection.
    ///
    /// Only the client's namespace is held: through its end the pair can be removed. An endpoint's namespace that we held
    /// would outlive its pod, and the client would go on talking to nobody.
    private struct Made {
        var client: EndConfiguration
        var endpoint: EndConfiguration
        var mtu: UInt32?
        var clientIndex: Int32
        var endpointIndex: Int32
        var clientNamespace: NetworkNamespace
        var endpointNamespace: NetworkNamespace.Identity
    }

    /// A socket in a namespace, and when it was used.
    private struct Socket {
        let socket: RouteSocket
        var used: UInt64
    }

    /// A socket keeps its namespace alive: few are kept, so that those of pods that are gone go soon.
    private static let mostSockets = 64
    /// `RTPROT_STATIC`: what an administrator set, so that nobody takes the routes for leftovers of their own.
    static let proto: UInt8 = 4

    private let thread = ForwarderThread()
    private var made: [String: Made] = [:]
    /// Namespaces of clients, one handle for all connections of one, and how many those are.
    private var held: [NetworkNamespace.Identity: (namespace: NetworkNamespace, count: Int)] = [:]
    private var sockets: [NetworkNamespace.Identity: Socket] = [:]
    private var clock: UInt64 = 0

    /// Makes a forwarder that has made nothing.
    public init() {}

    /// Its own thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// The ids of the connections that exist.
    public var connections: Set<String> { Set(made.keys) }

    // MARK: - Making

    /// Makes a connection, or brings one up to date. What is as it should be is left alone.
    ///
    /// - Parameter isKnown: Whether a connection id still belongs to somebody; a link of one that does not is in the way
    ///   and is removed.
    /// - Throws: ``ForwarderError``; a new connection then leaves nothing behind.
    public func apply(
        _ connection: CrossConnect, isKnown: @Sendable (String) -> Bool = { _ in true }
    ) throws(ForwarderError) {
        let client = connection.client.configuration
        let endpoint = connection.endpoint.configuration
        // A socket keeps its namespace alive as well.
        defer { forgetSocket(connection.endpoint.namespace) }
        if let known = made[connection.id] {
            let isSame =
                known.client == client && known.endpoint == endpoint && known.mtu == connection.mtu
                && known.clientNamespace.identity == connection.client.namespace.identity
                && known.endpointNamespace == connection.endpoint.namespace.identity
            if isSame, try isThere(known, connection) { return }
        }
        let adopted = try adopt(connection, isKnown)
        let indexes: (client: Int32, endpoint: Int32)
        if let adopted { indexes = adopted } else { indexes = try create(connection) }
        do throws(ForwarderError) {
            try configure(connection.client, indexes.client, mtu: connection.mtu)
            try configure(connection.endpoint, indexes.endpoint, mtu: connection.mtu)
        } catch {
            if made[connection.id] == nil {
                try? perform(.deleteLink(index: indexes.client), connection.client.namespace, "link")
            }
            throw error
        }
        made[connection.id] = Made(
            client: client, endpoint: endpoint, mtu: connection.mtu, clientIndex: indexes.client,
            endpointIndex: indexes.endpoint, clientNamespace: hold(connection.client.namespace),
            endpointNamespace: connection.endpoint.namespace.identity)
    }

    /// Removes a connection. One that is not there is no error.
    ///
    /// - Throws: ``ForwarderError``.
    public func remove(_ id: String) throws(ForwarderError) {
        guard let known = made.removeValue(forKey: id) else { return }
        defer { release(known.clientNamespace) }
        // The kernel removes the other end, and the addresses and routes of both. The index may be somebody else's by now.
        guard let link = try? socket(known.clientNamespace).link(index: known.clientIndex),
            link.alias == Self.alias(id, "c")
        else { return }
        try perform(.deleteLink(index: link.index), known.clientNamespace, "link \(link.name)")
    }

    static func alias(_ id: String, _ side: String) -> String { "nsm/\(id)/\(side)" }

    /// The id in a link's alias; nil when the link is not one of a connection.
    static func connectionID(ofAlias alias: String?) -> String? {
        guard let alias, alias.hasPrefix("nsm/"), alias.hasSuffix("/c") || alias.hasSuffix("/e") else { return nil }
        return String(alias.dropFirst(4).dropLast(2))
    }

    private func isThere(_ known: Made, _ connection: CrossConnect) throws(ForwarderError) -> Bool {
        let alias = (client: Self.alias(connection.id, "c"), endpoint: Self.alias(connection.id, "e"))
        guard try link(known.clientIndex, known.clientNamespace)?.alias == alias.client else { return false }
        return try link(known.endpointIndex, connection.endpoint.namespace)?.alias == alias.endpoint
    }

    /// Links of this connection that are there already; clears names of links that belong to nobody.
    private func adopt(
        _ connection: CrossConnect, _ isKnown: (String) -> Bool
    ) throws(ForwarderError) -> (client: Int32, endpoint: Int32)? {
        if let known = made.removeValue(forKey: connection.id) {
            defer { release(known.clientNamespace) }
            let isMoved =
                known.client.name != connection.client.name || known.endpoint.name != connection.endpoint.name
                || known.clientNamespace.identity != connection.client.namespace.identity
                || known.endpointNamespace != connection.endpoint.namespace.identity
            if !isMoved, try isThere(known, connection) { return (known.clientIndex, known.endpointIndex) }
            if let old = try link(known.clientIndex, known.clientNamespace), old.alias == Self.alias(connection.id, "c")
            {
                try perform(.deleteLink(index: old.index), known.clientNamespace, "link \(old.name)")
            }
        }
        let client = try clear(connection.client, Self.alias(connection.id, "c"), isKnown)
        let endpoint = try clear(connection.endpoint, Self.alias(connection.id, "e"), isKnown)
        if let client, let endpoint { return (client, endpoint) }
        if let client { try perform(.deleteLink(index: client), connection.client.namespace, "link") }
        if let endpoint { try perform(.deleteLink(index: endpoint), connection.endpoint.namespace, "link") }
        return nil
    }

    /// The index of the link at this name when it is the connection's own.
    private func clear(
        _ end: ConnectionEnd, _ alias: String, _ isKnown: (String) -> Bool
    ) throws(ForwarderError) -> Int32? {
        let link: Link?
        do {
            link = try socket(end.namespace).link(name: end.name)
        } catch {
            throw ForwarderError("link \(end.name) in namespace \(end.namespace.inode)", error)
        }
        guard let link else { return nil }
        if link.alias == alias { return link.index }
        guard let other = Self.connectionID(ofAlias: link.alias), !isKnown(other) else {
            throw ForwarderError(
                "there is an interface \(end.name) in namespace \(end.namespace.inode) that is not this connection's;"
                    + " choose another name or remove it")
        }
        try perform(.deleteLink(index: link.index), end.namespace, "link \(end.name)")
        return nil
    }

    private func create(_ connection: CrossConnect) throws(ForwarderError) -> (client: Int32, endpoint: Int32) {
        let client = connection.client
        let endpoint = connection.endpoint
        var link = LinkAttributes(name: client.name)
        link.kind = .veth
        link.mac = client.mac
        link.mtu = connection.mtu
        link.peer = VethPeer(
            name: endpoint.name, mtu: connection.mtu, mac: endpoint.mac,
            namespaceDescriptor: endpoint.namespace.descriptor)
        try perform(.createLink(link, echo: false), client.namespace, "veth pair \(client.name) – \(endpoint.name)")
        do throws(ForwarderError) {
            return (
                try mark(client, Self.alias(connection.id, "c")), try mark(endpoint, Self.alias(connection.id, "e"))
            )
        } catch {
            if let made = try? socket(client.namespace).link(name: client.name) {
                try? perform(.deleteLink(index: made.index), client.namespace, "link \(client.name)")
            }
            throw error
        }
    }

    private func mark(_ end: ConnectionEnd, _ alias: String) throws(ForwarderError) -> Int32 {
        let what = "link \(end.name)"
        do {
            guard let link = try socket(end.namespace).link(name: end.name) else {
                throw KernelError(code: ENODEV)
            }
            var attributes = LinkAttributes(index: link.index)
            attributes.alias = alias
            try perform(.setLink(attributes), end.namespace, what)
            return link.index
        } catch let error as ForwarderError {
            throw error
        } catch {
            throw ForwarderError("\(what) in namespace \(end.namespace.inode)", error)
        }
    }

    // MARK: - The kernel

    func perform(_ request: Request, _ namespace: NetworkNamespace, _ what: String) throws(ForwarderError) {
        do {
            try socket(namespace).perform(request)
        } catch {
            throw ForwarderError("\(what) in namespace \(namespace.inode)", error)
        }
    }

    private func link(_ index: Int32, _ namespace: NetworkNamespace) throws(ForwarderError) -> Link? {
        do {
            return try socket(namespace).link(index: index)
        } catch {
            throw ForwarderError("link \(index) in namespace \(namespace.inode)", error)
        }
    }

    func socket(_ namespace: NetworkNamespace) throws(KernelError) -> RouteSocket {
        clock += 1
        if sockets[namespace.identity] != nil {
            sockets[namespace.identity]?.used = clock
            if let known = sockets[namespace.identity]?.socket { return known }
        }
        if sockets.count >= Self.mostSockets, let oldest = sockets.min(by: { $0.value.used < $1.value.used })?.key {
            sockets[oldest] = nil
        }
        let opened = try RouteSocket(in: namespace)
        sockets[namespace.identity] = Socket(socket: opened, used: clock)
        return opened
    }

    private func forgetSocket(_ namespace: NetworkNamespace) {
        if held[namespace.identity] == nil { sockets[namespace.identity] = nil }
    }

    private func hold(_ namespace: NetworkNamespace) -> NetworkNamespace {
        let known = held[namespace.identity]
        held[namespace.identity] = (known?.namespace ?? namespace, (known?.count ?? 0) + 1)
        return known?.namespace ?? namespace
    }

    private func release(_ namespace: NetworkNamespace) {
        guard let known = held[namespace.identity] else { return }
        held[namespace.identity] = known.count > 1 ? (known.namespace, known.count - 1) : nil
        forgetSocket(namespace)
    }
}
