internal import Concurrency
internal import MeshTransport
internal import GRPCCore
internal import Logging
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// Serves requests: finds an endpoint, asks it, and connects the two namespaces.
final class MeshRequests: Networkservice_NetworkService.ServiceProtocol {
    let monitor = ConnectionMonitor()
    let component: Component
    let store: RegistryStore
    let forwarder: Forwarder
    let peers: EndpointPeers
    /// The endpoints of other hosts.
    let others = RemoteEndpoints()
    /// Where endpoints are found when this is a forwarder under a manager of somebody else; nil: in our own registry.
    let directory: ManagerDirectory?
    let settings: MeshSettings
    let rights: Rights
    let queue = KeyedQueue()
    let known = Mutex<[String: Known]>([:])
    let vnis = Mutex(NumberAllocator())
    let ports = Mutex(NumberAllocator(NumberAllocator.wireGuardPorts))
    /// Connections of which is not known whether their endpoint still has them, as its stream broke.
    let unconfirmed = Mutex<[Place: Set<String>]>([:])
    let expiries = Expiries()
    let clientIDs = ClientIDs()
    let excluded = Mutex<(at: ContinuousClock.Instant, prefixes: [IPPrefix])?>(nil)
    /// Where it counts; nil: nowhere.
    let measures: MeshMeasures?
    /// When the traffic of connections is read.
    let reading = Mutex(Reading())
    /// How old the host's prefixes may be.
    static let excludedAge = Duration.seconds(5)
    let started = ContinuousClock.now
    /// How long after our start an endpoint may take to register again. Our own do within two seconds of finding us.
    private static let comeback = Duration.seconds(10)

    /// What the manager remembers of a connection.
    struct Known: Sendable {
        var endpoint: String
        /// Who was asked for it.
        var place: Place
        /// The last answer of the endpoint, or of its manager: the mechanism, and the path with its segment.
        var answer: NSMConnection
        /// Addresses of the client that the endpoint gave, and the client did not bring.
        var granted: Set<String>
        /// When it was made, or taken over from the mesh before this one.
        var since = Timestamp.now

        init(_ candidate: RegistryStore.Entry, _ answer: NSMConnection, granted: Set<String>) {
            endpoint = candidate.endpoint.name
            place = candidate.place
            self.answer = answer
            self.granted = granted
        }

        func isOf(_ candidate: RegistryStore.Entry) -> Bool {
            endpoint == candidate.endpoint.name && place == candidate.place
        }
    }

    /// How long a descriptor may take that a message names.
    static let descriptorWait = Duration.seconds(5)
    /// How long after an endpoint could not answer it is asked once more.
    static let secondTry = Duration.milliseconds(50)
    /// Endpoints that are tried for one request; the next request begins with another one.
    private static let mostCandidates = 16
    /// Connections of a peer who is not trusted.
    static let mostOfOneAccount = 1024
    /// Connections of one client that a forwarder takes in any case.
    static let leastOfOneClient = 64

    init(
        _ settings: MeshSettings, _ store: RegistryStore, directory: ManagerDirectory? = nil
    ) throws(ForwarderError) {
        self.settings = settings
        self.directory = directory
        rights = settings.rights
        self.store = store
        component = settings.component
        measures = settings.metrics.map(MeshMeasures.init)
        forwarder = try Forwarder(
            owner: "\(settings.name) \(settings.address.url)", host: settings.host, measures: measures)
        let events = Callback<(EndpointPeers.Peer, EndpointPeers.Event)>()
        peers = EndpointPeers(component: settings.component) { events(($0, $1)) }
        expiries.whenOver { [weak self] id in await self?.expire(id) }
        events.set { [weak self] report in self?.happened(to: report.0, report.1) }
    }

    // MARK: - Request

