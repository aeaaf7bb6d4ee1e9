internal import MeshTransport
internal import GRPCCore
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import SPIFFE

/// A peer of the mesh, and its rights.
struct Caller: Sendable {
    /// How far a peer is trusted.
    enum Standing: Sendable {
        /// This host's root.
        case root
        /// A manager or a forwarder: it speaks for others.
        case manager
        /// Anybody else.
        case stranger
    }

    /// Its identity, as far as it is proven.
    let identity: PeerIdentity
    /// What the kernel says of it; nil over TCP.
    let credentials: PeerCredentials?
    let standing: Standing
    /// Its address; nil on Unix sockets.
    let address: IPAddress?

    /// Whether it may name what is not its own: namespaces, sockets, the connections of those it speaks for.
    var isTrusted: Bool {
        switch standing {
        case .root, .manager: true
        case .stranger: false
        }
    }
}

/// Decides who may do what. Nothing that a peer says of himself counts, nor what he holds: only what the kernel and verified
/// certificates say.
struct Rights: Sendable {
    let settings: MeshRights
    /// The trust domain of this host's own authority; nil: identities come from SPIRE.
    let ownDomain: String?
    /// The name of the host in identities of its own authority.
    let host: String
    /// Who the manager is that a forwarder serves, and no one else; the inner nil: that is not known yet. Nil: this is a mesh.
    var served: (@Sendable () -> SPIFFEID?)?
    /// Which namespaces peers were found to be in.
    private let cookies = NamespaceCookies()

    init(settings: MeshRights, ownDomain: String?, host: String, served: (@Sendable () -> SPIFFEID?)? = nil) {
        self.settings = settings
        self.ownDomain = ownDomain
        self.host = host
        self.served = served
    }

    /// Which processes may connect to the sockets of the mesh.
    var admission: Admission {
        { credentials in
            if settings.isOpen || credentials?.isHostRoot == true { return nil }
            if settings.allowed.contains(where: { $0.matches(credentials) }) { return nil }
            let uid = credentials.map { "\($0.uid)" } ?? "?"
            return "user \(uid) is not served: --allow uid:\(uid) lets him in, and --open everybody"
        }
    }

    /// The mode of the sockets: who is let in at all, the kernel decides already.
    var socketMode: UInt32 { settings.isOpen || !settings.allowed.isEmpty ? 0o777 : 0o700 }

    /// Who calls.
    func caller(_ info: ConnectionInfo) -> Caller {
        let standing: Caller.Standing =
            if served != nil || isManager(info.peer?.id) {
                // A forwarder has no other callers.
                .manager
            } else if info.credentials?.isHostRoot == true {
                .root
            } else {
                .stranger
            }
        return Caller(
            identity: PeerIdentity(info), credentials: info.credentials, standing: standing,
            address: info.address.flatMap { IPAddress($0) })
    }

    /// Whether an identity is that of a manager or a forwarder.
    func isManager(_ id: SPIFFEID?) -> Bool {
        guard let id else { return false }
        // A forwarder's own manager tells where those of other hosts are.
        if served != nil, settings.managers.isEmpty { return true }
        if ownDomain != nil, id.isManagerOfHost { return true }
        return settings.managers.contains { SPIFFEID.matches($0, id.description) }
    }

    /// Why a peer is not served at all; nil when it is.
    ///
    /// An identity of our own authority counts only where it was given: on a socket of the same user, made in the same
    /// network namespace. Any other peer that presents it has obtained a key.
    func refusal(of info: ConnectionInfo) -> String? {
        if let served {
            guard let manager = served() else { return "this forwarder has not found its manager yet" }
            if info.peer?.id == manager { return nil }
            return "\(PeerIdentity(info)) is not \(manager), at which this forwarder is registered"
        }
        guard let credentials = info.credentials else {
            if isManager(info.peer?.id) { return nil }
            return "only managers are served over TCP, and \(PeerIdentity(info)) is none: --manager names those"
        }
        guard let ownDomain, let id = info.peer?.id else { return nil }
        if id.isManagerOfHost {
            // Our own speaks from here, and nobody else's from this host.
            return id.trustDomain != ownDomain || credentials.isHostRoot
                ? nil : "\(id) is not of user \(credentials.uid)"
        }
        let expected = try? HostAuthority.id(of: credentials, trustDomain: ownDomain, host: host)
        if id == expected || isManager(id) { return nil }
        return
            "\(id) is the identity of another user or network namespace, not of \(expected?.description ?? "this one")"
    }

    /// The name that an earlier version gave a process, for connections of that time.
    func formerID(_ info: ConnectionInfo) -> String? {
        guard let ownDomain, let uid = info.credentials?.uid else { return nil }
        return "spiffe://\(ownDomain)/host/\(host)/user/\(uid)"
    }

    // MARK: - Namespaces

