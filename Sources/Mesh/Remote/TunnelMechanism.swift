internal import NSM
internal import NetworkTypes

/// What the managers of two hosts tell each other of a tunnel: a mechanism of class `REMOTE` and type `VXLAN`. `src` is the
/// client's host, `dst` the endpoint's.
struct TunnelMechanism: Hashable {
    var source: IPAddress
    var sourcePort: UInt16
    var destination: IPAddress?
    var destinationPort: UInt16?
    /// In a preference: the one that must be taken if it is free, as those before are not at the other host.
    var vni: UInt32?

    private enum Key {
        static let source = "src_ip"
        static let sourcePort = "src_port"
        static let destination = "dst_ip"
        static let destinationPort = "dst_port"
        static let vni = "vni"
    }

    /// Where a tunnel starts.
    init(source: IPAddress, port: UInt16, vni: UInt32? = nil) {
        self.source = source
        sourcePort = port
        self.vni = vni
    }

    /// Reads a mechanism; nil when it is no VXLAN, or lacks the address of the client's host.
    init?(_ mechanism: NSMMechanism) {
        guard mechanism.type == WellKnown.vxlan, let source = IPAddress(mechanism.parameters[Key.source] ?? "") else {
            return nil
        }
        self.source = source
        sourcePort = mechanism.parameters[Key.sourcePort].flatMap { UInt16($0) } ?? RemoteSettings.defaultTunnelPort
        destination = mechanism.parameters[Key.destination].flatMap { IPAddress($0) }
        destinationPort = mechanism.parameters[Key.destinationPort].flatMap { UInt16($0) }
        vni = mechanism.parameters[Key.vni].flatMap { UInt32($0) }.flatMap { (1...0xff_ffff).contains($0) ? $0 : nil }
    }

    /// As it travels.
    var mechanism: NSMMechanism {
        var mechanism = NSMMechanism()
        mechanism.cls = WellKnown.remote
        mechanism.type = WellKnown.vxlan
        mechanism.parameters[Key.source] = "\(source)"
        mechanism.parameters[Key.sourcePort] = "\(sourcePort)"
        if let destination { mechanism.parameters[Key.destination] = "\(destination)" }
        if let destinationPort { mechanism.parameters[Key.destinationPort] = "\(destinationPort)" }
        if let vni { mechanism.parameters[Key.vni] = "\(vni)" }
        return mechanism
    }
}