    func request(
        request: ServerRequest<Networkservice_NetworkServiceRequest>, context: ServerContext
    ) async throws -> ServerResponse<NSMConnection> {
        let call = try IncomingCall(request.metadata)
        let coming = request.message.clientMechanism.flatMap {
            ComingDescriptor($0.inodeURL, call.info.descriptors)
        }
        if let mistake = ConnectionLimits.mistake(in: request.message.mechanismPreferences) {
            throw RPCError(code: .invalidArgument, message: "the request holds too much: \(mistake)")
        }
        if comesFromOtherHost(request.message) { return try await requestOfOtherHost(request.message, call) }
        var connection = request.message.connection
        let preference = try Self.preference(request.message)
        let hop = try enter(&connection, call, namespace: preference.inodeURL)
        let wanted = connection
        var answer = try await queue.run(hop.ownID) {
            // No caller waits for the answer to a request that was cancelled while it was queued.
            if context.cancellation.isCancelled { throw RPCError(code: .cancelled, message: "given up") }
            return try await self.serve(wanted, preference, coming, call)
        }
        hop.leave(&answer)
        return ServerResponse(message: answer)
    }

    /// Accepts a connection. Its id here is one that no other peer can name.
    func enter(_ connection: inout NSMConnection, _ call: IncomingCall, namespace: String) throws(RPCError) -> Hop {
        let client = connection.path.pathSegments.first
        let id = { (peer: String) in
            // The same again after a restart of ours, so that the links of before are found by it.
            Self.stableID(client: client, namespace: namespace, peer: peer)
        }
        // An external manager may be replaced.
        let peer = self.client(of: connection) ?? call.info.peer?.id.description ?? ""
        let hop = try call.enter(&connection, component) { id(peer) }
        // Only root may choose an id. Others may bring back the one that they got here: any other could belong to a client that has
        // not come back yet since our start, and a manager passes on what its clients say.
        let mayBringAny = directory == nil && rights.caller(call.info).standing == .root
        if mayBringAny || monitor.owner(hop.ownID) != nil { return hop }
        let former = rights.formerID(call.info).map(id)
        if hop.ownID == id(peer) || hop.ownID == former { return hop }
        return hop.renamed(id(peer), in: &connection)
    }

    /// The client that an external manager asks for. The manager has verified one token only, that of its own caller: the client, or
    /// the forwarder of the client's host. Nil: this is a mesh.
    private func client(of connection: NSMConnection) -> String? {
        directory == nil ? nil : connection.client(of: component.name)
    }

    /// Who asks for a connection: the caller, or the client that an external manager speaks for.
    func caller(_ connection: NSMConnection, _ call: IncomingCall) -> Caller {
        let caller = rights.caller(call.info)
        guard let subject = client(of: connection) else { return caller }
        return Caller(
            identity: PeerIdentity(unproven: subject), credentials: caller.credentials, standing: caller.standing,
            address: caller.address)
    }

    /// Checks that a connection is the caller's and that the caller may have another. Call it in the connection's turn.
    func admit(_ wanted: NSMConnection, _ call: IncomingCall, _ caller: Caller) throws(RPCError) {
        try checkOwner(of: wanted, call)
        guard monitor.owner(wanted.id) == nil else { return }
        let own = monitor.count(of: caller.identity)
        guard own < mostConnections(of: caller), monitor.count < settings.mostConnections else {
            throw RPCError(
                code: .resourceExhausted,
                message: "\(caller.identity.account) has \(own) connections, which is the most")
        }
    }

    /// Of the clients of a forwarder none is to take up all the room, nor is another host.
    func mostConnections(of caller: Caller) -> Int {
        if directory != nil { return max(settings.mostConnections / 4, Self.leastOfOneClient) }
        return switch caller.standing {
        case .root: .max
        case .manager: caller.address == nil ? .max : max(settings.mostConnections / 2, 1)
        case .stranger: Self.mostOfOneAccount
        }
    }

    /// Checks that a connection is the caller's, or the client's that an external manager speaks for, whichever manager
    /// that is.
    func checkOwner(of connection: NSMConnection, _ call: IncomingCall) throws(RPCError) {
        guard monitor.owner(connection.id) != nil, !isOwn(connection, caller(connection, call)) else { return }
        throw RPCError(
            code: .permissionDenied, message: "the connection \(connection.id) belongs to another client")
    }

