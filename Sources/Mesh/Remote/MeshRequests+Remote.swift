internal import MeshTransport
internal import GRPCCore
internal import Glibc
internal import Logging
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import Synchronization

/// Connections between hosts: the client's manager asks the endpoint's, and each makes its own end of the tunnel.
extension MeshRequests {
    /// How many identifiers are tried for a tunnel until both hosts have one that is free.
    private static let mostIdentifiers = 8

    // MARK: - The client's host

    /// Asks the manager of another host for an endpoint of its, and makes the client's end of the tunnel.
    func connect(
        _ wanted: NSMConnection, _ end: ConnectionEnd, _ candidate: RegistryStore.Entry, at host: SocketAddress,
        _ caller: Caller
    ) async throws -> NSMConnection {
        guard let remote = settings.remote else {
            throw NSMError(
                .unreachable, "\(candidate.endpoint.name) is on another host, and this mesh is joined with none")
        }
        let id = wanted.id
        let before = known.withLock { $0[id] }
        let peer = peers.host(host)
        var onward = onward(wanted, candidate, before, await excludedPrefixes(), caller)
        onward.context.mtu = try await fitting(onward.context.mtu, remote)
        if let before, before.isOf(candidate) { onward.mechanism = before.answer.mechanism }
        let asked = onward
        let component = asLong(as: wanted.expiryBefore)
        let answer = try await peer.connector.call(within: component.dialTimeout, as: component) { calls in
            try checkManager(calls.connection.info, of: candidate.endpoint, at: host)
            return try await connect(wanted, asked, end, remote, calls, isNew: before == nil)
        }
        keep(id, candidate, answer)
        peers.watch(peer)
        return answer
    }

    /// The listener at the address of another host's manager must be a manager: a user may have its port while it is
    /// down. Where an endpoint is known from etcd alone, it must be the one who is said to be there, too.
    func checkManager(
        _ info: ConnectionInfo, of endpoint: NSMNetworkServiceEndpoint, at host: SocketAddress
    ) throws(NSMError) {
        guard rights.isManager(info.peer?.id) else {
            throw NSMError(.forbidden, "\(PeerIdentity(info)) is not a manager of another host; --manager names those")
        }
        guard settings.remote?.peers.contains(host) != true,
            let expected = others.managers(of: endpoint, at: host)
        else { return }
        if expected.contains(where: { $0 == info.peer?.id }) { return }
        throw NSMError(
            .forbidden, "\(PeerIdentity(info)) answers at \(host.url), where etcd says that \(expected[0]) is")
    }

    /// Asks until both hosts have agreed on an identifier that is free on both.
    private func connect(
        _ wanted: NSMConnection, _ asked: NSMConnection, _ end: ConnectionEnd, _ remote: RemoteSettings, _ calls: Calls,
        isNew: Bool
    ) async throws -> NSMConnection {
        var request = Networkservice_NetworkServiceRequest()
        request.connection = asked
        var ask = TunnelMechanism(source: remote.tunnelAddress, port: remote.tunnelPort)
        for _ in 0..<Self.mostIdentifiers {
            request.mechanismPreferences = [ask.mechanism]
            var answer = try await calls.request(request, timeout: component.requestTimeout)
            answer.context.mtu = Self.least(answer.context.mtu, asked.context.mtu)
            do {
                try check(answer, calls, wanted)
                let tunnel = try tunnel(answer.mechanism, remote, calls.connection.info)
                if try await attach(wanted, end, tunnel, answer) { return answer }
            } catch {
                if isNew { try? await calls.close(answer, timeout: component.requestTimeout) }
                throw error
            }
            // The other host's choice is in use here: it gets ours.
            ask.vni = vnis.withLock { vnis in
                vnis.release(wanted.id)
                return vnis.allocate(for: wanted.id)
            }
            request.connection.path = answer.path
            request.connection.mechanism = answer.mechanism
        }
        throw NSMError(.local, "no VXLAN identifier was found that is free on both hosts")
    }

    /// Makes the client's end; false when the tunnel's identifier is in use on this host.
    private func attach(
        _ wanted: NSMConnection, _ end: ConnectionEnd, _ tunnel: Tunnel, _ answer: NSMConnection
    ) async throws -> Bool {
        let id = wanted.id
        guard vnis.withLock({ $0.allocate(for: id, proposed: tunnel.vni) }) == tunnel.vni else { return false }
        var leg = RemoteLeg(id: id, end: end, tunnel: tunnel)
        try leg.configure(from: answer.context.accepted(for: wanted), as: .client, payload: answer.payload)
        try rights.fit(&leg.end)
        do {
            try await forwarder.apply(leg, isKnown: isKnown)
            return true
        } catch {
            guard error.code == EEXIST else { throw error }
            component.logger.info("a VXLAN identifier is in use", metadata: ["vni": .stringConvertible(tunnel.vni)])
            return false
        }
    }

