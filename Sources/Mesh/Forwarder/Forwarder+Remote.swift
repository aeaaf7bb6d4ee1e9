internal import Glibc
internal import Netlink
public import NetworkTypes

/// What was done for an end of a tunnel.
///
/// The namespace is held, as nothing else could remove the interface; so ``Forwarder/remove(_:)`` must follow soon when
/// its pod is known to be gone.
struct MadeLeg {
    var end: EndConfiguration
    var tunnel: Tunnel
    var mtu: UInt32
    var index: Int32
    var namespace: NetworkNamespace
}

extension Forwarder {
    /// Makes the end of a connection to another host, or brings one up to date. What is as it should be is left alone.
    ///
    /// The interface is made straight in its namespace; the tunnel goes through the network of the host.
    ///
    /// - Throws: ``ForwarderError``; code `EEXIST` when the tunnel's VNI is in use on this host. A new connection then
    ///   leaves nothing behind, and one that was there stays as it was.
    public func apply(
        _ leg: RemoteLeg, isKnown: @Sendable (String) -> Bool = { _ in true }
    ) throws(ForwarderError) {
        try Self.check(id: leg.id)
        defer { forgetSocket(leg.end.namespace) }
        guard leg.tunnel.local.family == leg.tunnel.remote.family else {
            throw ForwarderError("tunnel to \(leg.tunnel.remote)", "both hosts need addresses of one family")
        }
        if legs[leg.id] == nil { try remove(leg.id) }
        let most = try tunnelMTU(from: leg.tunnel.local)
        let mtu = min(leg.mtu ?? most, most)
        let alias = Self.alias(leg.id, .remote)
        if let known = legs[leg.id], let link = try standing(known, leg, alias) {
            if known.end == leg.end.configuration, known.mtu == mtu { return }
            try update(leg, known, link, mtu)
        } else if let link = try adopt(leg, alias, isKnown) {
            try configure(leg, link, mtu, before: nil, mayHaveRules: true)
            remember(leg, link.index, mtu)
        } else {
            let link = try create(leg, mtu)
            do throws(ForwarderError) {
                try configure(leg, link, mtu, before: nil, mayHaveRules: false)
            } catch {
                try? discard(link.index, leg.end.namespace, "link \(leg.end.name)")
                throw error
            }
            remember(leg, link.index, mtu)
        }
    }

    /// The most that an interface can carry whose tunnel starts at this address of the host. Unit: bytes.
    ///
    /// - Throws: ``ForwarderError`` when the host does not have the address.
    public func tunnelMTU(from local: IPAddress) throws(ForwarderError) -> UInt32 {
        let host = try hostNamespace()
        return try told("address \(local)", host) { () throws(KernelError) in
            for case .address(let address) in try socket(host).dump(.addresses) where address.local.address == local {
                guard let link = try socket(host).link(index: address.linkIndex) else { continue }
                return max(link.mtu, Tunnel.overhead(local.family) + 68) - Tunnel.overhead(local.family)
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

    func hostNamespace() throws(ForwarderError) -> NetworkNamespace {
        if let host { return host }
        do {
            let current = try NetworkNamespace.current()
            host = current
            return current
        } catch {
            throw ForwarderError("the host's network namespace", "\(error)")
        }
    }

    /// Forgets the end of a tunnel, and so lets go of its namespace. The interface stays until the namespace goes, or is
    /// adopted by the next `apply`.
    func letGo(_ id: String) {
        guard let known = legs.removeValue(forKey: id) else { return }
        release(known.namespace)
    }

    func removeLeg(_ id: String) throws(ForwarderError) {
        guard let known = legs.removeValue(forKey: id) else { return }
        defer { release(known.namespace) }
        guard let link = try link(known.index, known.namespace), link.alias == Self.alias(id, .remote) else { return }
        try discard(link.index, known.namespace, "link \(link.name)")
    }

    private func remember(_ leg: RemoteLeg, _ index: Int32, _ mtu: UInt32) {
        let held = legs[leg.id]?.namespace ?? hold(leg.end.namespace)
        legs[leg.id] = MadeLeg(
            end: leg.end.configuration, tunnel: leg.tunnel, mtu: mtu, index: index, namespace: held)
    }

    private func update(
        _ leg: RemoteLeg, _ known: MadeLeg, _ link: Link, _ mtu: UInt32
    ) throws(ForwarderError) {
        do throws(ForwarderError) {
            try configure(leg, link, mtu, before: known.end, mayHaveRules: !known.end.policies.isEmpty)
            remember(leg, link.index, mtu)
        } catch {
            var old = leg
            old.end = ConnectionEnd(namespace: leg.end.namespace, known.end)
            // Not the same as what is wanted, so a next attempt tries all of it.
            try? configure(old, link, known.mtu, before: leg.end.configuration, mayHaveRules: true)
            throw error
        }
    }

    private func configure(
        _ leg: RemoteLeg, _ link: Link, _ mtu: UInt32, before: EndConfiguration?, mayHaveRules: Bool
    ) throws(ForwarderError) {
        try configure(
            leg.end,
            EndContext(
                link: link, alias: Self.alias(leg.id, .remote), mtu: mtu, peerMAC: leg.peerMAC, before: before,
                mayHaveRules: mayHaveRules))
    }

    private func standing(
        _ known: MadeLeg, _ leg: RemoteLeg, _ alias: String
    ) throws(ForwarderError) -> Link? {
        if known.namespace.identity == leg.end.namespace.identity, known.end.name == leg.end.name,
            known.tunnel == leg.tunnel, let link = try link(known.index, known.namespace), link.alias == alias
        {
            return link
        }
        try removeLeg(leg.id)
        return nil
    }

    /// The link that is there already, if its tunnel is the same.
    private func adopt(
        _ leg: RemoteLeg, _ alias: String, _ isKnown: (String) -> Bool
    ) throws(ForwarderError) -> Link? {
        guard let link = try clear(leg.end, alias, isKnown) else { return nil }
        if let attributes = link.kind[VXLANAttributes.self], attributes.isOf(leg.tunnel) { return link }
        try discard(link.index, leg.end.namespace, "link \(link.name)")
        return nil
    }

    private func create(_ leg: RemoteLeg, _ mtu: UInt32) throws(ForwarderError) -> Link {
        var request = LinkAttributes(name: leg.end.name)
        // What is behind the other end is known: all of it is at the other host.
        request.kind = .vxlan(
            VXLANAttributes(
                vni: leg.tunnel.vni, remote: leg.tunnel.remote, local: leg.tunnel.local, port: leg.tunnel.port,
                learning: false))
        request.mac = leg.end.mac
        request.mtu = mtu
        request.group = group
        request.namespaceDescriptor = leg.end.namespace.descriptor
        let what = "link \(leg.end.name) with VNI \(leg.tunnel.vni) to \(leg.tunnel.remote)"
        // Asked for in the host's namespace, the tunnel stays there wherever the interface is.
        try carryOut([.createLink(request, echo: false)], try hostNamespace(), { _ in what })
        return try named(leg.end)
    }
}

extension VXLANAttributes {
    fileprivate func isOf(_ tunnel: Tunnel) -> Bool {
        vni == tunnel.vni && remote == tunnel.remote && local == tunnel.local && port == tunnel.port
    }
}
