internal import Glibc
internal import Netlink
internal import NetworkTypes

extension Forwarder {
    /// Whether this kernel has WireGuard. The kernel is asked at the first use, as it then loads its module.
    var hasWireGuard: Bool {
        if let knownWireGuard { return knownWireGuard }
        guard let host = try? hostNamespace() else { return false }
        do throws(KernelError) {
            _ = try WireGuardSocket(in: host)
            knownWireGuard = true
            return true
        } catch {
            // What else went wrong, such as too many open files, may be over the next time.
            if error.code == ENOENT { knownWireGuard = false }
            return false
        }
    }

    /// The keys and the port of the WireGuard link that a connection has at this end; nil: it has none, or one that leads
    /// nowhere.
    ///
    /// The kernel tells them, so nothing is written down for the time after a restart.
    func wireGuardEnd(of id: String, _ end: ConnectionEnd) throws(ForwarderError) -> WireGuardEnd? {
        if let known = made[id]?.form.tunnel?.wireGuard { return known }
        defer { forgetSocket(end.namespace) }
        let device = try told("link \(end.name)", end.namespace) { () throws(KernelError) -> WireGuardDevice? in
            guard let link = try socket(end.namespace).link(name: end.name), link.alias == Self.alias(id, .remote),
                link.kind.isOf(WireGuardAttributes.self)
            else { return nil }
            return try WireGuardSocket(in: end.namespace).device(index: link.index)
        }
        guard let device, let key = device.privateKey, device.listenPort > 0, device.peers.count == 1,
            let peer = device.peers.keys.first, let own = WireGuardIdentity(key, port: device.listenPort)
        else { return nil }
        return WireGuardEnd(own: own, peer: peer)
    }

    /// How the tunnel is made that a connection has, or had before a restart; nil: it has none.
    func tunnelMechanism(of id: String, _ end: ConnectionEnd) throws(ForwarderError) -> ForwarderMechanism? {
        if let known = made[id]?.form.tunnel { return known.mechanism }
        defer { forgetSocket(end.namespace) }
        let found = try told("link \(end.name)", end.namespace) { () throws(KernelError) in
            try socket(end.namespace).link(name: end.name)
        }
        guard let link = found, link.alias == Self.alias(id, .remote) else { return nil }
        if link.kind.isOf(WireGuardAttributes.self) { return .wireGuard }
        return link.kind.isOf(VXLANAttributes.self) ? .vxlan : nil
    }
}