    /// Whether a connection that is there is the caller's.
    ///
    /// Who speaks for others may pass on ids as its clients name them, so the client that it spoke for must be the same, too. Its
    /// token alone proves nothing: who made the path has put it there.
    func isOwn(_ connection: NSMConnection, _ caller: Caller) -> Bool {
        guard let known = monitor.connection(connection.id), monitor.owner(connection.id) == caller.identity else {
            return false
        }
        return caller.standing != .manager || known.initiator == connection.initiator
    }

    /// Takes the id that the client gave its connection. Who had it and is not there any more, such as the pod before this one,
    /// gives way.
    private func claim(_ wanted: NSMConnection, _ caller: Caller) throws(RPCError) {
        // Behind an external manager names and ids of clients are not to be believed, and all come from its namespace.
        if directory != nil { return }
        let claimant = ClientIDs.Holder(
            id: wanted.id, peer: caller.identity, namespace: caller.credentials?.namespace, isTrusted: caller.isTrusted)
        let old = try clientIDs.take(for: wanted, claimant) { holder in
            monitor.isWatched(holder.id, by: holder.peer, from: holder.namespace)
        }
        guard let old, monitor.connection(old) != nil else { return }
        component.logger.warning(
            "a connection gives way to one of the same id from another network namespace",
            metadata: ["connection": "\(old)", "id": "\(wanted.path.pathSegments.first?.id ?? "")"])
        // Beside: two that displace each other must not wait for each other's turn.
        Task { try? await queue.run(old) { await self.release(old, because: .displaced) } }
    }

    private static func preference(
        _ request: Networkservice_NetworkServiceRequest
    ) throws(RPCError) -> NSMMechanism {
        guard var mechanism = request.clientMechanism else {
            throw RPCError(
                code: .invalidArgument, message: "only \(WellKnown.kernel) interfaces can be connected on this host")
        }
        if mechanism.interfaceName.isEmpty {
            let name = generatedInterfaceName(for: request.connection.networkService)
            mechanism.parameters[WellKnown.interfaceName] = name
        }
        if let mistake = ConnectionEnd.mistake(inName: mechanism.interfaceName) {
            throw RPCError(
                code: .invalidArgument,
                message: "the interface's name '\(mechanism.interfaceName.prefix(64))' \(mistake)")
        }
        return mechanism
    }

    private func serve(
        _ wanted: NSMConnection, _ preference: NSMMechanism, _ coming: ComingDescriptor?, _ call: IncomingCall
    ) async throws -> NSMConnection {
        let caller = self.caller(wanted, call)
        try admit(wanted, call, caller)
        if wanted.state == .reselectRequested {
            await release(wanted.id, because: .reselected)
        }
        try claim(wanted, caller)
        // An id that nothing came of is not kept.
        defer { if monitor.connection(wanted.id) == nil { clientIDs.release(wanted.id) } }
        let clientSpace = try await namespace(preference.inodeURL, coming, of: caller, "client").namespace
        return try await serve(wanted, try await candidates(wanted), caller) { candidate in
            try await connect(wanted, preference, clientSpace, candidate, caller)
        }
    }

    /// Whether the client is on another host. To a forwarder its manager speaks, wherever the client is.
    private func comesFromOtherHost(_ message: Networkservice_NetworkServiceRequest) -> Bool {
        directory == nil ? ConnectionInfo.isOfOtherHost : message.clientMechanism == nil
    }

    /// Tries candidates until one is connected.
    func serve(
        _ wanted: NSMConnection, _ candidates: [RegistryStore.Entry], _ caller: Caller,
        connect: (RegistryStore.Entry) async throws -> NSMConnection
    ) async throws -> NSMConnection {
        let id = wanted.id
        var failures: [String] = []
        for candidate in candidates.prefix(Self.mostCandidates) {
            peers.use(candidate.place)
            directory?.keep(candidate)
            defer { leave(candidate.place) }
            do {
                var answer = try await timed { try await connect(candidate) }
                answer.networkServiceEndpointName = candidate.endpoint.name
                if monitor.connection(id) == nil {
                    if let measures, let mechanism = await forwarder.mechanism(of: id) {
                        measures.noteMade(mechanism)
                    }
                    component.logger.info(
                        "connection made",
                        metadata: [
                            "connection": "\(id)", "service": "\(wanted.networkService)",
                            "client": "\(caller.identity.account)", "endpoint": "\(candidate.endpoint.name)",
                        ])
                }
                monitor.update(answer, owner: caller.identity)
                expiries.set(id, to: answer.expiryBefore.map { Self.closing(before: $0) })
                return answer
            } catch {
                let text = String(((error as? RPCError)?.message ?? "\(error)").prefix(512))
                failures.append("\(candidate.endpoint.name): \(text)")
                component.logger.info(
                    "request failed",
                    metadata: [
                        "service": "\(wanted.networkService)", "endpoint": "\(candidate.endpoint.name)",
                        "error": "\(text)",
                    ])
            }
        }
        // An id that nothing came of keeps no number.
        if known.withLock({ $0[id] == nil }) { forgetNumbers(of: id) }
        throw RPCError(
            code: .unavailable, message: "\(wanted.networkService): \(failures.joined(separator: "; "))")
    }

