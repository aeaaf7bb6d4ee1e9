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
    private let settings: MeshSettings
    private let queue = KeyedQueue()
    private let known = Mutex<[String: Known]>([:])
    private let expiries = Expiries()
    private let excluded = Mutex<(at: ContinuousClock.Instant, prefixes: [IPPrefix])?>(nil)
    /// How old the host's prefixes may be.
    private static let excludedAge = Duration.seconds(5)
    private let started = ContinuousClock.now
    /// How long after our start an endpoint may take to register again. Our own do within two seconds of finding us.
    private static let comeback = Duration.seconds(10)

    /// What the manager remembers of a connection.
    struct Known: Sendable {
        var endpoint: String
        /// The endpoint's last answer: its mechanism, and the path with its segment.
        var answer: NSMConnection
    }

    /// How long a descriptor may take that a message names.
    private static let descriptorWait = Duration.seconds(5)

    init(_ settings: MeshSettings, _ store: RegistryStore) {
        self.settings = settings
        self.store = store
        component = settings.component
        forwarder = Forwarder(owner: "\(settings.name) \(settings.address.url)")
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
        var connection = request.message.connection
        let preference = try Self.preference(request.message)
        let client = connection.path.pathSegments.first
        let hop = try call.enter(&connection, component) {
            // The same again after a restart of ours, so that the links of before are found by it.
            Self.stableID(client: client, namespace: preference.inodeURL, peer: call.info.peer?.id.description ?? "")
        }
        let wanted = connection
        try IncomingCall.checkOwner(of: monitor.connection(hop.ownID), wanted)
        var answer = try await queue.run(hop.ownID) {
            try await self.serve(wanted, preference, call)
        }
        hop.leave(&answer)
        return ServerResponse(message: answer)
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
        if let mistake = InterfaceName.mistake(in: mechanism.interfaceName) {
            throw RPCError(
                code: .invalidArgument,
                message: "the interface's name '\(mechanism.interfaceName.prefix(64))' \(mistake)")
        }
        return mechanism
    }

    private func serve(
        _ wanted: NSMConnection, _ preference: NSMMechanism, _ call: IncomingCall
    ) async throws -> NSMConnection {
        let id = wanted.id
        if wanted.state == .reselectRequested { await release(id) }
        let clientSpace = try await Self.namespace(preference.inodeURL, call.info.descriptors, "client").namespace
        let candidates = try candidates(wanted)
        var failures: [String] = []
        for candidate in candidates {
            do {
                let answer = try await connect(wanted, preference, clientSpace, candidate)
                monitor.update(answer)
                expiries.set(id, to: answer.previousSegment?.expiry.map { Self.closing(before: $0) })
                return answer
            } catch {
                let text = (error as? RPCError)?.message ?? "\(error)"
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
        if !name.isEmpty, let entry = store.endpoint(name) { return [entry] }
        // After a start of ours clients may be faster than their endpoints: a connection of before does not go to another
        // one while its own may still be on its way.
        if !name.isEmpty, known.withLock({ $0[wanted.id] == nil }), ContinuousClock.now < started + Self.comeback {
            throw RPCError(
                code: .unavailable,
                message: "the endpoint \(name.prefix(253)) has not registered since the manager started")
        }
        // An endpoint whose registration ended does not come back: its clients go to others of the service.
        let found = store.candidates(service: wanted.networkService, labels: wanted.labels)
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
        _ candidate: RegistryStore.Entry
    ) async throws -> NSMConnection {
        let id = wanted.id
        let before = known.withLock { $0[id] }
        let peer = try peers.peer(candidate)
        // Whoever waits for one that has ended does not try the next one.
        if !peer.connector.isConnected, peer.connector.address.isAbandoned {
            throw NSMError(.unreachable, "its process has ended")
        }
        let transport = try await peer.connector.connection(within: component.dialTimeout)
        let calls = Calls(transport, component: asLong(as: wanted.previousSegment?.expiry))
        let request = try onwardRequest(wanted, candidate, before, await excludedPrefixes(), peer, transport)
        let answer = try await peer.gate.run { try await calls.request(request, timeout: component.requestTimeout) }
        do {
            try check(answer, calls, wanted)
            let (space, descriptor) = try await Self.namespace(
                answer.mechanism.inodeURL, transport.info.descriptors, "endpoint")
            peer.keep(descriptor)
            var cross = CrossConnect(
                id: id, client: ConnectionEnd(namespace: clientSpace, name: preference.interfaceName),
                endpoint: ConnectionEnd(namespace: space, name: answer.mechanism.interfaceName))
            try cross.configure(from: answer.context, payload: answer.payload)
            let isNew = try await forwarder.apply(cross, isKnown: { id in self.known.withLock { $0[id] != nil } })
            if isNew { await untilItCarriesPackets(cross) }
        } catch {
            if before == nil { try? await calls.close(answer, timeout: component.requestTimeout) }
            if (error as? NSMError)?.code == .outdated { peer.connector.leave(transport) }
            throw error
        }
        known.withLock { $0[id] = Known(endpoint: candidate.endpoint.name, answer: answer) }
        peers.watch(peer)
        var result = answer
        result.id = id
        result.path.index = wanted.path.index
        result.mechanism = preference
        result.networkServiceEndpointName = candidate.endpoint.name
        result.state = .up
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
    private func asLong(as end: UnixTime?) -> Component {
        var component = component
        if let end { component.tokenLifetime = min(component.tokenLifetime, max(end.duration(since: .now), .zero)) }
        return component
    }

    private func onwardRequest(
        _ wanted: NSMConnection, _ candidate: RegistryStore.Entry, _ before: Known?, _ excluded: [IPPrefix],
        _ peer: EndpointPeers.Peer, _ transport: ClientConnection
    ) throws -> Networkservice_NetworkServiceRequest {
        var onward = wanted
        onward.networkServiceEndpointName = candidate.endpoint.name
        if onward.payload.isEmpty { onward.payload = store.service(wanted.networkService)?.payload ?? "" }
        onward.clearMechanism()
        if onward.state == .reselectRequested { onward.state = .up }
        var interface = ""
        if let before, before.endpoint == candidate.endpoint.name {
            interface = before.answer.mechanism.interfaceName
            // Whoever names a namespace has to send it. An endpoint that was gone since names its own anew.
            if let space = peer.space(before.answer.mechanism.inodeURL) {
                try transport.info.descriptors?.send(space)
                onward.mechanism = before.answer.mechanism
            }
        }
        var addresses = onward.context.ipContext
        let known = Set(addresses.excludedPrefixes)
        addresses.excludedPrefixes += excluded.map { "\($0)" }.filter { !known.contains($0) }
        onward.context.ipContext = addresses
        var request = Networkservice_NetworkServiceRequest()
        request.connection = onward
        request.mechanismPreferences = [.kernel(name: interface)]
        return request
    }

    /// What this host uses and what the operator named. Many requests at once read the host's state only once.
    private func excludedPrefixes() async -> [IPPrefix] {
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

    private func check(_ answer: NSMConnection, _ calls: Calls, _ wanted: NSMConnection) throws {
        guard answer.mechanism.type == WellKnown.kernel,
            InterfaceName.mistake(in: answer.mechanism.interfaceName) == nil
        else {
            throw NSMError(.protocolViolation, "the endpoint's answer names no \(WellKnown.kernel) interface")
        }
        let own = Int(wanted.path.index)
        guard answer.path.index == wanted.path.index, answer.path.pathSegments.count > own + 1 else {
            throw NSMError(.protocolViolation, "the endpoint's answer has no segment of its own")
        }
        for segment in answer.path.pathSegments where segment.expiry == nil {
            throw NSMError(.protocolViolation, "the token of \(segment.name) has no end")
        }
        guard component.isSecure else { return }
        let tokens = try TokenRules.checkChain(answer.path.pathSegments)
        guard let peer = calls.connection.info.peer else {
            throw NSMError(.refused, "the endpoint has no identity")
        }
        try TokenRules.checkSignature(tokens[own + 1], of: peer, "the endpoint's token")
    }

    // MARK: - Ends

    func close(
        request: ServerRequest<NSMConnection>, context: ServerContext
    ) async throws -> ServerResponse<Google_Protobuf_Empty> {
        let call = try IncomingCall(request.metadata)
        var connection = request.message
        let client = connection.path.pathSegments.first
        let hop = try call.enter(&connection, component) {
            // A client that got no answer closes what it asked for.
            Self.stableID(
                client: client, namespace: request.message.mechanism.inodeURL,
                peer: call.info.peer?.id.description ?? "")
        }
        try IncomingCall.checkOwner(of: monitor.connection(hop.ownID), connection)
        // The client's namespace comes along; left unclaimed it would be held until the transport connection ends.
        if let inode = Inode(url: request.message.mechanism.inodeURL) {
            _ = try? await call.info.descriptors?.receive(inode, within: .milliseconds(100))
        }
        try await queue.run(hop.ownID) { await self.release(hop.ownID) }
        return ServerResponse(message: Google_Protobuf_Empty())
    }

    /// The end of a connection whose token ends then: early enough that the endpoint still takes the tokens of the Close.
    /// They end at whole seconds.
    private static func closing(before end: UnixTime) -> UnixTime {
        let left = end.duration(since: .now)
        return end.adding(.zero - min(.seconds(1) + left / 10, .seconds(10)))
    }

    private func expire(_ id: String) async {
        component.logger.info("connection ended: its token was not renewed", metadata: ["connection": "\(id)"])
        try? await queue.run(id) { await self.release(id) }
    }

    /// Tells the endpoint, and removes the links.
    private func release(_ id: String) async {
        expiries.set(id, to: nil)
        guard let old = known.withLock({ $0.removeValue(forKey: id) }) else { return }
        if let entry = store.endpoint(old.endpoint), let peer = try? peers.peer(entry),
            peer.connector.isConnected || !peer.connector.address.isAbandoned,
            let transport = try? await peer.connector.connection(within: component.dialTimeout)
        {
            if let space = peer.space(old.answer.mechanism.inodeURL) { try? transport.info.descriptors?.send(space) }
            try? await Calls(transport, component: component).close(old.answer, timeout: component.dialTimeout)
        }
        do {
            try await forwarder.remove(id)
        } catch {
            component.logger.error("a connection's links stay", metadata: ["connection": "\(id)", "error": "\(error)"])
        }
        monitor.delete(id)
    }

    /// An endpoint's registration ended.
    func endpointGone(_ name: String) {
        peers.remove(name)
        setDown(name)
    }

    private func happened(to peer: EndpointPeers.Peer, _ event: EndpointPeers.Event) {
        switch event {
        case .reported(let event): reported(peer.name, event)
        case .silent: setDown(peer.name)
        case .ended:
            // Unless another process has taken its name meanwhile.
            if store.endpoint(peer.name)?.socket === peer.socket { store.remove(peer.name) }
        }
    }

    /// Tells the clients of an endpoint that nothing is heard of it.
    private func setDown(_ name: String) {
        let mine = known.withLock { $0.filter { $0.value.endpoint == name }.map(\.key) }
        for id in mine { monitor.setState(.down, of: id) }
    }

    /// What an endpoint says of its connections goes to their clients.
    private func reported(_ name: String, _ event: NSMConnectionEvent) {
        for reported in event.connections.values {
            // Our segment on its path is the one before the endpoint's.
            guard let own = reported.path.pathSegments.dropLast().last?.id,
                known.withLock({ $0[own]?.endpoint }) == name
            else { continue }
            if event.type == .delete {
                monitor.setState(.down, of: own)
            } else if reported.state == .down || reported.state == .refreshRequested {
                monitor.setState(reported.state, of: own)
            }
        }
    }

    /// Links of connections of an earlier process that nobody asked for since. Whoever has a connection asks before our
    /// token in its path ends.
    func removeLeftovers() async {
        guard (try? await Task.sleep(for: component.tokenLifetime + .seconds(10))) != nil else { return }
        let removed = await forwarder.removeLeftovers()
        if !removed.isEmpty {
            component.logger.notice(
                "links of connections that nobody has any more were removed", metadata: ["count": "\(removed.count)"])
        }
    }

    func end() {
        expiries.clear()
        peers.end()
        monitor.finish()
    }

    // MARK: - Parts

    private static func namespace(
        _ url: String, _ channel: DescriptorChannel?, _ whose: String
    ) async throws(RPCError) -> (namespace: NetworkNamespace, descriptor: Descriptor) {
        guard let inode = Inode(url: url), let channel else {
            throw RPCError(
                code: .invalidArgument, message: "the \(whose)'s namespace is \(url.prefix(128)); inode:// is needed")
        }
        do {
            // What was sent is only a place; the kernel wants it opened.
            let descriptor = try await channel.receive(inode, within: descriptorWait)
            return (try NetworkNamespace(path: descriptor.path), descriptor)
        } catch {
            throw RPCError(code: .invalidArgument, message: "the \(whose)'s namespace: \(error)")
        }
    }
}
