public import NetworkTypes

/// What a WireGuard link has beside what all links have.
public struct WireGuardDevice: Hashable, Sendable {
    /// `WGDEVICE_A_PRIVATE_KEY`; nil: it has none, and no packets pass.
    public var privateKey: WireGuardSecret?
    /// `WGDEVICE_A_PUBLIC_KEY`, which follows from the private one; nil: there is none, or it was not read since.
    public var publicKey: WireGuardKey?
    /// `WGDEVICE_A_LISTEN_PORT`; 0: none as long as the link is down.
    public var listenPort: UInt16 = 0
    /// `WGDEVICE_A_FWMARK`; 0: none.
    public var firewallMark: UInt32 = 0
    /// The other ends.
    public private(set) var peers: [WireGuardKey: WireGuardPeer] = [:]
    /// Behind which of them a network is.
    private var owners: [IPPrefix: WireGuardKey] = [:]

    /// That of a new link.
    public init() {}
}

/// Another end of a WireGuard link.
public struct WireGuardPeer: Hashable, Sendable {
    /// `WGPEER_A_PRESHARED_KEY`; nil: none.
    public var presharedKey: WireGuardSecret?
    /// `WGPEER_A_ENDPOINT`; nil: it has not called yet.
    public var endpoint: IPEndpoint?
    /// `WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL`, seconds; 0: none.
    public var keepalive: UInt16 = 0
    /// `WGPEER_A_ALLOWEDIPS`: the networks behind it.
    public var allowedIPs: Set<IPPrefix> = []
    /// `WGPEER_A_LAST_HANDSHAKE_TIME`, seconds of CLOCK_REALTIME; nil: there was none yet.
    public var lastHandshake: Int64?

    /// One without anything.
    public init() {}
}

/// What is to change of a WireGuard link; nil: it stays.
public struct WireGuardChange: Hashable, Sendable {
    /// Its own key; ``WireGuardSecret/none`` takes it away.
    public var privateKey: WireGuardSecret?
    /// The port it listens to; 0: one of the kernel's choice.
    public var listenPort: UInt16?
    /// The mark of packets that it sends; 0: none.
    public var firewallMark: UInt32?
    /// Peers that come, change or go, in this order.
    public var peers: [Peer] = []

    /// What is to change of a peer; nil: it stays.
    public struct Peer: Hashable, Sendable {
        /// Which one.
        public var key: WireGuardKey
        /// What becomes of it.
        public var verb: Verb
        /// The key that both share; ``WireGuardSecret/none`` takes it away.
        public var presharedKey: WireGuardSecret?
        /// Where it is.
        public var endpoint: IPEndpoint?
        /// Seconds between two packets that keep the way open; 0: none.
        public var keepalive: UInt16?
        /// The networks behind it, all of them. The kernel takes each from the peer that has it.
        public var allowedIPs: [IPPrefix]?

        /// What becomes of a peer.
        public enum Verb: Hashable, Sendable {
            /// It is made, or changed if it is there.
            case put
            /// It is changed if it is there.
            case change
            /// It goes.
            case remove
        }

        /// Changes nothing yet.
        public init(_ key: WireGuardKey, _ verb: Verb) {
            self.key = key
            self.verb = verb
        }
    }

    /// Changes nothing yet.
    public init() {}

    /// Whether nothing is to change.
    public var isEmpty: Bool { privateKey == nil && listenPort == nil && firewallMark == nil && peers.isEmpty }
}

extension WireGuardDevice {
    /// What is there after a change.
    public mutating func apply(_ change: WireGuardChange) {
        if let key = change.privateKey {
            // What the public one is only the kernel says.
            (privateKey, publicKey) = (key.isZero ? nil : key, nil)
        }
        if let port = change.listenPort { listenPort = port }
        if let mark = change.firewallMark { firewallMark = mark }
        for peer in change.peers { apply(peer) }
    }

    private mutating func apply(_ change: WireGuardChange.Peer) {
        if change.verb == .remove {
            for network in peers.removeValue(forKey: change.key)?.allowedIPs ?? [] { owners[network] = nil }
            return
        }
        guard change.verb == .put || peers[change.key] != nil else { return }
        var peer = peers[change.key] ?? WireGuardPeer()
        if let key = change.presharedKey { peer.presharedKey = key.isZero ? nil : key }
        if let endpoint = change.endpoint { peer.endpoint = endpoint }
        if let keepalive = change.keepalive { peer.keepalive = keepalive }
        if let networks = change.allowedIPs {
            for network in peer.allowedIPs { owners[network] = nil }
            peer.allowedIPs = Set(networks)
        }
        put(peer, change.key)
    }

    /// A peer is there. Its networks are behind no other one any more.
    mutating func put(_ peer: WireGuardPeer, _ key: WireGuardKey) {
        for network in peer.allowedIPs {
            if let other = owners.updateValue(key, forKey: network), other != key {
                peers[other]?.allowedIPs.remove(network)
            }
        }
        peers[key] = peer
    }

    /// What leads here from another state; nil: nothing differs. An endpoint that is not known can't be taken away.
    public func change(from old: WireGuardDevice) -> WireGuardChange? {
        var change = WireGuardChange()
        if privateKey != old.privateKey { change.privateKey = privateKey ?? WireGuardSecret.none }
        if listenPort != old.listenPort { change.listenPort = listenPort }
        if firewallMark != old.firewallMark { change.firewallMark = firewallMark }
        for key in old.peers.keys.sorted() where peers[key] == nil {
            change.peers.append(WireGuardChange.Peer(key, .remove))
        }
        for (key, peer) in peers.sorted(by: { $0.key < $1.key }) {
            if let part = peer.change(from: old.peers[key], key) { change.peers.append(part) }
        }
        return change.isEmpty ? nil : change
    }
}

extension WireGuardPeer {
    /// What leads here from another state, nil: from none. Returns nil when nothing differs.
    public func change(from old: WireGuardPeer?, _ key: WireGuardKey) -> WireGuardChange.Peer? {
        var change = WireGuardChange.Peer(key, old == nil ? .put : .change)
        let blank = change
        let before = old ?? WireGuardPeer()
        if presharedKey != before.presharedKey { change.presharedKey = presharedKey ?? WireGuardSecret.none }
        if endpoint != before.endpoint { change.endpoint = endpoint }
        if keepalive != before.keepalive { change.keepalive = keepalive }
        if allowedIPs != before.allowedIPs { change.allowedIPs = allowedIPs.sorted() }
        return old != nil && change == blank ? nil : change
    }
}
