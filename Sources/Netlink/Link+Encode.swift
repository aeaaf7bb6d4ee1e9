import CLinux
import CMnl
import NetworkTypes

extension LinkAttributes {
    /// Appends `struct ifinfomsg` and the attributes that are set.
    func write(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(ifinfomsg.self) { header in
            header.ifi_index = index
            guard let up else { return }
            header.ifi_change = LinkFlags.up
            header.ifi_flags = up ? LinkFlags.up : 0
        }
        if let name { writer.put(IFLA_IFNAME, name: name) }
        if let mtu { writer.put(IFLA_MTU, u32: mtu) }
        if let mac { writer.put(IFLA_ADDRESS, mac) }
        if let alias { writer.put(IFLA_IFALIAS, text: alias) }
        if let master { writer.put(IFLA_MASTER, i32: master) }
        if let link { writer.put(IFLA_LINK, i32: link) }
        if let linkNamespaceID { writer.put(IFLA_LINK_NETNSID, i32: linkNamespaceID) }
        if let group { writer.put(IFLA_GROUP, u32: group) }
        if let namespaceDescriptor { writer.put(IFLA_NET_NS_FD, i32: namespaceDescriptor) }
        writeKind(writer)
        return writer
    }

    private func writeKind(_ writer: MessageWriter) {
        let kind = kind ?? (peer == nil ? .none : .veth)
        guard kind != .none else { return }
        writer.nest(IFLA_LINKINFO) {
            writer.put(IFLA_INFO_KIND, text: kind.name)
            if let peer {
                writer.nest(IFLA_INFO_DATA) { writer.nest(VETH_INFO_PEER, flagged: false) { peer.write(writer) } }
            } else {
                kind.writeData(writer)
            }
        }
    }
}

extension VethPeer {
    fileprivate func write(_ writer: MessageWriter) {
        writer.putStruct(ifinfomsg.self) { _ in }
        writer.put(IFLA_IFNAME, name: name)
        if let mtu { writer.put(IFLA_MTU, u32: mtu) }
        if let mac { writer.put(IFLA_ADDRESS, mac) }
        if let group { writer.put(IFLA_GROUP, u32: group) }
        if let namespaceDescriptor { writer.put(IFLA_NET_NS_FD, i32: namespaceDescriptor) }
    }
}

extension LinkKind {
    /// Appends `IFLA_INFO_DATA`, for kinds that have any.
    fileprivate func writeData(_ writer: MessageWriter) {
        switch self {
        case .none, .other, .veth, .dummy, .tun:
            break
        case .vrf(let table):
            writer.nest(IFLA_INFO_DATA) { writer.put(IFLA_VRF_TABLE, u32: table) }
        case .bridge(let attributes):
            guard attributes != BridgeAttributes() else { return }
            writer.nest(IFLA_INFO_DATA) { attributes.write(writer) }
        case .vlan(let attributes):
            writer.nest(IFLA_INFO_DATA) {
                writer.put(IFLA_VLAN_ID, u16: attributes.id)
                writer.put(IFLA_VLAN_PROTOCOL, u16: attributes.ethertype.bigEndian)
            }
        case .vxlan(let attributes):
            writer.nest(IFLA_INFO_DATA) { attributes.write(writer) }
        case .macvlan(let mode):
            writer.nest(IFLA_INFO_DATA) { writer.put(IFLA_MACVLAN_MODE, u32: mode) }
        case .ipvlan(let mode):
            writer.nest(IFLA_INFO_DATA) { writer.put(IFLA_IPVLAN_MODE, u16: mode) }
        }
    }
}

extension BridgeAttributes {
    fileprivate func write(_ writer: MessageWriter) {
        if let forwardDelay { writer.put(IFLA_BR_FORWARD_DELAY, u32: forwardDelay) }
        if let ageingTime { writer.put(IFLA_BR_AGEING_TIME, u32: ageingTime) }
        if let stpState { writer.put(IFLA_BR_STP_STATE, u32: stpState) }
        if let vlanFiltering { writer.put(IFLA_BR_VLAN_FILTERING, u8: vlanFiltering ? 1 : 0) }
    }
}

extension VXLANAttributes {
    fileprivate func write(_ writer: MessageWriter) {
        writer.put(IFLA_VXLAN_ID, u32: vni)
        if let remote { writer.put(remote.family == .v4 ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6, remote) }
        if let local { writer.put(local.family == .v4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local) }
        if link != 0 { writer.put(IFLA_VXLAN_LINK, i32: link) }
        if let ttl { writer.put(IFLA_VXLAN_TTL, u8: ttl) }
        if let learning { writer.put(IFLA_VXLAN_LEARNING, u8: learning ? 1 : 0) }
        if let port { writer.put(IFLA_VXLAN_PORT, u16: port.bigEndian) }
    }
}
