internal import MeshTransport
internal import GRPCCore
internal import Glibc
internal import Logging
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import Synchronization

/// Connections from other hosts, and what both ends of a tunnel need.
extension MeshRequests {
    /// Serves the manager of another host: only endpoints of this one, so that no request ever goes round.
    func requestOfOtherHost(
        _ message: Networkservice_NetworkServiceRequest, _ call: IncomingCall
    ) async throws -> ServerResponse<NSMConnection> {
        var connection = message.connection
        let previous = connection.currentSegment
        if previous?.name == component.name {
            throw RPCError(
                code: .invalidArgument,
                message: "both hosts' meshes are called \(component.name); each needs a name of its own")
        }
        let preference = try await preference(message)
        guard rights.mayTunnel(to: preference.source, of: rights.caller(call.info).address) else {
            throw RPCError(
                code: .permissionDenied,
                message: "a tunnel from \(preference.source) is asked for by \(call.info.address ?? "?"); --tunnel-from"
                    + " allows that")
        }
        let entered = try call.enter(&connection, component)
        let caller = self.caller(connection, call)
        let hop = leg(entered, &connection, previous, caller)
        let wanted = connection
        var answer = try await queue.run(hop.ownID) {
            try self.admit(wanted, call, caller)
            if wanted.state == .reselectRequested {
                await self.release(wanted.id, because: .reselected)
            }
            return try await self.serve(wanted, try await self.candidatesHere(wanted), caller) { candidate in
                try await self.connect(wanted, preference, candidate, caller)
            }
        }
        hop.leave(&answer)
        return ServerResponse(message: answer)
    }

    /// Gives a connection of another host its id here.
    ///
    /// A host has the legs that it made, for the client that it made each of them for. An id in a path is anybody's word: one that
    /// is somebody else's, or of a connection that has not come back yet since our start, is replaced by the caller's own, so that
    /// a forwarder that took another one's place gets a leg as well. It is the same again after a start of ours.
    private func leg(
        _ entered: Hop, _ connection: inout NSMConnection, _ previous: NSMPathSegment?, _ caller: Caller
    ) -> Hop {
        let speaker = "\(caller.identity)\u{0}\(connection.initiator ?? "")"
        let own = Self.stableID(client: previous, namespace: "", peer: speaker)
        if entered.ownID == own || isOwn(connection, caller) { return entered }
        // The one that an earlier version gave: its link is there, and is kept. Nobody has it since our start.
        let former = Self.stableID(client: previous, namespace: "", peer: formerSpeaker(for: connection, caller))
        if entered.ownID == former, monitor.owner(former) == nil { return entered }
        return entered.renamed(own, in: &connection)
    }

    /// Whom earlier versions gave the ids of legs to: another host's mesh, or at a forwarder the client that its manager spoke for.
    private func formerSpeaker(for connection: NSMConnection, _ caller: Caller) -> String {
        (directory == nil ? nil : connection.initiator) ?? "\(caller.identity)"
    }

    /// The tunnel that is made: of the kind that the connection has already, else the first that the client's host wants and this
    /// one can make.
    private func preference(_ message: Networkservice_NetworkServiceRequest) async throws -> TunnelMechanism {
        let wanted = message.connection
        guard let remote = settings.remote else {
            throw RPCError(
                code: .invalidArgument,
                message: directory == nil
                    ? "this mesh is joined with no other host"
                    : "only \(WellKnown.kernel) interfaces can be connected: this host makes no tunnels")
        }
        let current = TunnelMechanism(wanted.mechanism)
        let preferences = message.mechanismPreferences.compactMap { TunnelMechanism($0) }
        let possible = await tunnels(for: payload(of: wanted), remote)
        let offered = preferences + [current].compactMap { $0 }
        let first = current.flatMap { current in offered.first { $0.kind == current.kind } }
        let fit = ([first].compactMap { $0 } + offered).filter { possible.contains($0.kind) }
        // A kind that has no number left is for the connections that have one.
        if let chosen = fit.first(where: { $0.kind == current?.kind || hasNumber($0.kind) }) ?? fit.first {
            return chosen
        }
        throw RPCError(
            code: .invalidArgument,
            message: possible.isEmpty
                ? "this host makes no tunnels for that payload: WireGuard carries \(WellKnown.ip), and needs a kernel that has it"
                : (directory == nil ? "" : "on one host \(WellKnown.kernel) interfaces are connected, and ")
                    + "between hosts there are tunnels only: a mechanism \(possible.map(\.rawValue).joined(separator: " or "))"
                    + " with src_ip is needed")
    }

    /// Whether another tunnel of a kind can have a number of this host's.
    private func hasNumber(_ kind: ForwarderMechanism) -> Bool {
        switch kind {
        case .kernel: true
        case .vxlan: vnis.withLock { !$0.isFull }
        case .wireGuard: ports.withLock { !$0.isFull }
        }
    }

    private func payload(of connection: NSMConnection) -> String {
        if !connection.payload.isEmpty { return connection.payload }
        return (store.service(connection.networkService) ?? directory?.service(connection.networkService))?.payload
            ?? ""
    }

