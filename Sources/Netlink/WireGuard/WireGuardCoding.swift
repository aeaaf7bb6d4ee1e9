import CLinux
import Glibc
import NetworkTypes

/// A change of a WireGuard link on its way to the kernel: one message, or several where it is long.
struct WireGuardEncoder {
    /// Bytes of one message, as those of wg(8): a page.
    static let limit = 4096
    /// Bytes that a peer takes at most, without its networks.
    private static let peerBytes = 4 + 36 + 36 + 8 + 32 + 8 + 4
    /// Bytes that a network of IPv6 takes, 12 more than one of IPv4.
    private static let networkBytes = 4 + 8 + 20 + 8

    let change: WireGuardChange
    let index: Int32
    let family: UInt16
    /// The next peer.
    private var peer = 0
    /// How many networks of it were sent.
    private var network = 0
    private var isFirst = true

    init(_ change: WireGuardChange, of index: Int32, family: UInt16) {
        (self.change, self.index, self.family) = (change, index, family)
    }

    /// Writes the next message into `limit` bytes; nil: all of it was written.
    mutating func next(at memory: UnsafeMutableRawPointer) -> MessageWriter? {
        guard isFirst || peer < change.peers.count else { return nil }
        // What is between attributes would otherwise be what was in the memory before.
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.limit)
        let writer = MessageWriter(at: memory, type: family, flags: NLM_F_ACK)
        writer.putStruct(genlmsghdr.self) { header in
            header.cmd = UInt8(truncatingIfNeeded: WG_CMD_SET_DEVICE.rawValue)
            header.version = UInt8(truncatingIfNeeded: WG_GENL_VERSION)
        }
        writer.put(WGDEVICE_A_IFINDEX.rawValue, i32: index)
        if isFirst {
            change.privateKey?.withBytes { writer.put(WGDEVICE_A_PRIVATE_KEY.rawValue, $0) }
            if let port = change.listenPort { writer.put(WGDEVICE_A_LISTEN_PORT.rawValue, u16: port) }
            if let mark = change.firewallMark { writer.put(WGDEVICE_A_FWMARK.rawValue, u32: mark) }
        }
        isFirst = false
        if peer < change.peers.count { putPeers(writer) }
        return writer
    }

    private mutating func putPeers(_ writer: MessageWriter) {
        var (peer, network) = (self.peer, self.network)
        writer.nest(WGDEVICE_A_PEERS.rawValue) {
            while peer < change.peers.count, Self.limit - writer.count >= Self.peerBytes + Self.networkBytes {
                writer.nest(0) { put(change.peers[peer], &network, writer) }
                guard network == change.peers[peer].allowedIPs?.count ?? 0 else { return }
                (peer, network) = (peer + 1, 0)
            }
        }
        (self.peer, self.network) = (peer, network)
    }

    /// What is first said of a peer is all but networks that did not fit, which follow in the next message.
    private func put(_ part: WireGuardChange.Peer, _ network: inout Int, _ writer: MessageWriter) {
        part.key.withBytes { writer.put(WGPEER_A_PUBLIC_KEY.rawValue, $0) }
        var flags: UInt32 = 0
        switch part.verb {
        case .put: break
        case .change: flags |= WGPEER_F_UPDATE_ONLY.rawValue
        case .remove: flags |= WGPEER_F_REMOVE_ME.rawValue
        }
        if network == 0 {
            if part.allowedIPs != nil { flags |= WGPEER_F_REPLACE_ALLOWEDIPS.rawValue }
            part.presharedKey?.withBytes { writer.put(WGPEER_A_PRESHARED_KEY.rawValue, $0) }
            part.endpoint?.withSocketAddress { writer.put(WGPEER_A_ENDPOINT.rawValue, $0) }
            if let keepalive = part.keepalive {
                writer.put(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL.rawValue, u16: keepalive)
            }
        }
        if flags != 0 { writer.put(WGPEER_A_FLAGS.rawValue, u32: flags) }
        guard let networks = part.allowedIPs, network < networks.count else { return }
        writer.nest(WGPEER_A_ALLOWEDIPS.rawValue) {
            while network < networks.count {
                let prefix = networks[network]
                let bytes = prefix.family == .v4 ? Self.networkBytes - 12 : Self.networkBytes
                guard Self.limit - writer.count >= bytes else { return }
                writer.nest(0) {
                    writer.put(WGALLOWEDIP_A_FAMILY.rawValue, u16: UInt16(prefix.family.rawValue))
                    writer.put(WGALLOWEDIP_A_IPADDR.rawValue, prefix.address)
                    writer.put(WGALLOWEDIP_A_CIDR_MASK.rawValue, u8: prefix.length)
                }
                network += 1
            }
        }
    }
}