    /// The endpoints to try: the one that is named, or those of the service.
    private func candidates(_ wanted: NSMConnection) async throws -> [RegistryStore.Entry] {
        if let directory {
            return try await directory.candidates(wanted, store, peers, onlyHere: settings.remote == nil)
        }
        let name = wanted.networkServiceEndpointName
        let service = wanted.networkService
        let before = known.withLock { $0[wanted.id] }
        let others = settings.remote == nil ? [] : others.candidates(service)
        if !name.isEmpty {
            let named = ([store.endpoint(name)].compactMap { $0 } + others.filter { $0.endpoint.name == name })
                .filter { $0.endpoint.networkServiceNames.contains(service) }
            if let entry = named.first(where: { before?.isOf($0) ?? true }) ?? named.first { return [entry] }
        }
        // Another one would not do, and might be the client itself.
        if let only = EndpointPin.name(in: wanted.context) {
            throw RPCError(
                code: .unavailable,
                message: "the endpoint \(only.prefix(bytes: 253)) does not offer \(service.prefix(bytes: 253)) here")
        }
        // After a start of ours clients may be faster than their endpoints: a connection of before does not go to another
        // one while its own may still be on its way.
        if !name.isEmpty, before == nil, ContinuousClock.now < started + Self.comeback {
            throw RPCError(
                code: .unavailable,
                message: "the endpoint \(name.prefix(bytes: 253)) has not registered since the manager started")
        }
        // An endpoint whose registration ended does not come back: its clients go to others of the service.
        let found = store.candidates(
            service: service, labels: wanted.labels, others: others, known: self.others.service(service)
        ).filter { $0.host == nil || settings.remote != nil }
        guard !found.isEmpty else {
            throw RPCError(
                code: .notFound,
                message: ([
                    "no endpoint offers \(wanted.networkService.prefix(bytes: 253)) to a client with these labels"
                ]
                    + self.others.troubles).joined(separator: "; "))
        }
        return found
    }
}

extension NSMConnection {
    /// When the first token of those ends who stand before us on the path: nobody takes a Close of them any more after that, and the
    /// client has been gone for long. Nil when none says.
    var expiryBefore: Timestamp? { path.pathSegments.prefix(Int(path.index)).compactMap(\.expiry).min() }

    /// Whose token stands before that of a forwarder's manager. Nil when it can't be read.
    ///
    /// - Parameter forwarder: The name of the forwarder, which the path may have entered already.
    func client(of forwarder: String) -> String? {
        let manager = Int(path.index) - (currentSegment?.name == forwarder ? 1 : 0)
        return subject(max(manager - 1, 0))
    }

    /// Who the path says has asked first. Nobody but the second on the path has verified that.
    var initiator: String? { subject(0) }

    private func subject(_ place: Int) -> String? {
        guard place < path.pathSegments.count else { return nil }
        return (try? Token(parsing: path.pathSegments[place].token))?.subject
    }
}

extension Networkservice_NetworkServiceRequest {
    /// The interface that the client wants, or has; nil when none is a kernel interface.
    fileprivate var clientMechanism: NSMMechanism? {
        let wanted = mechanismPreferences.first { $0.type == WellKnown.kernel }
        let isSet = connection.hasMechanism && connection.mechanism.type == WellKnown.kernel
        return wanted ?? (isSet ? connection.mechanism : nil)
    }
}
