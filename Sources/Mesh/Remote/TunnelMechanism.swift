internal import NSM
internal import NetworkTypes

/// What the managers of two hosts tell each other of a tunnel: a mechanism of class `REMOTE` and type `VXLAN` or `WIREGUARD`. `src` is
/// the client's host, `dst` the endpoint's.
struct TunnelMechanism: Hashable {
    /// What kinds of tunnels have beside addresses and ports.
    enum Details: Hashable {
        /// In a preference the identifier is the one that must be taken if it is free, as those before are not at the other host.
        case vxlan(vni: UInt32?)
        /// The public keys of both ends.
        case wireGuard(source: WireGuardKey, destination: WireGuardKey?)
    }

    var source: IPAddress
    var sourcePort: UInt16
    var destination: IPAddress?
    var destinationPort: UInt16?
    var details: Details

    /// The UDP port of stock forwarders, which have one for all tunnels.
    private static let wireGuardPort: UInt16 = 51820

    private enum Key {
        static let source = "src_ip"
        static let sourcePort = "src_port"
        static let destination = "dst_ip"
        static let destinationPort = "dst_port"
        static let vni = "vni"
        static let sourceKey = "src_public_key"
        static let destinationKey = "dst_public_key"
    }

    /// Where a VXLAN tunnel starts.
    init(source: IPAddress, port: UInt16, vni: UInt32? = nil) {
        self.source = source
        sourcePort = port
        details = .vxlan(vni: vni)
    }

    /// Where a WireGuard tunnel starts.
    init(source: IPAddress, _ identity: WireGuardIdentity) {
        self.source = source
        sourcePort = identity.port
        details = .wireGuard(source: identity.publicKey, destination: nil)
    }

    /// Reads a mechanism; nil when it is no tunnel that we know, or lacks the address, or the key, of the client's host.
    init?(_ mechanism: NSMMechanism) {
        let parameters = mechanism.parameters
        guard let source = IPAddress(parameters[Key.source] ?? "") else { return nil }
        let usualPort: UInt16
        switch ForwarderMechanism(rawValue: mechanism.type) {
        case .vxlan:
            let vni = parameters[Key.vni].flatMap { UInt32($0) }.flatMap { (1...0xff_ffff).contains($0) ? $0 : nil }
            details = .vxlan(vni: vni)
            usualPort = RemoteSettings.defaultTunnelPort
        case .wireGuard:
            guard let key = Self.key(parameters[Key.sourceKey]) else { return nil }
            details = .wireGuard(source: key, destination: Self.key(parameters[Key.destinationKey]))
            usualPort = Self.wireGuardPort
        case .kernel, nil: return nil
        }
        self.source = source
        sourcePort = Self.port(parameters[Key.sourcePort]) ?? usualPort
        destination = parameters[Key.destination].flatMap { IPAddress($0) }
        destinationPort = Self.port(parameters[Key.destinationPort])
    }

    /// Port 0 is none.
    private static func port(_ text: String?) -> UInt16? { text.flatMap { UInt16($0) }.flatMap { $0 == 0 ? nil : $0 } }

    private static func key(_ text: String?) -> WireGuardKey? {
        text.flatMap { WireGuardKey($0) }.flatMap { $0.isZero ? nil : $0 }
    }

    /// How the tunnel is made.
    var kind: ForwarderMechanism {
        switch details {
        case .vxlan: .vxlan
        case .wireGuard: .wireGuard
        }
    }

    /// The identifier of a VXLAN tunnel; nil: there is none yet, or it is another tunnel.
    var vni: UInt32? { if case .vxlan(let vni) = details { vni } else { nil } }

    /// The public keys of a WireGuard tunnel; nil: it is another one.
    var keys: (source: WireGuardKey, destination: WireGuardKey?)? {
        if case .wireGuard(let source, let destination) = details { (source, destination) } else { nil }
    }

    /// As it travels.
    var mechanism: NSMMechanism {
        var mechanism = NSMMechanism()
        mechanism.cls = WellKnown.remote
        mechanism.type = kind.rawValue
        mechanism.parameters[Key.source] = "\(source)"
        mechanism.parameters[Key.sourcePort] = "\(sourcePort)"
        if let destination { mechanism.parameters[Key.destination] = "\(destination)" }
        if let destinationPort { mechanism.parameters[Key.destinationPort] = "\(destinationPort)" }
        switch details {
        case .vxlan(let vni): if let vni { mechanism.parameters[Key.vni] = "\(vni)" }
        case .wireGuard(let source, let destination):
            mechanism.parameters[Key.sourceKey] = "\(source)"
            if let destination { mechanism.parameters[Key.destinationKey] = "\(destination)" }
        }
        return mechanism
    }
}
