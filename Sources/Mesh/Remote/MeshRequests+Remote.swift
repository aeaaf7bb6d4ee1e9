internal import MeshTransport
internal import GRPCCore
internal import Glibc
internal import Logging
internal import NSM
internal import Netlink
internal import NetworkTypes
internal import Synchronization

/// Connections to other hosts: the client's manager asks the endpoint's, and each makes its own end of the tunnel.
extension MeshRequests {
    /// How many identifiers, or ports, are tried for a tunnel until both hosts have one that is free.
    static let mostIdentifiers = 8

    /// A tunnel that is proposed to the other host, and what we need to make our end of it.
    private struct Offer {
        var mechanism: TunnelMechanism
        /// nil: it is no WireGuard.
        var identity: WireGuardIdentity?
        /// The key of the other end that knows ours; nil: ours is new.
        var peer: WireGuardKey?

        /// Whether a tunnel leads to another end than the one that knows our key. A key is for one pair of ends: who had the other
        /// end before is to have nothing that is still of use.
        func isOfAnother(_ tunnel: Tunnel) -> Bool {
            guard let peer, let end = tunnel.wireGuard else { return false }
            return end.peer != peer
        }
    }

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
        let isMoved = before.map { !$0.isOf(candidate) } ?? false
        let offers = try await offers(id, end, onward.payload, remote, isMoved: isMoved)
        var most: UInt32 = 0
        for offer in offers { most = max(most, try await fitting(onward.context.mtu, offer.mechanism.kind, remote)) }
        onward.context.mtu = most
        if let before, before.isOf(candidate) { onward.mechanism = before.answer.mechanism }
        let asked = onward
        let component = asLong(as: wanted.expiryBefore)
        let answer = try await peer.connector.call(within: component.dialTimeout, as: component) { calls in
            try checkManager(calls.connection.info, of: candidate.endpoint, at: host)
            var asked = asked
            if before == nil { asked.path.pathSegments += await formerWay(of: wanted, calls) }
            return try await connect(wanted, asked, end, offers, remote, calls, isNew: before == nil)
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

    /// The tunnels to propose, the preferred one first: of a connection that is there, or was before a start of ours, the kind
    /// that it has. A kind for which no key or port is left is proposed to nobody, as long as there is another.
    ///
    /// - Parameter isMoved: Whether the other end of the connection was another one before.
    private func offers(
        _ id: String, _ end: ConnectionEnd, _ payload: String, _ remote: RemoteSettings, isMoved: Bool
    ) async throws -> [Offer] {
        var kinds = await tunnels(for: payload, remote)
        if kinds.isEmpty {
            throw NSMError(
                .local,
                "no tunnel carries the payload '\(payload.prefix(bytes: 64))': WireGuard carries IP, and needs a kernel that has it"
            )
        }
        if let current = try await forwarder.tunnelMechanism(of: id, end), let place = kinds.firstIndex(of: current) {
            kinds.insert(kinds.remove(at: place), at: 0)
        }
        var offers: [Offer] = []
        var failure: (any Error)?
        for kind in kinds {
            do {
                if let offer = try await offer(kind, id, end, remote, isMoved) { offers.append(offer) }
            } catch {
                component.logger.info(
                    "a kind of tunnels can't be proposed", metadata: ["kind": "\(kind.rawValue)", "error": "\(error)"])
                failure = error
            }
        }
        if offers.isEmpty, let failure { throw failure }
        return offers
    }

    private func offer(
        _ kind: ForwarderMechanism, _ id: String, _ end: ConnectionEnd, _ remote: RemoteSettings, _ isMoved: Bool
    ) async throws -> Offer? {
        switch kind {
        case .kernel: return nil
        case .vxlan: return Offer(mechanism: TunnelMechanism(source: remote.tunnelAddress, port: remote.tunnelPort))
        case .wireGuard:
            let known = isMoved ? nil : try await forwarder.wireGuardEnd(of: id, end)
            let identity = try known.map { try accepted($0.own, of: id) } ?? newIdentity(id)
            return Offer(
                mechanism: TunnelMechanism(source: remote.tunnelAddress, identity), identity: identity,
                peer: known?.peer)
        }
    }

    /// Asks until both hosts have agreed on an identifier that is free on both.
    private func connect(
        _ wanted: NSMConnection, _ asked: NSMConnection, _ end: ConnectionEnd, _ offers: [Offer],
        _ remote: RemoteSettings, _ calls: Calls, isNew: Bool
    ) async throws -> NSMConnection {
        var offers = offers
        var request = Networkservice_NetworkServiceRequest()
        request.connection = asked
        for _ in 0..<Self.mostIdentifiers {
            request.mechanismPreferences = offers.map(\.mechanism.mechanism)
            var answer = try await calls.request(request, timeout: component.requestTimeout)
            do {
                try check(answer, calls, wanted)
                let tunnel = try tunnel(answer.mechanism, offers, remote, calls.connection.info)
                let mtu = Self.least(answer.context.mtu, asked.context.mtu)
                answer.context.mtu = try await fitting(mtu, tunnel.mechanism, remote)
                guard let place = offers.firstIndex(where: { $0.mechanism.kind == tunnel.mechanism }) else { break }
                let isOfAnother = offers[place].isOfAnother(tunnel)
                if !isOfAnother, try await attach(wanted, end, tunnel, answer) {
                    forgetNumbers(of: wanted.id, but: tunnel.mechanism)
                    return answer
                }
                // The other host's choice, or our port, is in use here, or our key is not for that end.
                offers[place] = try another(than: offers[place], wanted.id, withNewKey: isOfAnother)
            } catch {
                if isNew { try? await calls.close(answer, timeout: component.requestTimeout) }
                throw error
            }
            request.connection.path = answer.path
            request.connection.mechanism = answer.mechanism
        }
        throw NSMError(.local, "no VXLAN identifier, or port, was found that is free on both hosts")
    }

    /// Proposes another number, or another key.
    private func another(than offer: Offer, _ id: String, withNewKey: Bool) throws(NSMError) -> Offer {
        guard let identity = offer.identity else {
            let vni = vnis.withLock { vnis in
                vnis.release(id)
                return vnis.allocate(for: id)
            }
            return Offer(
                mechanism: TunnelMechanism(
                    source: offer.mechanism.source, port: offer.mechanism.sourcePort, vni: vni))
        }
        let other = try withNewKey ? newIdentity(id) : atAnotherPort(identity, id)
        return Offer(
            mechanism: TunnelMechanism(source: offer.mechanism.source, other), identity: other,
            peer: withNewKey ? nil : offer.peer)
    }

    /// Makes the client's end; false when the tunnel's identifier, or port, is in use on this host.
    private func attach(
        _ wanted: NSMConnection, _ end: ConnectionEnd, _ tunnel: Tunnel, _ answer: NSMConnection
    ) async throws -> Bool {
        let id = wanted.id
        if case .vxlan(let vni) = tunnel.kind {
            guard vnis.withLock({ $0.allocate(for: id, proposed: vni) }) == vni else { return false }
        }
        var leg = RemoteLeg(id: id, end: end, tunnel: tunnel)
        try leg.configure(from: answer.context.made(for: wanted), as: .client, payload: answer.payload)
        try rights.fit(&leg.end)
        do {
            try await forwarder.apply(leg, isKnown: isKnown)
            return true
        } catch {
            guard tunnel.isTaken(error) else { throw error }
            noteTaken(tunnel)
            return false
        }
    }

    /// The tunnel that another manager answers with, seen from here.
    private func tunnel(
        _ mechanism: NSMMechanism, _ offers: [Offer], _ remote: RemoteSettings, _ info: ConnectionInfo
    ) throws(NSMError) -> Tunnel {
        guard let answer = TunnelMechanism(mechanism), let destination = answer.destination,
            let offer = offers.first(where: { $0.mechanism.kind == answer.kind }),
            answer.source == remote.tunnelAddress
        else { throw NSMError(.protocolViolation, "the other host's answer names no tunnel of ours") }
        guard rights.mayTunnel(to: destination, of: info.address.flatMap { IPAddress($0) }) else {
            throw NSMError(
                .forbidden,
                "the manager at \(info.address ?? "?") has its tunnels at \(destination); --tunnel-from allows that")
        }
        switch answer.details {
        case .vxlan(let vni):
            guard let vni else { throw NSMError(.protocolViolation, "the other host's answer has no VNI") }
            return Tunnel(
                vni: vni, local: remote.tunnelAddress, remote: destination,
                port: answer.destinationPort ?? remote.tunnelPort)
        case .wireGuard(let source, let peer):
            guard let identity = offer.identity, source == identity.publicKey, let peer, peer != source,
                let port = answer.destinationPort, port > 0
            else {
                throw NSMError(.protocolViolation, "the other host's answer lacks a key, or the port, of WireGuard")
            }
            return Tunnel(
                WireGuardEnd(own: identity, peer: peer), local: remote.tunnelAddress, remote: destination, port: port)
        }
    }
}