    /// Checks that a network namespace is a peer's to use: the one in which its socket was made, unless it is trusted. For
    /// the clients and endpoints of a forwarder it is not the forwarder's own.
    ///
    /// - Parameter descriptor: The one by which it was sent.
    /// - Throws: `RPCError`.
    func check(
        _ space: NetworkNamespace, sentAs descriptor: Descriptor, of caller: Caller, _ whose: String
    ) throws(RPCError) {
        switch caller.standing {
        case .root: return
        case .manager:
            // A manager of ours has looked at what it names. One that a forwarder serves passes on what pods send it.
            if served == nil { return }
        case .stranger:
            guard let namespace = caller.credentials?.namespace, try isSame(space, descriptor, namespace) else {
                throw RPCError(
                    code: .permissionDenied,
                    message:
                        "the \(whose)'s namespace is not the one that \(caller.identity) is in; only root may name others"
                )
            }
        }
        guard Self.isOwn(space), !settings.usesHostNetwork else { return }
        let own = served == nil ? "the mesh itself" : "this forwarder"
        throw RPCError(
            code: .permissionDenied,
            message: "the \(whose) is in the network namespace of \(own); --host-network allows that")
    }

    /// By the cookie where it is known: the number of a file is given again when its namespace is gone.
    private func isSame(
        _ space: NetworkNamespace, _ descriptor: Descriptor, _ namespace: PeerNamespace
    ) throws(RPCError) -> Bool {
        if let inode = namespace.inode, inode != Inode(space) { return false }
        guard let cookie = namespace.cookie else { return namespace.inode != nil }
        do {
            return try cookies.cookie(of: space, descriptor) == cookie
        } catch {
            throw RPCError(code: .unavailable, message: "the namespace can't be looked at: \(error)")
        }
    }

    /// Whether it is the mesh's own; also when the kernel does not tell which one that is.
    private static func isOwn(_ space: NetworkNamespace) -> Bool {
        PeerNamespace.own?.inode.map { $0 == Inode(space) } ?? true
    }

    /// Makes an end fit for the namespace that it is in.
    ///
    /// - Throws: `NSMError` when it would take packets of the host itself without a setting that allows it.
    func fit(_ end: inout ConnectionEnd) throws(NSMError) {
        guard !settings.usesHostNetwork, Self.isOwn(end.namespace) else { return }
        end.setsSysctls = false
        let policy = end.policies.first { $0.from == nil }
        if policy != nil {
            throw NSMError(.refused, "a policy route for all packets of the host is given; --host-network allows that")
        }
        // Halves and quarters of everything are a default route as well, and the kernel makes a route to the network of each
        // address.
        let routes = (end.routes + end.policies.flatMap(\.routes)).map(\.destination) + end.addresses.map(\.network)
        let wide = routes.first { $0.length < ($0.family == .v4 ? 8 : 16) }
        guard let wide else { return }
        throw NSMError(.refused, "the host is given a route to \(wide); --host-network allows that")
    }

    // MARK: - Services

    /// Whether a peer may offer a service whatever others do: true or false by the setting, nil when nothing is set.
    func mayOffer(_ service: String, _ caller: Caller, id: SPIFFEID?) -> Bool? {
        if let patterns = settings.offers[service] ?? settings.offers["*"] {
            return caller.standing == .root || patterns.contains { $0.matches(caller.credentials, id: id) }
        }
        return ownDomain == nil || caller.isTrusted ? true : nil
    }

    // MARK: - Tunnels

    /// Whether a tunnel may lead to an address that a manager names.
    func mayTunnel(to address: IPAddress, of speaker: IPAddress?) -> Bool {
        // Managers of other hosts speak for forwarders, which have addresses of their own.
        if served != nil, settings.tunnelSources.isEmpty { return true }
        return address == speaker || settings.tunnelSources.contains { $0.contains(address) }
    }
}

extension Inode {
    /// That of a network namespace's file.
    fileprivate init(_ space: NetworkNamespace) {
        self.init(device: space.identity.device, number: space.identity.inode)
    }
}

/// Rejects peers without access before a handler sees the call.
struct RightsInterceptor: ServerInterceptor {
    let rights: Rights

    func intercept<Input: Sendable, Output: Sendable>(
        request: StreamingServerRequest<Input>, context: ServerContext,
        next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
        guard let info = ConnectionInfo.current else {
            throw RPCError(code: .permissionDenied, message: "the call came by a transport that has no connections")
        }
        // Every peer with an identity may check whether it is alive: its probes have the identity of its own pod.
        if rights.served != nil, context.descriptor.service == Grpc_Health_V1_Health.descriptor {
            return try await next(request, context)
        }
        if let refusal = rights.refusal(of: info) { throw RPCError(code: .permissionDenied, message: refusal) }
        return try await next(request, context)
    }
}
