internal import Concurrency
internal import MeshTransport
internal import GRPCCore
internal import Logging
internal import NSM
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// How connections end, and what becomes of them when one of their ends is gone.
extension MeshRequests {
    func close(
        request: ServerRequest<NSMConnection>, context: ServerContext
    ) async throws -> ServerResponse<Google_Protobuf_Empty> {
        let call = try IncomingCall(request.metadata)
        var connection = request.message
        // The client's namespace comes along, and is not needed.
        let coming = ComingDescriptor(request.message.mechanism.inodeURL, call.info.descriptors)
        // A client that got no answer closes what it asked for.
        let namespace = ConnectionInfo.isOfOtherHost ? "" : request.message.mechanism.inodeURL
        let hop = try enter(&connection, call, namespace: namespace)
        let closed = connection
        _ = try? await coming?.receive(within: .milliseconds(100))
        try await queue.run(hop.ownID) {
            try self.checkOwner(of: closed, call)
            await self.release(hop.ownID, because: .closed)
        }
        return ServerResponse(message: Google_Protobuf_Empty())
    }

    /// The end of a connection whose token ends then: early enough that the endpoint still takes the tokens of the Close.
    /// They end at whole seconds.
    static func closing(before end: Timestamp) -> Timestamp {
        let left = end.since(.now)
        return end.advanced(by: .zero - min(.seconds(1) + left / 10, .seconds(10)))
    }

    func expire(_ id: String) async {
        try? await queue.run(id) { await self.release(id, because: .expired) }
    }

    /// Tells the other end, and removes the links.
    func release(_ id: String, because reason: ConnectionEndReason) async {
        expiries.set(id, to: nil)
        clientIDs.release(id)
        guard let old = known.withLock({ $0.removeValue(forKey: id) }) else { return }
        defer { leave(old.place) }
        component.logger.info(
            "connection ended",
            metadata: [
                "connection": "\(id)", "service": "\(old.answer.networkService)", "endpoint": "\(old.endpoint)",
                "reason": "\(reason.text)",
            ])
        measures?.noteEnd(reason)
        await tellClosed(old)
        do {
            try await forwarder.remove(id)
        } catch {
            component.logger.error("a connection's links stay", metadata: ["connection": "\(id)", "error": "\(error)"])
        }
        forgetNumbers(of: id)
        monitor.delete(id)
    }

    /// Ends a use of a place. A forwarder gives up the peer that nobody uses, as it is not told when that ends.
    func leave(_ place: Place) {
        peers.leave(place) {
            guard let directory else { return }
            peers.remove(place)
            unconfirmed.withLock { $0[place] = nil }
            if case .endpoint(let name) = place { directory.drop(name) }
        }
    }

    /// Closes a connection at the endpoint, or at its manager.
    func tellClosed(_ old: Known) async {
        let peer: EndpointPeers.Peer
        switch old.place {
        case .host(let address): peer = peers.host(address)
        case .endpoint(let name):
            let entry = store.endpoint(name) ?? directory?.entry(name)
            guard let entry, let known = try? peers.peer(entry), !known.hasEnded else { return }
            peer = known
        }
        do {
            let transport = try await peer.connector.connection(within: component.dialTimeout)
            if let space = peer.space(old.answer.mechanism.inodeURL) { try transport.info.descriptors?.send(space) }
            try await Calls(transport, component: component).close(old.answer, timeout: component.dialTimeout)
        } catch {
            component.logger.info(
                "the other end can't be told of a close", metadata: ["at": "\(old.place)", "error": "\(error)"])
        }
    }

    /// How long an endpoint that unregisters may take to offer the same again, as after a change of its settings.
    private static let reconsideration = Duration.seconds(2)

    /// An endpoint's registration ended. Connections to one that only fell silent stay as long as their clients want them; a
    /// service that is offered no more is not to be used either.
    func endpointGone(_ endpoint: RegistryStore.Gone) {
        let place = Place.endpoint(endpoint.name)
        peers.remove(place)
        // Clients have been told when it fell silent, and that it may come back. Now there is another endpoint for them, or none.
        for id in ids(at: place) { monitor.setDownAgain(id) }
        guard endpoint.isWithdrawn else { return }
        let mine = known.withLock { $0.filter { $0.value.place == place }.map(\.key) }
        if mine.isEmpty { return }
        Task {
            guard (try? await Task.sleep(for: Self.reconsideration)) != nil else { return }
            if store.endpoint(endpoint.name) != nil { return }
            for id in mine {
                try? await queue.run(id) {
                    guard known.withLock({ $0[id]?.place }) == place else { return }
                    await release(id, because: .withdrawn)
                }
            }
        }
    }

    func happened(to peer: EndpointPeers.Peer, _ event: EndpointPeers.Event) {
        switch event {
        case .reported(let event): reported(peer.place, event)
        case .interrupted: unconfirmed.withLock { $0[peer.place] = Set(ids(at: peer.place)) }
        case .listed(let event):
            let missing = unconfirmed.withLock { $0.removeValue(forKey: peer.place) } ?? []
            let listed = Set(event.connections.values.compactMap(ownID))
            for id in missing.subtracting(listed) { monitor.setState(.down, of: id) }
            reported(peer.place, event)
        case .silent:
            unconfirmed.withLock { $0[peer.place] = nil }
            setDown(peer.place)
        case .ended:
            guard case .endpoint(let name) = peer.place else { return }
            // Unless another process has taken its name meanwhile.
            if store.endpoint(name)?.socket === peer.socket { store.remove(name, .ended) }
            if let socket = peer.socket, directory?.forget(name, socket) == true {
                peers.remove(peer.place)
                setDown(peer.place)
            }
            letGo(peer.place)
        }
    }

    /// Tells the clients of a peer that nothing is heard of it.
    private func setDown(_ place: Place) {
        for id in ids(at: place) { monitor.setState(.down, of: id) }
    }

    /// The connections that were had of a peer.
    func ids(at place: Place) -> [String] { known.withLock { $0.filter { $0.value.place == place }.map(\.key) } }

    /// Our id of a connection that another one reports.
    private func ownID(_ reported: NSMConnection) -> String? {
        reported.path.pathSegments.last { $0.name == component.name }?.id
    }

    /// What an endpoint, or another manager, says of connections goes to their clients.
    private func reported(_ place: Place, _ event: NSMConnectionEvent) {
        for reported in event.connections.values {
            guard let own = ownID(reported), known.withLock({ $0[own]?.place }) == place else { continue }
            if event.type == .delete {
                monitor.setState(.down, of: own)
            } else if reported.state == .down || reported.state == .refreshRequested {
                monitor.setState(reported.state, of: own)
            }
        }
    }

    /// Links of connections of an earlier process that no client has requested since. A client with a connection
    /// requests it again before our token in its path expires.
    func removeLeftovers() async {
        guard (try? await Task.sleep(for: component.tokenLifetime + .seconds(10))) != nil else { return }
        let removed = await forwarder.removeLeftovers()
        if !removed.isEmpty {
            component.logger.notice(
                "links of connections that nobody has any more were removed",
                metadata: ["count": .stringConvertible(removed.count)])
        }
    }

    func end() {
        expiries.clear()
        peers.end()
        monitor.finish()
    }
}
