internal import DescriptorTransport
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
    let settings: MeshSettings
    let rights: Rights
    let queue = KeyedQueue()
    let known = Mutex<[String: Known]>([:])
    let vnis = Mutex(VNIAllocator())
    let expiries = Expiries()
    private let excluded = Mutex<(at: ContinuousClock.Instant, prefixes: [IPPrefix])?>(nil)
    /// How old the host's prefixes may be.
    private static let excludedAge = Duration.seconds(5)
    private let started = ContinuousClock.now
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
    private static let descriptorWait = Duration.seconds(5)
    /// Endpoints that are tried for one request; the next request begins with another one.
    private static let mostCandidates = 16
    /// Connections of a peer who is not trusted.
    static let mostOfOneAccount = 1024
    /// Connections of all peers together.
    static let mostConnections = 65536

    init(_ settings: MeshSettings, _ store: RegistryStore) {
        self.settings = settings
        rights = settings.rights
        self.store = store
        component = settings.component
        forwarder = Forwarder(owner: "\(settings.name) \(settings.address.url)", host: settings.host)
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
        guard request.message.mechanismPreferences.count <= ConnectionLimits.mechanisms else {
            throw RPCError(code: .invalidArgument, message: "there are too many mechanisms to choose from")
        }
        if ConnectionInfo.isOfOtherHost { return try await requestOfOtherHost(request.message, call) }
        var connection = request.message.connection
        let preference = try Self.preference(request.message)
        let hop = try enter(&connection, call, namespace: preference.inodeURL)
        let wanted = connection
        var answer = try await queue.run(hop.ownID) {
            // Nobody waits any more for the answer to a request that was given up while it stood in line.
            if context.cancellation.isCancelled { throw RPCError(code: .cancelled, message: "given up") }
            return try await self.serve(wanted, preference, call)
        }
        hop.leave(&answer)
        return ServerResponse(message: answer)
    }

    /// Takes a connection in. Its id here is one that nobody else can name.
    func enter(_ connection: inout NSMConnection, _ call: IncomingCall, namespace: String) throws(RPCError) -> Hop {
        let client = connection.path.pathSegments.first
        let id = { (peer: String) in
            // The same again after a restart of ours, so that the links of before are found by it.
            Self.stableID(client: client, namespace: namespace, peer: peer)
        }
        let peer = call.info.peer?.id.description ?? ""
        let hop = try call.enter(&connection, component) { id(peer) }
        // Who is not trusted may bring the id back that he got here, and no other: it could be somebody's who has not come
        // back yet since our start.
        if monitor.owner(hop.ownID) != nil || rights.caller(call.info).isTrusted { return hop }
        let former = rights.formerID(call.info).map(id)
        if hop.ownID == id(peer) || hop.ownID == former { return hop }
        return hop.renamed(id(peer), in: &connection)
    }

    /// Checks that a connection is the caller's, and that he may have one more. To be called in the connection's turn.
    func admit(_ id: String, _ call: IncomingCall, _ caller: Caller) throws(RPCError) {
        try call.checkOwner(of: id, in: monitor)
        guard monitor.owner(id) == nil else { return }
        let own = monitor.count(of: caller.identity)
        guard caller.isTrusted || own < Self.mostOfOneAccount, monitor.count < Self.mostConnections else {
            throw RPCError(
                code: .resourceExhausted, message: "\(caller.identity.account) has \(own) connections, which is the most")
        }
    }

    private static func preference(
        _ request: Networkservice_NetworkServiceRequest
    ) throws(RPCError) -> NSMMechanism {
        let connection = request.connection
        let isSet = connection.hasMechanism && connection.mechanism.type == WellKnown.kernel
        let wanted = request.mechanismPreferences.first { $0.type == WellKnown.kernel }
        guard var mechanism = wanted ?? (isSet ? connection.mechanism : nil) else {
            throw RPCError(
                code: .invalidArgument, message: "only \(WellKnown.kernel) interfaces can be connected on this host")
        }
        if mechanism.interfaceName.isEmpty {
            mechanism.parameters[WellKnown.interfaceName] = generatedInterfaceName(for: connection.networkService)
        }
        if let mistake = ConnectionEnd.mistake(inName: mechanism.interfaceName) {
            throw RPCError(
                code: .invalidArgument,
                message: "the interface's name '\(mechanism.interfaceName.prefix(64))' \(mistake)")
        }
        return mechanism
    }

    private func serve(
        _ wanted: NSMConnection, _ preference: NSMMechanism, _ call: IncomingCall
    ) async throws -> NSMConnection {
        let caller = rights.caller(call.info)
        try admit(wanted.id, call, caller)
        if wanted.state == .reselectRequested { await release(wanted.id) }
        let clientSpace = try await namespace(preference.inodeURL, call.info.descriptors, of: caller, "client").namespace
        return try await serve(wanted, try candidates(wanted), caller) { candidate in
            try await connect(wanted, preference, clientSpace, candidate, caller)
        }
    }

    /// Tries candidates until one is connected.
    func serve(
        _ wanted: NSMConnection, _ candidates: [RegistryStore.Entry], _ caller: Caller,
        connect: (RegistryStore.Entry) async throws -> NSMConnection
    ) async throws -> NSMConnection {
        let id = wanted.id
        var failures: [String] = []
        for candidate in candidates.prefix(Self.mostCandidates) {
            do {
                var answer = try await connect(candidate)
                answer.networkServiceEndpointName = candidate.endpoint.name
                monitor.update(answer, owner: caller.identity)
                expiries.set(id, to: answer.previousSegment?.expiry.map { Self.closing(before: $0) })
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
        throw RPCError(
            code: .unavailable, message: "\(wanted.networkService): \(failures.joined(separator: "; "))")
    }

    /// The endpoints to try: the one that is named, or those of the service.
    private func candidates(_ wanted: NSMConnection) throws(RPCError) -> [RegistryStore.Entry] {
        let name = wanted.networkServiceEndpointName
        let service = wanted.networkService
        let before = known.withLock { $0[wanted.id] }
        let others = settings.remote == nil ? [] : others.candidates(service)
        if !name.isEmpty {
            let named = ([store.endpoint(name)].compactMap { $0 } + others.filter { $0.endpoint.name == name })
                .filter { $0.endpoint.networkServiceNames.contains(service) }
            if let entry = named.first(where: { before?.isOf($0) ?? true }) ?? named.first { return [entry] }
        }
        // After a start of ours clients may be faster than their endpoints: a connection of before does not go to another
        // one while its own may still be on its way.
        if !name.isEmpty, before == nil, ContinuousClock.now < started + Self.comeback {
            throw RPCError(
                code: .unavailable,
                message: "the endpoint \(name.prefix(253)) has not registered since the manager started")
        }
        // An endpoint whose registration ended does not come back: its clients go to others of the service.
        let found = store.candidates(
            service: service, labels: wanted.labels, others: others, known: self.others.service(service)
        ).filter { $0.host == nil || settings.remote != nil }
        guard !found.isEmpty else {
            throw RPCError(
                code: .notFound,
                message: "no endpoint offers \(wanted.networkService.prefix(253)) to a client with these labels")
        }
        return found
    }

    /// Asks an endpoint and makes the connection; a new one that fails leaves nothing behind.
    private func connect(
        _ wanted: NSMConnection, _ preference: NSMMechanism, _ clientSpace: NetworkNamespace,
        _ candidate: RegistryStore.Entry, _ caller: Caller
    ) async throws -> NSMConnection {
        let id = wanted.id
        if let host = candidate.host {
            let end = ConnectionEnd(namespace: clientSpace, name: preference.interfaceName)
            return answer(try await connect(wanted, end, candidate, at: host, caller), to: wanted, preference)
        }
        let answer = try await ask(wanted, candidate, caller) { answer, space, granted in
            var cross = CrossConnect(
                id: id, client: ConnectionEnd(namespace: clientSpace, name: preference.interfaceName),
                endpoint: ConnectionEnd(namespace: space, name: answer.mechanism.interfaceName))
            try cross.configure(
                from: answer.context, payload: answer.payload, acceptance: .init(notedIn: wanted.context),
                granted: caller.isTrusted ? nil : granted)
            try self.rights.fit(&cross.client)
            try self.rights.fit(&cross.endpoint)
            let isNew = try await self.forwarder.apply(cross, isKnown: self.isKnown)
            if isNew { await self.untilItCarriesPackets(cross) }
        }
        return self.answer(answer, to: wanted, preference)
    }

    /// Asks an endpoint of this host and makes its end of the connection.
    ///
    /// - Parameter attach: Makes the links; it is given the answer, the endpoint's namespace, and the client's addresses that
    ///   the endpoint gave.
    func ask(
        _ wanted: NSMConnection, _ candidate: RegistryStore.Entry, _ caller: Caller,
        attach: (NSMConnection, NetworkNamespace, Set<String>) async throws -> Void
    ) async throws -> NSMConnection {
        let id = wanted.id
        let before = known.withLock { $0[id] }
        let peer = try peers.peer(candidate)
        // Whoever waits for one that has ended does not try the next one.
        if peer.hasEnded {
            throw NSMError(.unreachable, "its process has ended")
        }
        let excluded = await excludedPrefixes()
        let component = asLong(as: wanted.previousSegment?.expiry)
        let (answer, granted) = try await peer.connector.call(within: component.dialTimeout, as: component) { calls in
            try checkListener(calls.connection.info, candidate)
            let channel = calls.connection.info.descriptors
            let request = try onwardRequest(wanted, candidate, before, excluded, caller, peer, channel)
            let answer = try await peer.gate.run { try await calls.request(request, timeout: component.requestTimeout) }
            do {
                guard answer.mechanism.type == WellKnown.kernel,
                    ConnectionEnd.mistake(inName: answer.mechanism.interfaceName) == nil
                else {
                    throw NSMError(.protocolViolation, "the endpoint's answer names no \(WellKnown.kernel) interface")
                }
                try check(answer, calls, wanted)
                let (space, descriptor) = try await namespace(
                    answer.mechanism.inodeURL, channel, of: candidate.registrant, "endpoint")
                peer.keep(descriptor)
                let known = before.flatMap { $0.isOf(candidate) ? $0.granted : nil } ?? []
                let given = Set(answer.context.ipContext.srcIpAddrs)
                let granted = known.intersection(given).union(
                    given.subtracting(request.connection.context.ipContext.srcIpAddrs))
                try await attach(answer, space, granted)
                return (answer, granted)
            } catch {
                if before == nil { try? await calls.close(answer, timeout: component.requestTimeout) }
                throw error
            }
        }
        keep(id, candidate, answer, granted: granted)
        peers.watch(peer)
        return answer
    }

    /// Checks that whoever listens for an endpoint is who registered it.
    private func checkListener(_ info: ConnectionInfo, _ candidate: RegistryStore.Entry) throws(NSMError) {
        guard let registrant = candidate.registrant, registrant.standing != .manager, let peer = info.peer else { return }
        guard peer.id.description == registrant.identity.description else {
            throw NSMError(
                .forbidden, "\(peer.id) listens there, and \(registrant.identity) registered \(candidate.endpoint.name)")
        }
    }

    /// Remembers a connection. Whoever had its other end before is told that it went elsewhere.
    func keep(
        _ id: String, _ candidate: RegistryStore.Entry, _ answer: NSMConnection, granted: Set<String> = []
    ) {
        let new = Known(candidate, answer, granted: granted)
        let old = known.withLock { known in
            defer { known[id] = new }
            return known[id]
        }
        if let old, !old.isOf(candidate) { Task { await self.tellClosed(old) } }
    }

    /// Whether a connection still belongs to somebody.
    var isKnown: @Sendable (String) -> Bool {
        { id in self.known.withLock { $0[id] != nil } }
    }

    /// What the one who asked is answered.
    func answer(_ answer: NSMConnection, to wanted: NSMConnection, _ mechanism: NSMMechanism) -> NSMConnection {
        var result = answer
        result.id = wanted.id
        result.path.index = wanted.path.index
        result.mechanism = mechanism
        result.state = .up
        NetworkServiceClient.Acceptance(notedIn: wanted.context)?.limit(&result.context)
        return result
    }

    /// The client may send as soon as it has the answer.
    private func untilItCarriesPackets(_ connection: CrossConnect) async {
        let end = ContinuousClock.now + .milliseconds(200)
        while await !forwarder.carriesPackets(connection), ContinuousClock.now < end {
            guard (try? await Task.sleep(for: .microseconds(250))) != nil else { return }
        }
    }

    /// Us, with tokens that end with the client's: what an endpoint keeps for a client that is gone must not outlive it when we
    /// can't tell it, as after a start of ours.
    func asLong(as end: UnixTime?) -> Component {
        var component = component
        if let end { component.tokenLifetime = min(component.tokenLifetime, max(end.duration(since: .now), .zero)) }
        return component
    }

    private func onwardRequest(
        _ wanted: NSMConnection, _ candidate: RegistryStore.Entry, _ before: Known?, _ excluded: [IPPrefix],
        _ caller: Caller, _ peer: EndpointPeers.Peer, _ channel: DescriptorChannel?
    ) throws -> Networkservice_NetworkServiceRequest {
        var onward = onward(wanted, candidate, before, excluded, caller)
        var interface = ""
        if let before, before.isOf(candidate) {
            interface = before.answer.mechanism.interfaceName
            // Whoever names a namespace has to send it. An endpoint that was gone since names its own anew.
            if let space = peer.space(before.answer.mechanism.inodeURL) {
                try channel?.send(space)
                onward.mechanism = before.answer.mechanism
            }
        }
        var request = Networkservice_NetworkServiceRequest()
        request.connection = onward
        request.mechanismPreferences = [.kernel(name: interface)]
        return request
    }

    /// A connection as the next one on its way is asked for it, without a mechanism.
    ///
    /// The endpoint's half is what it said itself the last time: what a client says of it is left out.
    func onward(
        _ wanted: NSMConnection, _ candidate: RegistryStore.Entry, _ before: Known?, _ excluded: [IPPrefix],
        _ caller: Caller
    ) -> NSMConnection {
        var onward = wanted
        let said = before.flatMap { $0.isOf(candidate) ? $0.answer.context : nil }
        onward.context.takeEndpointsHalf(of: said ?? NSMConnectionContext(), keepsMTU: caller.standing == .manager)
        onward.networkServiceEndpointName = candidate.endpoint.name
        if onward.payload.isEmpty {
            let service = store.service(wanted.networkService) ?? others.service(wanted.networkService)
            onward.payload = service?.payload ?? ""
        }
        onward.clearMechanism()
        if onward.state == .reselectRequested { onward.state = .up }
        var addresses = onward.context.ipContext
        let known = Set(addresses.excludedPrefixes)
        addresses.excludedPrefixes += excluded.map { "\($0)" }.filter { !known.contains($0) }
        onward.context.ipContext = addresses
        return onward
    }

    /// What this host uses and what the operator named. Many requests at once read the host's state only once.
    func excludedPrefixes() async -> [IPPrefix] {
        let now = ContinuousClock.now
        if let read = excluded.withLock({ $0 }), now - read.at < Self.excludedAge { return read.prefixes }
        let prefixes: [IPPrefix]
        do {
            prefixes = try await forwarder.excludedPrefixes(settings.excludedPrefixes).prefixes
        } catch {
            component.logger.warning("the host's addresses can't be read", metadata: ["error": "\(error)"])
            prefixes = settings.excludedPrefixes
        }
        excluded.withLock { $0 = (now, prefixes) }
        return prefixes
    }

    func check(_ answer: NSMConnection, _ calls: Calls, _ wanted: NSMConnection) throws {
        let own = Int(wanted.path.index)
        guard answer.path.index == wanted.path.index, answer.path.pathSegments.count > own + 1 else {
            throw NSMError(.protocolViolation, "the endpoint's answer has no segment of its own")
        }
        if let mistake = ConnectionLimits.mistake(in: answer) {
            throw NSMError(.protocolViolation, "the answer holds too much: \(mistake)")
        }
        for segment in answer.path.pathSegments where segment.expiry == nil {
            throw NSMError(.protocolViolation, "the token of \(segment.name) has no end")
        }
        guard component.isSecure else { return }
        let tokens = try TokenRules.checkChain(answer.path.pathSegments)
        guard let peer = calls.connection.info.peer else {
            throw NSMError(.refused, "the peer has no identity")
        }
        try TokenRules.checkSignature(
            tokens[own + 1], of: peer, "the token of \(answer.path.pathSegments[own + 1].name)")
    }

    // MARK: - Parts

    /// The namespace that a peer sends, once it is known to be one, and his.
    private func namespace(
        _ url: String, _ channel: DescriptorChannel?, of caller: Caller?, _ whose: String
    ) async throws(RPCError) -> (namespace: NetworkNamespace, descriptor: Descriptor) {
        guard let inode = Inode(url: url), let channel else {
            throw RPCError(
                code: .invalidArgument, message: "the \(whose)'s namespace is \(url.prefix(128)); inode:// is needed")
        }
        let descriptor: Descriptor
        do {
            descriptor = try await channel.receive(inode, within: Self.descriptorWait)
        } catch {
            throw RPCError(code: .invalidArgument, message: "the \(whose)'s namespace: \(error)")
        }
        guard descriptor.isNamespace else {
            throw RPCError(code: .invalidArgument, message: "what was sent as the \(whose)'s namespace is none")
        }
        let space: NetworkNamespace
        do {
            // What was sent is only a place; the kernel wants it opened.
            space = try NetworkNamespace(path: descriptor.path)
        } catch {
            throw RPCError(code: .invalidArgument, message: "the \(whose)'s namespace: \(error)")
        }
        if let caller { try rights.check(space, of: caller, whose) }
        return (space, descriptor)
    }
}

extension NSMConnectionContext {
    /// Replaces what is the endpoint's to say.
    fileprivate mutating func takeEndpointsHalf(of other: NSMConnectionContext, keepsMTU: Bool) {
        ipContext.dstIpAddrs = other.ipContext.dstIpAddrs
        ipContext.dstRoutes = other.ipContext.dstRoutes
        ipContext.ipNeighbors = other.ipContext.ipNeighbors
        ipContext.extraPrefixes = other.ipContext.extraPrefixes
        ethernetContext.dstMac = other.ethernetContext.dstMac
        ethernetContext.vlanTag = other.ethernetContext.vlanTag
        if !keepsMTU { mtu = 0 }
    }
}