extension WireGuardDevice {
    /// Takes in what follows the header of a message of `WG_CMD_GET_DEVICE`. A device may come in several: a peer whose networks
    /// did not fit is named once more in the next one.
    mutating func takeIn(_ payload: UnsafeRawBufferPointer) {
        for attribute in AttributeReader(payload.after(MemoryLayout<genlmsghdr>.size)) {
            let value = attribute.payload
            switch UInt32(attribute.type) {
            case WGDEVICE_A_PRIVATE_KEY.rawValue: privateKey = WireGuardSecret(value).flatMap { $0.isZero ? nil : $0 }
            case WGDEVICE_A_PUBLIC_KEY.rawValue: publicKey = WireGuardKey(value).flatMap { $0.isZero ? nil : $0 }
            case WGDEVICE_A_LISTEN_PORT.rawValue: listenPort = value.u16
            case WGDEVICE_A_FWMARK.rawValue: firewallMark = value.u32
            case WGDEVICE_A_PEERS.rawValue: for peer in AttributeReader(value) { takeIn(peer: peer.payload) }
            default: break
            }
        }
    }

    private mutating func takeIn(peer payload: UnsafeRawBufferPointer) {
        let key = AttributeReader(payload).first { $0.type == Int(WGPEER_A_PUBLIC_KEY.rawValue) }
            .flatMap { WireGuardKey($0.payload) }
        guard let key else { return }
        var peer = peers[key] ?? WireGuardPeer()
        for attribute in AttributeReader(payload) {
            let value = attribute.payload
            switch UInt32(attribute.type) {
            case WGPEER_A_PRESHARED_KEY.rawValue:
                peer.presharedKey = WireGuardSecret(value).flatMap { $0.isZero ? nil : $0 }
            case WGPEER_A_ENDPOINT.rawValue: peer.endpoint = IPEndpoint(socketAddress: value)
            case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL.rawValue: peer.keepalive = value.u16
            case WGPEER_A_LAST_HANDSHAKE_TIME.rawValue:
                // struct __kernel_timespec
                peer.lastHandshake = value.value(as: Int64.self).flatMap { $0 > 0 ? $0 : nil }
            case WGPEER_A_ALLOWEDIPS.rawValue:
                for network in AttributeReader(value) {
                    if let prefix = IPPrefix(allowed: network.payload) { peer.allowedIPs.insert(prefix) }
                }
            default: break
            }
        }
        put(peer, key)
    }
}

extension IPPrefix {
    fileprivate init?(allowed payload: UnsafeRawBufferPointer) {
        var address: IPAddress?
        var length: UInt8 = 0
        for attribute in AttributeReader(payload) {
            switch UInt32(attribute.type) {
            case WGALLOWEDIP_A_IPADDR.rawValue: address = IPAddress(networkOrder: attribute.payload)
            case WGALLOWEDIP_A_CIDR_MASK.rawValue: length = attribute.payload.u8
            default: break
            }
        }
        guard let address else { return nil }
        self.init(address, length: length)
    }
}

extension IPEndpoint {
    /// From a `struct sockaddr_in` or `sockaddr_in6`; nil for anything else.
    init?(socketAddress bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= 8 else { return nil }
        let isV4 = bytes.u16 == UInt16(AF_INET)
        guard isV4 || bytes.u16 == UInt16(AF_INET6) && bytes.count >= 24 else { return nil }
        let range = isV4 ? 4..<8 : 8..<24
        guard let address = IPAddress(networkOrder: UnsafeRawBufferPointer(rebasing: bytes[range])) else { return nil }
        self.init(address, port: UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    }

    /// Calls `body` with a `struct sockaddr_in` of 16 bytes or a `struct sockaddr_in6` of 28.
    func withSocketAddress<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        var bytes = [UInt8](repeating: 0, count: address.family == .v4 ? 16 : 28)
        bytes.withUnsafeMutableBytes { place in
            place.storeBytes(of: UInt16(address.family.rawValue), as: UInt16.self)
            place.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
            let offset = address.family == .v4 ? 4 : 8
            address.withNetworkOrderBytes {
                UnsafeMutableRawBufferPointer(rebasing: place[offset...]).copyBytes(from: $0)
            }
        }
        return bytes.withUnsafeBytes(body)
    }
}
