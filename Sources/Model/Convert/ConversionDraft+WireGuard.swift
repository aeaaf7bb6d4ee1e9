internal import NetworkTypes
internal import YAML

/// WireGuard interfaces. Keys that stand in the files themselves are secrets: nothing here repeats them.
extension ConversionDraft {
    private typealias WireGuardMessage = Ligato_Linux_Interfaces_WireguardLink
    private typealias PeerMessage = Ligato_Linux_Interfaces_WireguardPeer

    private static let inlineKey =
        "put it in a file of root's with mode 0600, and name that here; a configuration holds no keys"
    private static let noPublicKey =
        "it is no public key, 44 characters of base64 as `wg pubkey` writes them; the peer is left out"

    /// Whether a text is the path of a file. Base64 has slashes, too.
    private static func isKeyFile(_ text: String) -> Bool { text.hasPrefix("/") && WireGuardKey(text) == nil }

    /// The path that stands where a key may stand, too; nil, and listed, when it is a key.
    private mutating func keyFile(_ node: Node?) -> String? {
        guard let node, let text = text(node) else { return nil }
        if Self.isKeyFile(text) { return text }
        leave(node, Self.inlineKey)
        return nil
    }

    /// The path of a unit's key file; nil, and listed, when the key itself is there.
    private mutating func keyFile(_ name: String, _ unit: inout UnitFile, _ section: Int) -> String? {
        // A key is passed over where a file is, too.
        let (file, key) = (unit.entry(name + "File", section), unit.entry(name, section))
        if let file, Self.isKeyFile(file.value) { return file.value }
        if let entry = file ?? key { leave(entry, unit.sections[section].name, Self.inlineKey) }
        return nil
    }

    /// A network behind a peer: an address alone is one, too.
    private static func network(_ text: String) -> String? {
        if IPPrefix(text) != nil { return text }
        return IPAddress(text).map { IPPrefix(host: $0).description }
    }

    private static func isPublicKey(_ text: String) -> Bool { WireGuardKey(text).map { !$0.isZero } ?? false }

    // MARK: - Netplan

    mutating func readNetplanWireGuard(_ device: Node, _ index: Int) {
        var link = WireGuardMessage()
        link.listenPort = number("port", in: device) ?? 0
        link.fwmark = number("mark", in: device) ?? 0
        if let key = take("key", "keys", in: device) {
            let isMapping = tree.kind(of: key) == .mapping
            link.privateKeyFile = keyFile(isMapping ? take("private", in: key) : key) ?? ""
        }
        for node in mappings(take("peers", in: device)) {
            let keys = take("keys", in: node)
            let publicKey = keys.flatMap { take("public", in: $0) }
            let sharedKey = keys.flatMap { take("shared", in: $0) }
            var peer = yamlPeer(node, endpoint: "endpoint", networks: "allowed-ips", keepalive: "keepalive")
            peer.presharedKeyFile = keyFile(sharedKey) ?? ""
            add(peer, key: text(publicKey), publicKey ?? node, to: &link)
        }
        interfaces[index].type = .wireguard
        interfaces[index].wireguard = link
    }

    // MARK: - IfState

    mutating func readIfStateWireGuard(_ block: Node, _ index: Int) {
        var link = WireGuardMessage()
        link.listenPort = number("listen_port", in: block) ?? 0
        link.fwmark = number("fwmark", in: block) ?? 0
        link.privateKeyFile = keyFile(take("private_key", in: block)) ?? ""
        guard let peers = take("peers", in: block) else {
            interfaces[index].wireguard = link
            return
        }
        // Version 2 has them by their public keys.
        if tree.kind(of: peers) == .mapping {
            for (name, key, node) in pairs(peers) {
                let peer = ifstatePeer(node)
                add(peer, key: name, key, to: &link)
            }
        } else {
            for node in mappings(peers) {
                let key = take("public_key", in: node)
                let peer = ifstatePeer(node)
                add(peer, key: text(key), key ?? node, to: &link)
            }
        }
        interfaces[index].wireguard = link
    }

    private mutating func ifstatePeer(_ node: Node) -> PeerMessage {
        var peer = yamlPeer(
            node, endpoint: "endpoint", networks: "allowedips", keepalive: "persistent_keepalive_interval")
        peer.presharedKeyFile = keyFile(take("preshared_key", in: node)) ?? ""
        return peer
    }

    // MARK: - Peers

    /// What a peer is without its keys.
    private mutating func yamlPeer(
        _ node: Node, endpoint: String, networks: String, keepalive: String
    ) -> PeerMessage {
        var peer = PeerMessage()
        peer.endpoint = text(endpoint, in: node) ?? ""
        peer.persistentKeepalive = number(keepalive, in: node) ?? 0
        for element in elements(take(networks, in: node)) {
            guard let text = text(element) else { continue }
            if let network = Self.network(text.trimmed) {
                peer.allowedIps.append(network)
            } else {
                leave(element, "\(text.inQuotes) is not a network")
            }
        }
        return peer
    }

    private mutating func add(
        _ peer: PeerMessage, key: String?, _ node: Node, to link: inout WireGuardMessage
    ) {
        guard let key, Self.isPublicKey(key) else { return leave(node, Self.noPublicKey) }
        var peer = peer
        peer.publicKey = key
        link.peers.append(peer)
    }

    // MARK: - systemd-networkd

    mutating func readWireGuard(_ unit: inout UnitFile, _ index: Int) {
        var link = WireGuardMessage()
        for section in unit.take("WireGuard") {
            link.privateKeyFile = keyFile("PrivateKey", &unit, section) ?? ""
            if let entry = unit.entry("ListenPort", section), entry.value != "auto" {
                link.listenPort = number(entry) ?? 0
            }
            link.fwmark = number(unit.entry("FirewallMark", section)) ?? 0
            leaveRoutes(&unit, section)
        }
        for section in unit.take("WireGuardPeer") {
            if let peer = readPeer(&unit, section) { link.peers.append(peer) }
        }
        interfaces[index].type = .wireguard
        interfaces[index].wireguard = link
    }

    private mutating func readPeer(_ unit: inout UnitFile, _ section: Int) -> PeerMessage? {
        var peer = PeerMessage()
        let key = unit.entry("PublicKey", section)
        peer.presharedKeyFile = keyFile("PresharedKey", &unit, section) ?? ""
        peer.endpoint = unit.entry("Endpoint", section)?.value ?? ""
        if let entry = unit.entry("PersistentKeepalive", section), Words.flag(entry.value) != false {
            peer.persistentKeepalive = number(entry) ?? 0
        }
        for entry in unit.entries("AllowedIPs", section) {
            for text in entry.value.split(separator: ",").map(\.trimmed) {
                if let network = Self.network(text) {
                    peer.allowedIps.append(network)
                } else {
                    leave(entry, "WireGuardPeer", "\(text.inQuotes) is not a network")
                }
            }
        }
        leaveRoutes(&unit, section)
        guard let key, Self.isPublicKey(key.value) else {
            leave(key?.place ?? unit.sections[section].place, "[WireGuardPeer] PublicKey", Self.noPublicKey)
            return nil
        }
        peer.publicKey = key.value
        return peer
    }

    /// Routes to the networks behind peers, which networkd makes when it is asked to.
    private mutating func leaveRoutes(_ unit: inout UnitFile, _ section: Int) {
        guard let entry = unit.entry("RouteTable", section), Words.flag(entry.value) != false else { return }
        leave(entry, unit.sections[section].name, "declare the routes to the networks behind the peers")
    }
}
