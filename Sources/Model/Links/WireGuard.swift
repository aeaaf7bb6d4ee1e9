public import NetworkTypes

/// A WireGuard interface. Source: wg(8).
public struct WireGuardSpec: CheckedLinkSpec {
    /// `WIREGUARD`
    public static let word = "WIREGUARD"
    /// What fits 1500 bytes over IPv6.
    public static let defaultMTU: UInt32? = 1420
    static let block: LinkBlock? = LinkBlock("wireguard") { if case .wireguard = $0 { true } else { false } }

    /// The most peers of an interface.
    public static let mostPeers = 10_000
    /// The most networks behind a peer.
    public static let mostAllowedIPs = 1024

    private static let portRange = FieldFindings.range(of: "listen_port", in: "WireguardLink")

    /// The file with the private key; nil: somebody else sets the key.
    public let privateKeyFile: String?
    /// The UDP port it listens to; nil: the kernel's choice.
    public let listenPort: UInt16?
    /// The firewall mark of what it sends; 0: none.
    public let firewallMark: UInt32
    /// The other ends.
    public let peers: [Peer]

    /// Another end.
    public struct Peer: Hashable, Sendable {
        /// Its public key.
        public let key: WireGuardKey
        /// The file with the key that both share; nil: there is none.
        public let presharedKeyFile: String?
        /// Where it is; nil: it calls.
        public let endpoint: Endpoint?
        /// The networks behind it, without host bits.
        public let allowedIPs: [IPPrefix]
        /// Seconds between two packets that keep the way to it open; 0: none.
        public let keepalive: UInt16
    }

    /// Where another end is.
    public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
        /// At an address.
        case address(IPEndpoint)
        /// At the addresses that a name stands for.
        case name(String, port: UInt16)

        /// `192.0.2.1:51820`, `vpn.example:51820`
        public var description: String {
            switch self {
            case .address(let endpoint): "\(endpoint)"
            case .name(let name, let port): "\(name):\(port)"
            }
        }
    }

    var noMAC: String? { "a WireGuard interface has no MAC address" }

    init(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings) {
        let wireguard = message.wireguard
        privateKeyFile = findings.keyFile(wireguard.privateKeyFile, ["wireguard", "private_key_file"])
        findings.check(wireguard.listenPort, Self.portRange, ["wireguard", "listen_port"])
        listenPort = wireguard.listenPort == 0 ? nil : UInt16(truncatingIfNeeded: wireguard.listenPort)
        firewallMark = wireguard.fwmark
        peers = findings.peers(wireguard.peers, ["wireguard", "peers"])
    }
}

extension FieldFindings {
    private static let keepalives = range(of: "persistent_keepalive", in: "WireguardPeer")

    /// The path of a file with a key. What may be a key itself is not repeated.
    fileprivate mutating func keyFile(_ text: String, _ path: @autoclosure () -> [PathPart]) -> String? {
        if text.isEmpty { return nil }
        // One key in 64 begins with a slash.
        if !text.hasPrefix("/") || SecretText.isIn(text) {
            mistake(path(), "has to be the absolute path of a file; a key itself has no place here")
            return nil
        } else if text.hasControlCharacter || text.utf8.count > 4095 {
            mistake(path(), "is not the path of a file")
        }
        return text
    }

    fileprivate mutating func peers(
        _ messages: [Ligato_Linux_Interfaces_WireguardPeer], _ path: [PathPart]
    ) -> [WireGuardSpec.Peer] {
        if messages.count > WireGuardSpec.mostPeers {
            mistake(path, "are \(messages.count); \(WireGuardSpec.mostPeers) are possible")
            return []
        }
        var peers: [WireGuardSpec.Peer] = []
        peers.reserveCapacity(messages.count)
        var keys: Set<WireGuardKey> = []
        var owners: [IPPrefix: Int] = [:]
        for (index, message) in messages.enumerated() {
            let path = path + [.element(index)]
            let networks = allowedIPs(message, index, path, &owners)
            check(message.persistentKeepalive, Self.keepalives, path + ["persistent_keepalive"])
            let file = keyFile(message.presharedKeyFile, path + ["preshared_key_file"])
            let endpoint = endpoint(message.endpoint, path + ["endpoint"])
            guard let key = peerKey(message.publicKey, path + ["public_key"], &keys) else { continue }
            peers.append(
                WireGuardSpec.Peer(
                    key: key, presharedKeyFile: file, endpoint: endpoint, allowedIPs: networks,
                    keepalive: UInt16(truncatingIfNeeded: message.persistentKeepalive)))
        }
        return peers
    }

    private mutating func peerKey(
        _ text: String, _ path: [PathPart], _ keys: inout Set<WireGuardKey>
    ) -> WireGuardKey? {
        if text.isEmpty {
            mistake(path, "is missing")
            return nil
        }
        guard let key = WireGuardKey(text), !key.isZero else {
            malformed(path, value: text, "is not a public key, 44 characters of base64 as `wg pubkey` writes them")
            return nil
        }
        if !keys.insert(key).inserted { mistake(path, value: text, "is there twice") }
        return key
    }

    private mutating func allowedIPs(
        _ message: Ligato_Linux_Interfaces_WireguardPeer, _ peer: Int, _ path: [PathPart],
        _ owners: inout [IPPrefix: Int]
    ) -> [IPPrefix] {
        let path = path + ["allowed_ips"]
        if message.allowedIps.count > WireGuardSpec.mostAllowedIPs {
            mistake(path, "are \(message.allowedIps.count); \(WireGuardSpec.mostAllowedIPs) are possible")
            return []
        }
        var networks: [IPPrefix] = []
        for (index, text) in message.allowedIps.enumerated() {
            if text.isEmpty { malformed(path + [.element(index)], value: text, "is empty") }
            guard let network = prefix(text, path + [.element(index)])?.network else { continue }
            if let other = owners.updateValue(peer, forKey: network) {
                let place = other == peer ? "is there twice" : "is behind peer \(other) of the list already"
                mistake(path + [.element(index)], value: text, place)
            }
            networks.append(network)
        }
        return networks.sorted()
    }

    private mutating func endpoint(_ text: String, _ path: @autoclosure () -> [PathPart]) -> WireGuardSpec.Endpoint? {
        if text.isEmpty { return nil }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            malformed(
                path(), value: text, "is not ADDRESS:PORT, [ADDRESS]:PORT or NAME:PORT, such as 192.0.2.1:51820")
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        if let address = IPAddress(host) {
            if address.family == .v6, host.startIndex == text.startIndex {
                malformed(path(), value: text, "needs brackets around its IPv6 address")
            } else if address.isUnspecified || address.isMulticast || address.family == .v6 && address.isLinkLocal {
                malformed(path(), value: text, "is not the address of one host")
            }
            return .address(IPEndpoint(address, port: port))
        }
        guard host.startIndex == text.startIndex, host.isHostName else {
            malformed(path(), value: text, "has neither an address nor a host name before its port")
            return nil
        }
        return .name(String(host), port: port)
    }
}

extension Substring {
    /// Whether it can be a host name. Source: RFC 1123, section 2.1.
    fileprivate var isHostName: Bool {
        let labels = utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isDotted = labels.last?.isEmpty == true && labels.count > 1
        return utf8.count <= 253
            && (isDotted ? labels.dropLast() : labels[...]).allSatisfy { label in
                (1...63).contains(label.count) && label.first != UInt8(ascii: "-")
                    && label.allSatisfy { byte in
                        switch byte {
                        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                            true
                        default: false
                        }
                    }
            }
            // All digits and dots: an address that is none.
            && !utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || $0 == UInt8(ascii: ".") }
    }
}
