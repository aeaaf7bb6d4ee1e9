internal import CLinux
internal import Concurrency
internal import Glibc
public import Netlink
internal import NetworkTypes

/// Makes connections in the kernel: veth pairs from one namespace straight into another, and tunnels to other hosts.
///
/// It says what a connection should look like, and a reconciler makes it so; it only reads itself. Each connection is a small
/// network of its own, so a change costs that connection and no other. The links carry the connection's id in their aliases, so
/// that what an earlier process made is found again.
public actor Forwarder {
    /// What was made of a connection.
    ///
    /// Only the first end's namespace is held: through it the links can be removed. An endpoint's namespace that we held would
    /// outlive its pod, and the client would go on talking to nobody. That of a tunnel's end is held in any case; so
    /// ``Forwarder/remove(_:)`` must follow soon when its pod is known to be gone.
    struct Made {
        /// A link that was made.
        struct Placed {
            let segment: Segment
            let name: String
            var index: Int32
            let namespace: NetworkNamespace.Identity
            /// Neighbours are remembered: the kernel would look at those of all namespaces to find them.
            let neighbours: [EndNeighbour]
        }

        let form: Attachment.Form
        var links: [Placed]
        /// The namespace of the first end.
        let namespace: NetworkNamespace
        /// False when the last change failed.
        var isComplete = true
        /// What its first link had carried when it was counted last; nil: it was not.
        var traffic: LinkTraffic?

        var hasRules: Bool { form.ends.contains { !$0.policies.isEmpty } }

        /// Whether its links are where a connection wants them.
        func isAt(_ wanted: Attachment) -> Bool {
            links.count == wanted.ends.count
                && zip(links, wanted.ends).allSatisfy { made, wanted in
                    made.segment == wanted.segment && made.name == wanted.end.name
                        && made.namespace == wanted.end.namespace.identity
                }
        }

        func index(_ segment: Segment) -> Int32? { links.first { $0.segment == segment }?.index }
    }

    /// A socket in a namespace, and when it was used.
    private struct Socket {
        let socket: RouteSocket
        var used: UInt64
    }

    /// A socket keeps its namespace alive: few are kept, so that those of pods that are gone go soon.
    private static let mostSockets = 64
    /// `IFLA_GROUP` of our links. The kernel takes no alias in a create, so this tells what was left in between.
    let group: UInt32

    private let thread: ThreadExecutor
    /// Where it counts; nil: nowhere.
    let measures: MeshMeasures?
    var made: [String: Made] = [:]
    /// Namespaces that connections hold, one handle for all of them, and how many those are.
    private var held: [NetworkNamespace.Identity: (namespace: NetworkNamespace, count: Int)] = [:]
    private var sockets: [NetworkNamespace.Identity: Socket] = [:]
    /// Names of endpoints' interfaces that an earlier process made, by connection; nil: not searched for yet.
    var kept: [String: String]?
    /// Whether this kernel has WireGuard; nil: it was not asked yet.
    var knownWireGuard: Bool?
    private var clock: UInt64 = 0
    private var host: NetworkNamespace?

    /// Makes a forwarder that has made nothing.
    ///
    /// - Parameters:
    ///   - owner: What tells it from other forwarders of this host, and is the same after a restart.
    ///   - host: The namespace whose network tunnels go through; nil: that of the process.
    /// - Throws: when the process may not have another thread.
    public init(owner: String = "", host: NetworkNamespace? = nil) throws(ForwarderError) {
        try self.init(owner: owner, host: host, measures: nil)
    }

    init(owner: String, host: NetworkNamespace?, measures: MeshMeasures?) throws(ForwarderError) {
        self.measures = measures
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
    public var connections: Set<String> { Set(made.keys) }

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
        try make(Attachment(connection), isKnown)
    }

    /// Whether what is sent through a connection gets to the other end. After a pair came up the kernel takes a moment until
    /// its queues are there (linkwatch), and drops what is sent before: an ARP request, and with it a second.
    public func carriesPackets(_ connection: CrossConnect) -> Bool {
        guard let known = made[connection.id] else { return true }
        defer { forgetSocket(connection.endpoint.namespace) }
        let ends = [
            (known.index(.client), connection.client.namespace),
            (known.index(.endpoint), connection.endpoint.namespace),
        ]
        return ends.allSatisfy { index, namespace in
            guard let index, let link = try? link(index, namespace), link.isUp else { return true }
            return link.flags & LinkFlags.running != 0
        }
    }

    /// Whether a link belongs to a connection that there is.
    func isInUse(_ link: Link, _ namespace: NetworkNamespace) -> Bool {
        guard let id = Self.connectionID(ofAlias: link.alias), let made = made[id] else { return false }
        return made.links.contains { $0.index == link.index && $0.namespace == namespace.identity }
    }

    // MARK: - The kernel

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
            throw refused(what, namespace, error)
        }
    }

    /// An error of the kernel as one of ours.
    func refused(_ what: String, _ namespace: NetworkNamespace, _ error: KernelError) -> ForwarderError {
        // After more objects than are read the socket can't be used any more.
        if error.code == E2BIG { sockets[namespace.identity] = nil }
        return ForwarderError(what, namespace, error)
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

    func hostNamespace() throws(ForwarderError) -> NetworkNamespace {
        if let host { return host }
        do {
            let current = try NetworkNamespace.current()
            host = current
            return current
        } catch {
            throw ForwarderError("the host's network namespace", "\(error)")
        }
    }

    /// Namespaces with an open socket.
    var openSockets: Int { sockets.count }
}