    /// The tunnel that another manager answers with, seen from here.
    private func tunnel(
        _ mechanism: NSMMechanism, _ remote: RemoteSettings, _ info: ConnectionInfo
    ) throws(NSMError) -> Tunnel {
        guard let answer = TunnelMechanism(mechanism), let destination = answer.destination, let vni = answer.vni,
            answer.source == remote.tunnelAddress
        else { throw NSMError(.protocolViolation, "the other host's answer names no tunnel of ours") }
        guard rights.mayTunnel(to: destination, of: info.address.flatMap { IPAddress($0) }) else {
            throw NSMError(
                .forbidden,
                "the manager at \(info.address ?? "?") has its tunnels at \(destination); --tunnel-from allows that")
        }
        return Tunnel(
            vni: vni, local: remote.tunnelAddress, remote: destination,
            port: answer.destinationPort ?? remote.tunnelPort)
    }

    // MARK: - The endpoint's host

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
        let preferences = message.mechanismPreferences.compactMap { TunnelMechanism($0) }
        guard let preference = preferences.first ?? TunnelMechanism(connection.mechanism) else {
            let here = directory == nil ? "" : "on one host \(WellKnown.kernel) interfaces are connected, and "
            throw RPCError(
                code: .invalidArgument,
                message: here
                    + "between hosts there are tunnels only: a \(WellKnown.vxlan) mechanism with src_ip is needed")
        }
        let caller = self.caller(connection, call, isOfOtherHost: true)
        guard rights.mayTunnel(to: preference.source, of: caller.address) else {
            throw RPCError(
                code: .permissionDenied,
                message: "a tunnel from \(preference.source) is asked for by \(call.info.address ?? "?"); --tunnel-from"
                    + " allows that")
        }
        let peer = directory == nil ? call.info.peer?.id.description ?? "" : caller.identity.description
        let id = Self.stableID(client: previous, namespace: "", peer: peer)
        let entered = try call.enter(&connection, component) { id }
        // An id that an external manager brings is its client's word, and may be somebody's who has not come back yet.
        let isStrange = directory != nil && monitor.owner(entered.ownID) == nil
        let hop = isStrange ? entered.renamed(id, in: &connection) : entered
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
        guard preference.sourcePort == remote.tunnelPort else {
            throw NSMError(
                .refused,
                "tunnels use UDP port \(preference.sourcePort) there and \(remote.tunnelPort) here; both hosts need the same"
            )
        }
        var wanted = wanted
        wanted.context.mtu = try await fitting(wanted.context.mtu, remote)
        let id = wanted.id
        var mechanism = preference
        mechanism.destination = remote.tunnelAddress
        mechanism.destinationPort = remote.tunnelPort
        var mtu = wanted.context.mtu
        let answer = try await ask(wanted, candidate, caller) { answer, space, granted in
            mtu = Self.least(answer.context.mtu, mtu)
            var answer = answer
            answer.context.mtu = mtu
            let end = ConnectionEnd(namespace: space, name: answer.mechanism.interfaceName)
            mechanism.vni = try await self.attach(id, end, preference, remote, answer, granted)
        }
        var result = self.answer(answer, to: wanted, mechanism.mechanism)
        result.context.mtu = mtu
        return result
    }

    /// Makes the endpoint's end.
    ///
    /// - Returns: the tunnel's identifier: the one that the other host demands if it is free, else that of before, else any.
    private func attach(
        _ id: String, _ end: ConnectionEnd, _ preference: TunnelMechanism, _ remote: RemoteSettings,
        _ answer: NSMConnection, _ granted: Set<String>
    ) async throws -> UInt32 {
        var leg = RemoteLeg(
            id: id, end: end,
            tunnel: Tunnel(
                vni: 0, local: remote.tunnelAddress, remote: preference.source, port: preference.sourcePort))
        try leg.configure(from: answer.context, as: .endpoint, payload: answer.payload, granted: granted)
        try rights.fit(&leg.end)
        var wish = preference.vni
        if wish == nil { wish = try await forwarder.identifier(of: leg) }
        for _ in 0..<Self.mostIdentifiers {
            leg.tunnel.vni = vnis.withLock { $0.allocate(for: id, proposed: wish) }
            do {
                try await forwarder.apply(leg, isKnown: isKnown)
                return leg.tunnel.vni
            } catch {
                guard error.code == EEXIST else { throw error }
                component.logger.info(
                    "a VXLAN identifier is in use", metadata: ["vni": .stringConvertible(leg.tunnel.vni)])
                vnis.withLock { $0.release(id) }
                wish = nil
            }
        }
        throw NSMError(.local, "no VXLAN identifier was found that is free on this host")
    }

    /// Lets the namespaces of tunnels to an endpoint go that has ended: held longer, they would outlive its pod and answer
    /// for it. Those of a pod that is still there go on.
    func letGo(_ place: Place) {
        let ids = ids(at: place)
        Task { for id in ids { await forwarder.letGo(id) } }
    }

    // MARK: - Both

    /// The MTU that fits into a tunnel: what was asked for if it does.
    private func fitting(_ mtu: UInt32, _ remote: RemoteSettings) async throws -> UInt32 {
        Self.least(mtu, try await forwarder.tunnelMTU(from: remote.tunnelAddress))
    }

    /// The lesser one; 0 stands for none.
    private static func least(_ mtu: UInt32, _ most: UInt32) -> UInt32 { mtu == 0 ? most : min(mtu, most) }
}
