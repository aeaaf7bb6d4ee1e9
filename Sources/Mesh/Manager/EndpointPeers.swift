internal import DescriptorTransport
internal import Logging
internal import NSM
internal import Synchronization

/// The transport connections to endpoints, and the watch over those that serve somebody.
final class EndpointPeers: Sendable {
    /// An endpoint that is called.
    final class Peer: Sendable {
        let name: String
        let connector: PeerConnector
        /// Where requests stand in line.
        let gate = Gate(Gate.requests)
        /// Keeps the socket that the connector dials.
        let socket: Descriptor?
        /// The namespaces that it sent, for as long as it is there: held longer, they would outlive its pod.
        private let spaces = Mutex<[Inode: Descriptor]>([:])
        fileprivate let task = Mutex<Task<Void, Never>?>(nil)
        fileprivate let watch = Mutex<Task<Void, Never>?>(nil)

        init(_ name: String, _ connector: PeerConnector, _ socket: Descriptor?) {
            self.name = name
            self.connector = connector
            self.socket = socket
        }

        func keep(_ space: Descriptor) { spaces.withLock { $0[space.inode] = space } }

        /// A namespace that it sent; nil when it was gone since.
        func space(_ url: String) -> Descriptor? {
            guard let inode = Inode(url: url) else { return nil }
            return spaces.withLock { $0[inode] }
        }

        fileprivate func forgetSpaces() { spaces.withLock { $0 = [:] } }

        fileprivate func end() {
            forgetSpaces()
            watch.withLock { $0 }?.cancel()
            task.withLock { $0 }?.cancel()
        }
    }

    private let component: Component
    private let peers = Mutex<[String: Peer]>([:])
    /// What happens to endpoints.
    enum Event: Sendable {
        /// One reports of its connections.
        case reported(NSMConnectionEvent)
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

    /// The peer of a registered endpoint. A new socket under the old name is a new peer.
    func peer(_ entry: RegistryStore.Entry) throws(NSMError) -> Peer {
        let name = entry.endpoint.name
        let address: SocketAddress
        if let socket = entry.socket {
            address = .unix(socket.path)
        } else if let known = SocketAddress(url: entry.endpoint.url) {
            address = known
        } else {
            throw NSMError(.unreachable, "the endpoint \(name) has no address")
        }
        let (peer, old) = peers.withLock { peers -> (Peer, Peer?) in
            let old = peers[name]
            if let old, old.connector.address == address { return (old, nil) }
            let peer = Peer(name, PeerConnector(address, component: component), entry.socket)
            peers[name] = peer
            return (peer, old)
        }
        old?.end()
        peer.task.withLock { task in
            if task == nil { task = Task { await peer.connector.run() } }
        }
        return peer
    }

    func remove(_ name: String) {
        let peer = peers.withLock { $0.removeValue(forKey: name) }
        peer?.end()
    }

    func end() {
        let all = peers.withLock { peers in
            defer { peers = [:] }
            return Array(peers.values)
        }
        for peer in all { peer.end() }
    }

    /// Watches the connections of an endpoint until it ends.
    func watch(_ peer: Peer) {
        peer.watch.withLock { watch in
            guard watch == nil else { return }
            watch = Task { [component, report] in
                do {
                    let connection = try await peer.connector.connection(within: component.dialTimeout)
                    try await Calls(connection, component: component).monitor(NSMMonitorScopeSelector()) { event in
                        // The first one, too: it holds what was said before the watch began.
                        report(peer, .reported(event))
                        return true
                    }
                } catch {
                    component.logger.debug("an endpoint's monitor ended", metadata: ["endpoint": "\(peer.name)"])
                }
                peer.forgetSpaces()
                if !Task.isCancelled { report(peer, .silent) }
                let isOver = await Self.hasEnded(peer)
                peer.watch.withLock { $0 = nil }
                if isOver { report(peer, .ended) }
            }
        }
    }

    /// Whether an endpoint's socket is abandoned and stays so for some time.
    private static func hasEnded(_ peer: Peer) async -> Bool {
        let end = ContinuousClock.now + restart
        while peer.connector.address.isAbandoned {
            if ContinuousClock.now > end { return true }
            guard (try? await Task.sleep(for: .milliseconds(200))) != nil else { return false }
        }
        return false
    }
}
