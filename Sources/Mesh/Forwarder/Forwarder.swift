internal import Concurrency
internal import CLinux
internal import Glibc
public import Netlink
internal import NetworkTypes

/// Makes connections in the kernel: veth pairs from one namespace straight into another, and tunnels to other hosts.
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
        /// False when the last change failed half-way.
        var isComplete = false

        func isOf(_ connection: CrossConnect) -> Bool {
            client.name == connection.client.name && endpoint.name == connection.endpoint.name
                && clientNamespace.identity == connection.client.namespace.identity
                && endpointNamespace == connection.endpoint.namespace.identity
        }

        func isSame(as connection: CrossConnect) -> Bool {
            isComplete && mtu == connection.mtu && client == connection.client.configuration
                && endpoint == connection.endpoint.configuration
        }
    }

    /// Both ends as the kernel has them.
    private typealias Pair = (client: Link, endpoint: Link)

    /// A socket in a namespace, and when it was used.
    private struct Socket {
        let socket: RouteSocket
        var used: UInt64
    }

    /// A socket keeps its namespace alive: few are kept, so that those of pods that are gone go soon.
    private static let mostSockets = 64
    /// `RTPROT_STATIC`: what an administrator set, so that nobody takes the routes for leftovers of their own.
    static let proto = Marks.meshProtocol
    /// `IFLA_GROUP` of our links. The kernel takes no alias in a create, so this tells what was left in between.
    let group: UInt32

    private let thread: ThreadExecutor
    private var made: [String: Made] = [:]
    var legs: [String: MadeLeg] = [:]
    /// Namespaces that connections hold, one handle for all of them, and how many those are.
    private var held: [NetworkNamespace.Identity: (namespace: NetworkNamespace, count: Int)] = [:]
    private var sockets: [NetworkNamespace.Identity: Socket] = [:]
    private var clock: UInt64 = 0
    var host: NetworkNamespace?

    /// Makes a forwarder that has made nothing.
    ///
    /// - Parameters:
    ///   - owner: What tells it from other forwarders of this host, and is the same after a restart.
    ///   - host: The namespace whose network tunnels go through; nil: that of the process.
    /// - Throws: when the process may not have another thread.
    public init(owner: String = "", host: NetworkNamespace? = nil) throws(ForwarderError) {
        do {
            thread = try .started()
        } catch {
            throw ForwarderError("a forwarder", "\(error)")
        }
        group = Self.group(of: owner)
        self.host = host
    }

    /// Its own thread.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// The ids of the connections that exist.
    public var connections: Set<String> { Set(made.keys).union(legs.keys) }

    // MARK: - Making

    /// Makes a connection, or brings one up to date. What is as it should be is left alone.
    ///
    /// - Parameter isKnown: Whether a connection id still belongs to somebody; a link of one that does not is in the way
    ///   and is removed.
    /// - Returns: whether the pair is new.
    /// - Throws: ``ForwarderError``; a new connection then leaves nothing behind, and one that was there stays as it was.
    @discardableResult
    public func apply(
        _ connection: CrossConnect, isKnown: @Sendable (String) -> Bool = { _ in true }
    ) throws(ForwarderError) -> Bool {
        try Self.check(connection)
        // A socket keeps its namespace alive as well.
        defer {
            forgetSocket(connection.endpoint.namespace)
            forgetSocket(connection.client.namespace)
        }
        if legs[connection.id] != nil { try remove(connection.id) }
        if let known = made[connection.id], let pair = try standing(known, connection) {
            if !known.isSame(as: connection) { try update(connection, known, pair) }
            return false
        }
        if let pair = try adopt(connection, isKnown) {
            try configure(connection, pair, before: nil, mayHaveRules: true)
            remember(connection, pair)
            return false
        }
        let pair = try create(connection)
        do throws(ForwarderError) {
            try configure(connection, pair, before: nil, mayHaveRules: false, isNew: true)
        } catch {
            try? discard(pair.client.index, connection.client.namespace, "link \(connection.client.name)")
            throw error
        }
        remember(connection, pair)
        return true
    }

    /// Removes a connection. One that is not there is no error.
    ///
    /// - Throws: ``ForwarderError``.
    public func remove(_ id: String) throws(ForwarderError) {
        if legs[id] != nil { return try removeLeg(id) }
        guard let known = made.removeValue(forKey: id) else { return }
        defer { release(known.clientNamespace) }
        // The kernel removes the other end, and the addresses and routes of both. The index may be somebody else's by now.
        guard let link = try? socket(known.clientNamespace).link(index: known.clientIndex),
            link.alias == Self.alias(id, .client)
        else { return }
        try discard(link.index, known.clientNamespace, "link \(link.name)")
    }

    /// Whether what is sent through a connection gets to the other end. After a pair came up the kernel takes a moment until
    /// its queues are there (linkwatch), and drops what is sent before: an ARP request, and with it a second.
    public func carriesPackets(_ connection: CrossConnect) -> Bool {
        guard let known = made[connection.id] else { return true }
        defer { forgetSocket(connection.endpoint.namespace) }
        let ends = [
            (known.clientIndex, connection.client.namespace), (known.endpointIndex, connection.endpoint.namespace),
        ]
        return ends.allSatisfy { index, namespace in
            guard let link = try? link(index, namespace), link.isUp else { return true }
            return link.flags & LinkFlags.running != 0
        }
    }

    /// Whether a link belongs to a connection that there is.
    func isInUse(_ link: Link, _ namespace: NetworkNamespace) -> Bool {
        guard let id = Self.connectionID(ofAlias: link.alias) else { return false }
        if let leg = legs[id] { return leg.index == link.index && leg.namespace.identity == namespace.identity }
        guard let made = made[id] else { return false }
        let isClient = made.clientIndex == link.index && made.clientNamespace.identity == namespace.identity
        return isClient || made.endpointIndex == link.index && made.endpointNamespace == namespace.identity
    }

    private func remember(_ connection: CrossConnect, _ pair: Pair) {
        let held = made[connection.id]?.clientNamespace ?? hold(connection.client.namespace)
        made[connection.id] = Made(
            client: connection.client.configuration, endpoint: connection.endpoint.configuration, mtu: connection.mtu,
            clientIndex: pair.client.index, endpointIndex: pair.endpoint.index,
            clientNamespace: held, endpointNamespace: connection.endpoint.namespace.identity,
            isComplete: true)
    }

    private static func check(_ connection: CrossConnect) throws(ForwarderError) {
        try check(id: connection.id)
        guard
            connection.client.name != connection.endpoint.name
                || connection.client.namespace.identity != connection.endpoint.namespace.identity
        else {
            throw ForwarderError(
                "link \(connection.client.name)", in: connection.client.namespace,
                "both ends can't have one name in one namespace")
        }
    }

    /// Changes what differs; puts it back when that fails.
    private func update(_ connection: CrossConnect, _ known: Made, _ pair: Pair) throws(ForwarderError) {
        do throws(ForwarderError) {
            try configure(connection, pair, before: known, mayHaveRules: !known.client.policies.isEmpty)
            remember(connection, pair)
        } catch {
            made[connection.id]?.isComplete = false
            var old = connection
            old.client = ConnectionEnd(namespace: connection.client.namespace, known.client)
            old.endpoint = ConnectionEnd(namespace: connection.endpoint.namespace, known.endpoint)
            old.mtu = known.mtu
            var attempted = known
            attempted.client = connection.client.configuration
            attempted.endpoint = connection.endpoint.configuration
            if (try? configure(old, pair, before: attempted, mayHaveRules: true)) != nil { remember(old, pair) }
            throw error
        }
    }

    private func configure(
        _ connection: CrossConnect, _ pair: Pair, before: Made?, mayHaveRules: Bool, isNew: Bool = false
    ) throws(ForwarderError) {
        // The MTU of a new veth pair, when one is wanted no more.
        let mtu = connection.mtu ?? before?.mtu.map { _ in 1500 }
        try configure(
            connection.client,
            EndContext(
                link: pair.client, alias: Self.alias(connection.id, .client), mtu: mtu,
                peerMAC: connection.endpoint.mac ?? pair.endpoint.mac, before: before?.client,
                mayHaveRules: mayHaveRules, isNew: isNew))
        try configure(
            connection.endpoint,
            EndContext(
                link: pair.endpoint, alias: Self.alias(connection.id, .endpoint), mtu: mtu,
                peerMAC: connection.client.mac ?? pair.client.mac, before: before?.endpoint, mayHaveRules: false,
                isNew: isNew))
    }

    // MARK: - Finding

    /// Both ends of what we made, if they are where the connection wants them. What stands elsewhere is removed.
    private func standing(_ known: Made, _ connection: CrossConnect) throws(ForwarderError) -> Pair? {
        let id = connection.id
        if known.isOf(connection),
            let client = try link(known.clientIndex, known.clientNamespace), client.alias == Self.alias(id, .client),
            client.name == connection.client.name,
            let endpoint = try link(known.endpointIndex, connection.endpoint.namespace),
            endpoint.alias == Self.alias(id, .endpoint), endpoint.name == connection.endpoint.name
        {
            return (client, endpoint)
        }
        try remove(id)
        return nil
    }

    /// Links of this connection that are there already; clears names of links that belong to nobody.
    private func adopt(
        _ connection: CrossConnect, _ isKnown: (String) -> Bool
    ) throws(ForwarderError) -> Pair? {
        let client = try clear(connection.client, Self.alias(connection.id, .client), isKnown)
        let endpoint = try clear(connection.endpoint, Self.alias(connection.id, .endpoint), isKnown)
        if let client, let endpoint, client.link == endpoint.index { return (client, endpoint) }
        if let client { try discard(client.index, connection.client.namespace, "link \(client.name)") }
        // It is gone already if it was the other end.
        if let endpoint, try link(endpoint.index, connection.endpoint.namespace)?.alias == endpoint.alias {
            try discard(endpoint.index, connection.endpoint.namespace, "link \(endpoint.name)")
        }
        return nil
    }

    /// The link at this name when it is the connection's own; removes one that belongs to nobody.
    func clear(
        _ end: ConnectionEnd, _ alias: String, _ isKnown: (String) -> Bool
    ) throws(ForwarderError) -> Link? {
        let what = "link \(end.name)"
        let found = try told(what, end.namespace) { () throws(KernelError) in
            try socket(end.namespace).link(name: end.name)
        }
        guard let found else { return nil }
        if found.alias == alias {
            try mark(found, end.namespace)
            return found
        }
        let isUnfinished = found.group == group && found.alias == nil
        let isAbandoned = Self.connectionID(ofAlias: found.alias).map { !isKnown($0) } ?? false
        guard isUnfinished || isAbandoned else {
            throw ForwarderError(
                what, in: end.namespace,
                "there is one that is not this connection's; choose another name or remove it")
        }
        try discard(found.index, end.namespace, what)
        return nil
    }

    private func create(_ connection: CrossConnect) throws(ForwarderError) -> Pair {
        let client = connection.client
        let endpoint = connection.endpoint
        var request = LinkAttributes(name: client.name)
        request.kind = .veth
        request.mac = client.mac
        request.mtu = connection.mtu
        request.group = group
        request.peer = VethPeer(
            name: endpoint.name, mtu: connection.mtu, mac: endpoint.mac,
            namespaceDescriptor: endpoint.namespace.descriptor, group: group)
        let what = "veth pair \(client.name) – \(endpoint.name)"
        var echo: Link?
        try carryOut([.createLink(request, echo: true)], client.namespace, { _ in what }) { report in
            if case .link(let link) = report { echo = link }
        }
        do throws(ForwarderError) {
            // The echo tells both indexes; without it the links are asked for by name.
            if let echo, let other = try link(echo.link, endpoint.namespace) { return (echo, other) }
            return (try named(client), try named(endpoint))
        } catch {
            if let own = try? named(client) { try? discard(own.index, client.namespace, what) }
            throw error
        }
    }

    // MARK: - The kernel

    /// The link that was just made.
    func named(_ end: ConnectionEnd) throws(ForwarderError) -> Link {
        try told("link \(end.name)", end.namespace) { () throws(KernelError) in
            guard let link = try socket(end.namespace).link(name: end.name) else { throw KernelError(code: ENODEV) }
            return link
        }
    }

    func link(_ index: Int32, _ namespace: NetworkNamespace) throws(ForwarderError) -> Link? {
        try told("link \(index)", namespace) { () throws(KernelError) in try socket(namespace).link(index: index) }
    }

    /// Says of what and where an error is.
    func told<T>(
        _ what: String, _ namespace: NetworkNamespace, _ body: () throws(KernelError) -> T
    ) throws(ForwarderError) -> T {
        do {
            return try body()
        } catch {
            throw ForwarderError(what, namespace, error)
        }
    }

    func socket(_ namespace: NetworkNamespace) throws(KernelError) -> RouteSocket {
        clock += 1
        if let known = sockets[namespace.identity]?.socket {
            sockets[namespace.identity]?.used = clock
            return known
        }
        if sockets.count >= Self.mostSockets, let oldest = sockets.min(by: { $0.value.used < $1.value.used })?.key {
            sockets[oldest] = nil
        }
        let opened = try RouteSocket(in: namespace)
        sockets[namespace.identity] = Socket(socket: opened, used: clock)
        return opened
    }

    func forgetSocket(_ namespace: NetworkNamespace) {
        if held[namespace.identity] == nil, namespace.identity != host?.identity { sockets[namespace.identity] = nil }
    }

    /// Closes a socket that can't be used any more; the next one to need it opens another.
    func dropSocket(_ namespace: NetworkNamespace) { sockets[namespace.identity] = nil }

    /// The handle that all connections of a namespace share.
    func hold(_ namespace: NetworkNamespace) -> NetworkNamespace {
        let known = held[namespace.identity]
        held[namespace.identity] = (known?.namespace ?? namespace, (known?.count ?? 0) + 1)
        return known?.namespace ?? namespace
    }

    func release(_ namespace: NetworkNamespace) {
        guard let known = held[namespace.identity] else { return }
        held[namespace.identity] = known.count > 1 ? (known.namespace, known.count - 1) : nil
        forgetSocket(namespace)
    }

    /// Namespaces with an open socket.
    var openSockets: Int { sockets.count }
}
