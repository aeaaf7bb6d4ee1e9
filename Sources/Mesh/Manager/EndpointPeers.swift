internal import Concurrency
internal import MeshTransport
internal import Logging
internal import NSM
internal import Synchronization

/// The transport connections to endpoints and to managers of other hosts, and the watch over those in use.
final class EndpointPeers: Sendable {
    /// An endpoint, or a manager, that is called.
    final class Peer: Sendable {
        let place: Place
        let connector: PeerConnector
        /// Where requests stand in line.
        let gate = Gate(Gate.requests)
        /// Keeps the socket that the connector dials.
        let socket: Descriptor?
        /// The namespaces that it sent, for as long as it is there: held longer, they would outlive its pod.
        private let spaces = Mutex<[Inode: Descriptor]>([:])
        fileprivate let task = Mutex<Task<Void, Never>?>(nil)
        fileprivate let watch = Mutex<Task<Void, Never>?>(nil)
        /// Whether the last stream of its reports had begun.
        fileprivate let hasStream = Mutex(false)

        init(_ place: Place, _ connector: PeerConnector, _ socket: Descriptor?) {
            self.place = place
            self.connector = connector
            self.socket = socket
        }

        func keep(_ space: Descriptor) { spaces.withLock { $0[space.inode] = space } }

        /// A namespace that it sent; nil when it was gone since.
        func space(_ url: String) -> Descriptor? {
            guard let inode = Inode(url: url) else { return nil }
            return spaces.withLock { $0[inode] }
        }

        /// Whether its process has ended.
        var hasEnded: Bool { !connector.isConnected && connector.address.isAbandoned }

        fileprivate func forgetSpaces() { spaces.withLock { $0 = [:] } }

        fileprivate func end() {
            forgetSpaces()
            watch.withLock { $0 }?.cancel()
            task.withLock { $0 }?.cancel()
        }
    }

    private let component: Component
    private let peers = Mutex<[Place: Peer]>([:])
    /// How many connections there are of a place, and requests that ask it.
    private let uses = Mutex<[Place: Int]>([:])
    /// Managers of other hosts that nobody uses any more, the longest unused first, and those that are never forgotten.
    private let idle = Mutex<(places: [Place], kept: Set<Place>)>(([], []))
    /// How many managers of other hosts are kept that nobody uses. Registries and etcd may name any number of addresses.
    static let mostIdle = 256
    /// What happens to endpoints and other managers.
    enum Event: Sendable {
        /// One reports of its connections.
        case reported(NSMConnectionEvent)
        /// The stream of its reports broke. That says nothing of the connections; the next one begins with a list, or there is
        /// none.
        case interrupted
        /// All its connections, after an interruption.
        case listed(NSMConnectionEvent)
        /// Nothing is heard of it any more.
        case silent
        /// Its process has ended and was not followed by another one.
        case ended
    }
    private let report: @Sendable (Peer, Event) -> Void
    /// How long an endpoint may take to be started again before its clients go to others. Until then its connections
    /// stay, and their traffic flows.
    private static let restart = Duration.seconds(2)

    init(component: Component, report: @escaping @Sendable (Peer, Event) -> Void) {
        self.component = component
        self.report = report
    }

    /// The peer to ask for a registered endpoint. A new socket under the old name is a new peer.
    func peer(_ entry: RegistryStore.Entry) throws(NSMError) -> Peer {
        if let host = entry.host { return peer(.host(host), host, nil) }
        if let socket = entry.socket {
            return peer(entry.place, .unix(socket.path), socket, admission: Self.admission(entry.registrant))
        }
        guard let address = SocketAddress(url: entry.endpoint.url) else {
            throw NSMError(.unreachable, "the endpoint \(entry.endpoint.name) has no address")
        }
        return peer(entry.place, address, nil)
    }

    /// An untrusted peer may have another process listen for it only if both have the same user.
    private static func admission(_ registrant: Caller?) -> Admission {
        { listener in
            guard let registrant, !registrant.isTrusted, listener?.uid != registrant.credentials?.uid else {
                return nil
            }
            return
                "a process of user \(listener.map { "\($0.uid)" } ?? "?") listens there, and \(registrant.identity) registered it"
        }
    }

    /// How many peers there are.
    var count: Int { peers.withLock(\.count) }

    /// The transport connection to the manager, or the registry, at an address that the operator named.
    func connector(_ address: SocketAddress) -> PeerConnector {
        idle.withLock { _ = $0.kept.insert(.host(address)) }
        return peer(.host(address), address, nil).connector
    }

    /// The manager of another host.
    func host(_ address: SocketAddress) -> Peer { peer(.host(address), address, nil) }

