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

/// How endpoints are asked, and what of their answers is believed.
extension MeshRequests {
    /// Asks an endpoint and makes the connection; a new one that fails leaves nothing behind.
    func connect(
        _ wanted: NSMConnection, _ preference: NSMMechanism, _ clientSpace: NetworkNamespace,
        _ candidate: RegistryStore.Entry, _ caller: Caller
    ) async throws -> NSMConnection {
        let id = wanted.id
        if let host = candidate.host {
            let end = ConnectionEnd(namespace: clientSpace, name: preference.interfaceName)
            return answer(try await connect(wanted, end, candidate, at: host, caller), to: wanted, preference)
        }
        var answer = try await ask(wanted, candidate, caller) { answer, space, granted in
            var cross = CrossConnect(
                id: id, client: ConnectionEnd(namespace: clientSpace, name: preference.interfaceName),
                endpoint: ConnectionEnd(namespace: space, name: answer.mechanism.interfaceName))
            try cross.configure(
                from: answer.context.made(for: wanted), of: answer.context, payload: answer.payload,
                granted: caller.isTrusted ? nil : granted)
            try self.rights.fit(&cross.client)
            try self.rights.fit(&cross.endpoint)
            let isNew = try await self.forwarder.apply(cross, isKnown: self.isKnown)
            if isNew { await self.untilItCarriesPackets(cross) }
        }
        // A client that came from a narrower way would keep that one's MTU if the answer said none.
        if answer.context.mtu == 0 { answer.context.mtu = CrossConnect.fullMTU }
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
        // A request that waits for an endpoint that has ended would not try the next one.
        if peer.hasEnded {
            throw NSMError(.unreachable, "its process has ended")
        }
        let excluded = await excludedPrefixes()
        let component = asLong(as: wanted.expiryBefore)
        // Of a connection of before our start the name of its interface is in the kernel alone.
        let isKept = before == nil && wanted.networkServiceEndpointName == candidate.endpoint.name
        let kept = isKept ? await forwarder.keptName(of: id) ?? formerInterface(wanted) : nil
        let (answer, granted) = try await call(peer, as: component) { calls in
            try checkListener(calls.connection.info, candidate)
            guard EndpointPin.allows(calls.connection.info.peer?.id, in: wanted.context) else {
                throw NSMError(.forbidden, "the client does not accept it")
            }
            let channel = calls.connection.info.descriptors
            var request = try onwardRequest(wanted, candidate, before, excluded, caller, peer, channel)
            if before == nil { request.connection.path.pathSegments += await formerWay(of: wanted, calls) }
            if let kept { request.mechanismPreferences = [.kernel(name: kept)] }
            let answer = try await peer.gate.run { try await calls.request(request, timeout: component.requestTimeout) }
            let coming = ComingDescriptor(answer.mechanism.inodeURL, channel)
            do {
                let space = try await endpointSpace(of: answer, coming, calls, wanted, candidate, caller, peer)
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

    /// Checks an endpoint's answer. Returns the namespace that its interface is in.
    private func endpointSpace(
        of answer: NSMConnection, _ coming: ComingDescriptor?, _ calls: Calls, _ wanted: NSMConnection,
        _ candidate: RegistryStore.Entry, _ caller: Caller, _ peer: EndpointPeers.Peer
    ) async throws -> NetworkNamespace {
        guard answer.mechanism.type == WellKnown.kernel,
            ConnectionEnd.mistake(inName: answer.mechanism.interfaceName) == nil
        else {
            throw NSMError(.protocolViolation, "the endpoint's answer names no \(WellKnown.kernel) interface")
        }
        try check(answer, calls, wanted)
        // Of an external manager's endpoints is known as much as of its clients.
        let owner = candidate.registrant ?? (directory == nil ? nil : caller)
        let (space, descriptor) = try await namespace(answer.mechanism.inodeURL, coming, of: owner, "endpoint")
        peer.keep(descriptor)
        return space
    }

    /// Calls an endpoint, and retries once when it says that it can't answer at the moment, as some do in a burst: the
    /// client would otherwise go to another endpoint, or get an error that is over before its next request.
    private func call<Result>(
        _ peer: EndpointPeers.Peer, as component: Component, _ body: (Calls) async throws -> Result
    ) async throws -> Result {
        var wasReached = false
        func once() async throws -> Result {
            try await peer.connector.call(within: component.dialTimeout, as: component) { calls in
                wasReached = true
                return try await body(calls)
            }
        }
        do {
            return try await once()
        } catch let error as NSMError where error.code == .unreachable && wasReached {
            try await Task.sleep(for: Self.secondTry)
            if peer.hasEnded { throw error }
            component.logger.debug(
                "an endpoint is asked again", metadata: ["at": "\(peer.place)", "error": "\(error)"])
            return try await once()
        }
    }

    /// Checks that an endpoint's listener is the peer that registered the endpoint.
    private func checkListener(_ info: ConnectionInfo, _ candidate: RegistryStore.Entry) throws(NSMError) {
        guard let peer = info.peer else { return }
        var owner: String?
        if directory != nil {
            // Who registered it is the first of those whose tokens its registration bears.
            owner = candidate.endpoint.pathIds.first
        } else if let registrant = candidate.registrant, registrant.standing != .manager {
            owner = registrant.identity.description
        }
        guard let owner, peer.id.description != owner else { return }
        throw NSMError(.forbidden, "\(peer.id) listens there, and \(owner) registered \(candidate.endpoint.name)")
    }

    /// The name that the endpoint's interface had when the client got its last answer, as the endpoint's segment says it: where
    /// namespaces of pods are not to be seen, a forwarder that was started again knows it from there alone. It is a wish like that
    /// of any client.
    private func formerInterface(_ wanted: NSMConnection) -> String? {
        guard directory != nil, wanted.path.pathSegments.count == Int(wanted.path.index) + 2 else { return nil }
        let words = wanted.path.pathSegments.last?.metrics["server_interface"]?.split(separator: "/") ?? []
        guard words.count == 2, words[0] == WellKnown.kernel else { return nil }
        let name = String(words[1])
        return ConnectionEnd.mistake(inName: name) == nil ? name : nil
    }

    /// Remembers a connection. The endpoint that had its other end before gets a notice that it has moved.
    func keep(
        _ id: String, _ candidate: RegistryStore.Entry, _ answer: NSMConnection, granted: Set<String> = []
    ) {
        let old = known.withLock { known in
            let old = known[id]
            var new = Known(candidate, answer, granted: granted)
            if let old { new.since = old.since }
            known[id] = new
            return old
        }
        if old?.place != candidate.place { peers.use(candidate.place) }
        guard let old, !old.isOf(candidate) else { return }
        // Another host has moved its end itself when the leg is still the same there.
        let isSameLeg = old.place == candidate.place && old.answer.nextID == answer.nextID
        Task {
            if !isSameLeg { await self.tellClosed(old) }
            if old.place != candidate.place { self.leave(old.place) }
        }
    }

    /// Whether a connection still has an owner.
    var isKnown: @Sendable (String) -> Bool {
        { id in self.known.withLock { $0[id] != nil } }
    }

    /// The answer to the caller.
    func answer(_ answer: NSMConnection, to wanted: NSMConnection, _ mechanism: NSMMechanism) -> NSMConnection {
        var result = answer
        result.id = wanted.id
        result.path.index = wanted.path.index
        // Who is asked answers with the path that it got; those before us, and until when, are not its to say.
        let before = Int(wanted.path.index)
        result.path.pathSegments.replaceSubrange(
            ..<min(before, result.path.pathSegments.count), with: wanted.path.pathSegments[..<before])
        result.mechanism = mechanism
        result.state = .up
        result.context = result.context.accepted(for: wanted)
        if directory != nil { result.noteInterfaces(server: answer.mechanism) }
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
    func asLong(as end: Timestamp?) -> Component {
        var component = component
        if let end { component.tokenLifetime = min(component.tokenLifetime, max(end.since(.now), .zero)) }
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
            // A request that names a namespace must send its descriptor. An endpoint that was gone names its own again.
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
            onward.payload = (service ?? directory?.service(wanted.networkService))?.payload ?? ""
        }
        onward.clearMechanism()
        // The next one knows only us: an id that a client made up could be that of another client's connection.
        onward.trimPath()
        if let before, before.isOf(candidate) {
            onward.path.pathSegments += before.answer.path.pathSegments.dropFirst(Int(before.answer.path.index) + 1)
        }
        if onward.state == .reselectRequested { onward.state = .up }
        var addresses = onward.context.ipContext
        let known = Set(addresses.excludedPrefixes)
        addresses.excludedPrefixes += excluded.map { "\($0)" }.filter { !known.contains($0) }
        onward.context.ipContext = addresses
        return onward
    }

    /// The rest of the way of a connection that was there before our start, as who is asked next remembers it: what the client
    /// says of it may be another one's.
    func formerWay(of wanted: NSMConnection, _ calls: Calls) async -> [NSMPathSegment] {
        guard wanted.path.pathSegments.count > Int(wanted.path.index) + 1 else { return [] }
        let own = NSMPathSegment.with { segment in
            (segment.name, segment.id) = (component.name, wanted.id)
        }
        let way = Mutex<[NSMPathSegment]>([])
        do {
            let selector = NSMMonitorScopeSelector.with { $0.pathSegments = [own] }
            try await calls.monitor(selector, timeout: component.dialTimeout) { event in
                for segments in event.connections.values.map(\.path.pathSegments) {
                    let place = segments.firstIndex { $0.name == own.name && $0.id == own.id }
                    if let place { way.withLock { $0 = Array(segments[(place + 1)...]) } }
                }
                return false
            }
        } catch {
            component.logger.info(
                "a connection gets a new id at the next one",
                metadata: ["connection": "\(own.id)", "error": "\(error)"])
        }
        return way.withLock { $0 }
    }

    /// What this host uses and what the operator named. Many requests at once read the host's state only once.
    func excludedPrefixes() async -> [IPPrefix] {
        // Those of the host are the manager's to name.
        if directory != nil { return [] }
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
        try TokenRules.checkSignature(
            tokens[own + 1], on: calls.connection.info, "the token of \(answer.path.pathSegments[own + 1].name)")
    }

    // MARK: - Parts

    /// The namespace that a peer sends, once it is known to be one, and his.
    func namespace(
        _ url: String, _ coming: ComingDescriptor?, of caller: Caller?, _ whose: String
    ) async throws(RPCError) -> (namespace: NetworkNamespace, descriptor: Descriptor) {
        guard let coming else {
            throw RPCError(
                code: .invalidArgument, message: "the \(whose)'s namespace is \(url.prefix(128)); inode:// is needed")
        }
        let descriptor: Descriptor
        do {
            descriptor = try await coming.receive(within: Self.descriptorWait)
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
        if let caller { try rights.check(space, sentAs: descriptor, of: caller, whose) }
        return (space, descriptor)
    }
}

extension NSMConnection {
    /// The id that it has at the one who was asked for it.
    fileprivate var nextID: String? { path.pathSegments.dropFirst(Int(path.index) + 1).first?.id }

    /// Says in our segment what was connected, as stock forwarders do.
    fileprivate mutating func noteInterfaces(server: NSMMechanism) {
        let own = Int(path.index)
        guard own < path.pathSegments.count else { return }
        for (key, mechanism) in [("client_interface", mechanism), ("server_interface", server)] {
            let isKernel = mechanism.type == WellKnown.kernel
            let name = isKernel ? mechanism.interfaceName : TunnelMechanism(mechanism)?.vni.map { "\($0)" } ?? ""
            path.pathSegments[own].metrics[key] = "\(mechanism.type)/\(name)"
        }
    }
}

extension NSMConnectionContext {
    /// What the client of a request takes of it.
    func accepted(for wanted: NSMConnection) -> NSMConnectionContext {
        var context = self
        NetworkServiceClient.Acceptance(notedIn: wanted.context)?
            .limit(&context, asked: Set(wanted.context.ipContext.srcIpAddrs))
        return context
    }

    /// What the forwarder makes of it at the client's end. A link between endpoints of one network is all that it makes: what of
    /// the answer is to be believed is known to the client alone.
    func made(for wanted: NSMConnection) -> NSMConnectionContext {
        var context = accepted(for: wanted)
        if wanted.context.networkOrigin != nil { context.ipContext = NSMIPContext() }
        return context
    }

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
