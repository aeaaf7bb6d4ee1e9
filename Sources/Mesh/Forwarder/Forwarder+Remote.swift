internal import Glibc
internal import Netlink
public import NetworkTypes

extension Forwarder {
    /// Makes the end of a connection to another host, or brings one up to date. What is as it should be is left alone.
    ///
    /// The interface is made straight in its namespace; the tunnel goes through the network of the host.
    ///
    /// - Throws: ``ForwarderError``; code `EEXIST` when the tunnel's VNI is in use on this host, `EADDRINUSE` when its port is. A new
    ///   connection then leaves nothing behind, and one that was there stays as it was.
    public func apply(
        _ leg: RemoteLeg, isKnown: @Sendable (String) -> Bool = { _ in true }
    ) throws(ForwarderError) {
        guard leg.tunnel.local.family == leg.tunnel.remote.family else {
            throw ForwarderError("tunnel to \(leg.tunnel.remote)", "both hosts need addresses of one family")
        }
        if leg.tunnel.wireGuard != nil, !hasWireGuard {
            throw ForwarderError("tunnel to \(leg.tunnel.remote)", "this kernel has no WireGuard")
        }
        let most = try tunnelMTU(from: leg.tunnel.local, by: leg.tunnel.mechanism)
        try make(Attachment(leg, mtu: min(leg.mtu ?? most, most)), isKnown)
    }

    /// The most that an interface can carry whose tunnel starts at this address of the host. Unit: bytes.
    ///
    /// - Throws: ``ForwarderError`` when the host does not have the address.
    public func tunnelMTU(
        from local: IPAddress, by mechanism: ForwarderMechanism = .vxlan
    ) throws(ForwarderError) -> UInt32 {
        let overhead = mechanism.overhead(local.family)
        let host = try hostNamespace()
        return try told("address \(local)", host) { () throws(KernelError) in
            for case .address(let address) in try socket(host).dump(.addresses) where address.local.address == local {
                guard let link = try socket(host).link(index: address.linkIndex) else { continue }
                return max(link.mtu, overhead + 68) - overhead
            }
            throw KernelError(code: EADDRNOTAVAIL, message: "this host does not have it")
        }
    }

    /// The VXLAN identifier of the link that this end has already, when its tunnel is the same otherwise; nil: it has none.
    func identifier(of leg: RemoteLeg) throws(ForwarderError) -> UInt32? {
        defer { forgetSocket(leg.end.namespace) }
        let link = try told("link \(leg.end.name)", leg.end.namespace) { () throws(KernelError) in
            try socket(leg.end.namespace).link(name: leg.end.name)
        }
        guard let link, link.alias == Self.alias(leg.id, .remote), let attributes = link.kind[VXLANAttributes.self]
        else {
            return nil
        }
        var tunnel = leg.tunnel
        tunnel.vni = attributes.vni
        return attributes.isOf(tunnel) ? tunnel.vni : nil
    }

    /// Forgets the end of a tunnel, and so releases its namespace. The interface stays until the namespace is
    /// destroyed, or the next `apply` adopts it.
    func letGo(_ id: String) {
        guard let known = made[id], known.form.tunnel != nil else { return }
        readTraffic(of: id)
        made[id] = nil
        release(known.namespace)
    }
}

extension VXLANAttributes {
    fileprivate func isOf(_ tunnel: Tunnel) -> Bool {
        vni == tunnel.vni && remote == tunnel.remote && local == tunnel.local && port == tunnel.port
    }
}