    /// The endpoints of this host to try. The other manager decides which one, so the one it names is the only one.
    private func candidatesHere(_ wanted: NSMConnection) async throws -> [RegistryStore.Entry] {
        if let directory { return try await directory.candidates(wanted, store, peers, onlyHere: true) }
        let name = wanted.networkServiceEndpointName
        let found =
            name.isEmpty
            ? store.candidates(service: wanted.networkService, labels: wanted.labels)
            : [store.endpoint(name)].compactMap { $0 }.filter {
                $0.endpoint.networkServiceNames.contains(wanted.networkService)
            }
        let here = found.filter { $0.host == nil }
        guard here.isEmpty else { return here }
        let what =
            name.isEmpty
            ? "endpoint of \(wanted.networkService.prefix(bytes: 253))" : "endpoint \(name.prefix(bytes: 253))"
        throw RPCError(code: .notFound, message: "there is no \(what) on the host of \(component.name)")
    }

    /// Asks an endpoint of this host, and makes its end of the tunnel to the client's.
    private func connect(
        _ wanted: NSMConnection, _ preference: TunnelMechanism, _ candidate: RegistryStore.Entry, _ caller: Caller
    ) async throws -> NSMConnection {
        guard let remote = settings.remote else { throw NSMError(.refused, "this mesh is joined with no other host") }
        guard preference.source.family == remote.tunnelAddress.family else {
            throw NSMError(
                .refused,
                "tunnels start at \(preference.source) there and at \(remote.tunnelAddress) here; both must be IPv4 or IPv6"
            )
        }
        guard preference.kind != .vxlan || preference.sourcePort == remote.tunnelPort else {
            throw NSMError(
                .refused,
                "tunnels use UDP port \(preference.sourcePort) there and \(remote.tunnelPort) here; both hosts need the same"
            )
        }
        var wanted = wanted
        wanted.context.mtu = try await fitting(wanted.context.mtu, preference.kind, remote)
        let id = wanted.id
        var mechanism = preference
        var mtu = wanted.context.mtu
        let answer = try await ask(wanted, candidate, caller) { answer, space, granted in
            mtu = Self.least(answer.context.mtu, mtu)
            var answer = answer
            answer.context.mtu = mtu
            let end = ConnectionEnd(namespace: space, name: answer.mechanism.interfaceName)
            mechanism = try await self.attach(id, end, preference, remote, answer, granted)
        }
        var result = self.answer(answer, to: wanted, mechanism.mechanism)
        result.context.mtu = mtu
        return result
    }

    /// Makes the endpoint's end.
    ///
    /// - Returns: the mechanism with our half: of VXLAN the identifier that the other host demands if it is free, else that of
    ///   before, else any; of WireGuard our key and port, those of before if there are any.
    private func attach(
        _ id: String, _ end: ConnectionEnd, _ preference: TunnelMechanism, _ remote: RemoteSettings,
        _ answer: NSMConnection, _ granted: Set<String>
    ) async throws -> TunnelMechanism {
        if preference.kind == .wireGuard, answer.payload == WellKnown.ethernet {
            throw NSMError(.refused, "the endpoint's payload is \(answer.payload), which WireGuard does not carry")
        }
        var mechanism = preference
        mechanism.destination = remote.tunnelAddress
        mechanism.destinationPort = remote.tunnelPort
        var leg = RemoteLeg(
            id: id, end: end,
            tunnel: Tunnel(
                vni: 0, local: remote.tunnelAddress, remote: preference.source, port: preference.sourcePort))
        try leg.configure(from: answer.context, as: .endpoint, payload: answer.payload, granted: granted)
        try rights.fit(&leg.end)
        switch preference.details {
        case .vxlan(let wish): mechanism.details = .vxlan(vni: try await attach(leg, wish))
        case .wireGuard(let peer, _):
            let own = try await attach(leg, peer)
            mechanism.destinationPort = own.port
            mechanism.details = .wireGuard(source: peer, destination: own.publicKey)
        }
        forgetNumbers(of: id, but: preference.kind)
        return mechanism
    }

    /// Makes the end of a VXLAN tunnel with an identifier that is free here.
    private func attach(_ leg: RemoteLeg, _ wish: UInt32?) async throws -> UInt32 {
        var (leg, wish) = (leg, wish)
        if wish == nil { wish = try await forwarder.identifier(of: leg) }
        for _ in 0..<Self.mostIdentifiers {
            leg.tunnel.vni = vnis.withLock { $0.allocate(for: leg.id, proposed: wish) }
            do {
                try await forwarder.apply(leg, isKnown: isKnown)
                return leg.tunnel.vni
            } catch {
                guard leg.tunnel.isTaken(error) else { throw error }
                noteTaken(leg.tunnel)
                vnis.withLock { $0.release(leg.id) }
                wish = nil
            }
        }
        throw NSMError(.local, "no VXLAN identifier was found that is free on this host")
    }