    private func peer(
        _ place: Place, _ address: SocketAddress, _ socket: Descriptor?, admission: @escaping Admission = { _ in nil }
    ) -> Peer {
        let (peer, old) = peers.withLock { peers -> (Peer, Peer?) in
            let old = peers[place]
            if let old, old.connector.address == address { return (old, nil) }
            let peer = Peer(
                place,
                PeerConnector(
                    address, component: component, takesDescriptors: true, admission: admission), socket)
            peers[place] = peer
            return (peer, old)
        }
        old?.end()
        peer.task.withLock { task in
            if task == nil { task = Task { await peer.connector.run() } }
        }
        return peer
    }

    /// Notes that a connection is had of a place, or that it is asked for one.
    func use(_ place: Place) { uses.withLock { $0[place, default: 0] += 1 } }

    /// Ends a use. After the last one `unused` is called, before anybody uses the place again.
    func leave(_ place: Place, unused: () -> Void) {
        uses.withLock { uses in
            let left = uses[place, default: 1] - 1
            uses[place] = left > 0 ? left : nil
            guard left <= 0 else { return }
            unused()
            guard case .host = place else { return }
            for old in rest(place) where uses[old] == nil { remove(old) }
        }
    }

    /// Notes that a manager of another host is not used any more. Returns those that have rested for longest.
    private func rest(_ place: Place) -> [Place] {
        idle.withLock { idle in
            if idle.kept.contains(place) { return [] }
            idle.places.removeAll { $0 == place }
            idle.places.append(place)
            let surplus = max(0, idle.places.count - Self.mostIdle)
            defer { idle.places.removeFirst(surplus) }
            return Array(idle.places.prefix(surplus))
        }
    }

    /// Calls `body` with the places in use. No use begins or ends meanwhile.
    func withUsed(_ body: (Set<Place>) -> Void) { uses.withLock { uses in body(Set(uses.keys)) } }

    func remove(_ place: Place) {
        let peer = peers.withLock { $0.removeValue(forKey: place) }
        peer?.end()
    }

    func end() {
        let all = peers.withLock { peers in
            defer { peers = [:] }
            return Array(peers.values)
        }
        for peer in all { peer.end() }
    }

    /// Watches the connections that we have of a peer, until it ends.
    func watch(_ peer: Peer) {
        peer.watch.withLock { watch in
            guard watch == nil else { return }
            watch = Task { [component, report] in
                var isFirst = true
                var backoff = Backoff()
                while await Self.follow(peer, component, isFirst: isFirst, report), !Task.isCancelled {
                    isFirst = false
                    report(peer, .interrupted)
                    // One that ends each stream at once is not asked in a hot loop.
                    guard (try? await Task.sleep(for: backoff.wait())) != nil else { break }
                }
                // A Close to the peer carries the namespace that the peer sent only while the peer is watched.
                peer.forgetSpaces()
                if !Task.isCancelled { report(peer, .silent) }
                let isOver = await Self.hasEnded(peer)
                peer.watch.withLock { $0 = nil }
                if isOver { report(peer, .ended) }
            }
        }
    }

    /// How long to look for a peer whose stream broke before its clients get a notice.
    private static let secondLook = Duration.milliseconds(500)

    /// Watches by one stream until that ends. Returns whether it had begun.
    private static func follow(
        _ peer: Peer, _ component: Component, isFirst: Bool, _ report: @escaping @Sendable (Peer, Event) -> Void
    ) async -> Bool {
        peer.hasStream.withLock { $0 = false }
        do {
            if !isFirst, peer.hasEnded { return false }
            let limit = isFirst ? component.dialTimeout : min(component.dialTimeout, secondLook)
            let connection = try await peer.connector.connection(within: limit)
            var selector = NSMMonitorScopeSelector()
            // Another manager has connections of others, too.
            if case .host = peer.place { selector.pathSegments = [.with { $0.name = component.name }] }
            try await Calls(connection, component: component).monitor(selector) { event in
                peer.hasStream.withLock { $0 = true }
                // The first one, too: it holds what was said before the watch began.
                let isList = event.type == .initialStateTransfer && !isFirst
                report(peer, isList ? .listed(event) : .reported(event))
                return true
            }
        } catch {
            component.logger.debug("a monitor ended", metadata: ["at": "\(peer.place)"])
        }
        return peer.hasStream.withLock { $0 }
    }

    /// Whether an endpoint's socket is abandoned and stays so for some time.
    private static func hasEnded(_ peer: Peer) async -> Bool {
        let end = ContinuousClock.now + restart
        repeat {
            // First of all, as a process that ends closes its connections before it closes the socket.
            let wait = max(min(.milliseconds(200), end - .now), .zero)
            guard (try? await Task.sleep(for: wait)) != nil else { return false }
            guard peer.connector.address.isAbandoned else { return false }
        } while ContinuousClock.now < end
        return true
    }
}