    /// Makes the end of a WireGuard tunnel at a port that is free here.
    private func attach(_ leg: RemoteLeg, _ peer: WireGuardKey) async throws -> WireGuardIdentity {
        var leg = leg
        // Another key of the other end is that of another end.
        let known = try await forwarder.wireGuardEnd(of: leg.id, leg.end)
        var own =
            if let known, known.peer == peer { try accepted(known.own, of: leg.id) } else { try newIdentity(leg.id) }
        guard own.publicKey != peer else { throw NSMError(.protocolViolation, "the other host has our own key") }
        for _ in 0..<Self.mostIdentifiers {
            leg.tunnel.kind = .wireGuard(WireGuardEnd(own: own, peer: peer))
            do {
                try await forwarder.apply(leg, isKnown: isKnown)
                return own
            } catch {
                guard leg.tunnel.isTaken(error) else { throw error }
                noteTaken(leg.tunnel)
                own = try atAnotherPort(own, leg.id)
            }
        }
        throw NSMError(.local, "no UDP port was found that is free on this host")
    }

    /// Lets the namespaces of tunnels to an endpoint go that has ended: held longer, they would outlive its pod and answer
    /// for it. Those of a pod that is still there go on.
    func letGo(_ place: Place) {
        let ids = ids(at: place)
        Task { for id in ids { await forwarder.letGo(id) } }
    }

    // MARK: - Both

    /// The kinds of tunnels that can be made for a payload, the preferred one first.
    func tunnels(for payload: String, _ remote: RemoteSettings) async -> [ForwarderMechanism] {
        var kinds: [ForwarderMechanism] = []
        for kind in remote.tunnels {
            switch kind {
            case .kernel: continue
            case .vxlan: kinds.append(kind)
            case .wireGuard:
                // No payload stands for IP.
                guard payload.isEmpty || payload == WellKnown.ip, await forwarder.hasWireGuard else { continue }
                kinds.append(kind)
            }
        }
        return kinds
    }

    /// A key that nobody has seen, for our end of a WireGuard tunnel.
    func newIdentity(_ id: String) throws(NSMError) -> WireGuardIdentity {
        guard let identity = WireGuardIdentity(newAt: try port(for: id)) else {
            throw NSMError(.local, "no key was made for WireGuard")
        }
        return identity
    }

    /// What a link of a connection has, at a port that tunnels may have. Root of a pod can make a link that looks like ours,
    /// and the port that we take from it is opened on the host.
    func accepted(_ known: WireGuardIdentity, of id: String) throws(NSMError) -> WireGuardIdentity {
        let number = UInt32(known.port)
        guard NumberAllocator.wireGuardPorts.contains(number) else { return known.moved(to: try port(for: id)) }
        ports.withLock { ports in
            // Where none is left it is nobody's.
            if !ports.isFull(but: id) { _ = ports.allocate(for: id, proposed: number) }
        }
        return known
    }

    /// The same key at another port, as somebody else has this one.
    func atAnotherPort(_ identity: WireGuardIdentity, _ id: String) throws(NSMError) -> WireGuardIdentity {
        ports.withLock { $0.release(id) }
        return identity.moved(to: try port(for: id))
    }

    private func port(for id: String) throws(NSMError) -> UInt16 {
        let number = ports.withLock { $0.isFull(but: id) ? nil : $0.allocate(for: id) }
        guard let number else { throw NSMError(.local, "all UDP ports for WireGuard are in use") }
        return UInt16(clamping: number)
    }

    /// Gives back what a connection of another kind had, or was proposed with.
    func forgetNumbers(of id: String, but kind: ForwarderMechanism? = nil) {
        if kind != .vxlan { vnis.withLock { $0.release(id) } }
        if kind != .wireGuard { ports.withLock { $0.release(id) } }
    }

    func noteTaken(_ tunnel: Tunnel) {
        component.logger.info(
            "a VXLAN identifier, or the port of a tunnel, is in use", metadata: ["tunnel": "\(tunnel.number)"])
    }

    /// The MTU that fits into a tunnel: what was asked for if it does.
    func fitting(_ mtu: UInt32, _ kind: ForwarderMechanism, _ remote: RemoteSettings) async throws -> UInt32 {
        Self.least(mtu, try await forwarder.tunnelMTU(from: remote.tunnelAddress, by: kind))
    }

    /// The lesser one; 0 stands for none.
    static func least(_ mtu: UInt32, _ most: UInt32) -> UInt32 { mtu == 0 ? most : min(mtu, most) }
}

extension Tunnel {
    /// What the kernel says when its identifier, or its port, is in use.
    fileprivate var takenCode: Int32 {
        switch kind {
        case .vxlan: EEXIST
        case .wireGuard: EADDRINUSE
        }
    }

    /// Whether the kernel refused it because its identifier, or its port, is in use on this host.
    func isTaken(_ error: ForwarderError) -> Bool { error.code == takenCode }

    /// For the log.
    fileprivate var number: String {
        switch kind {
        case .vxlan(let vni): "VNI \(vni)"
        case .wireGuard(let end): "port \(end.own.port)"
        }
    }
}
