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
        guard kind != .none || port != nil else { return }
        writer.nest(IFLA_LINKINFO) {
            if let port { port.write(asPort: writer) }
            if kind == .none { return }
            guard let peer else { return kind.write(writer) }
            writer.put(IFLA_INFO_KIND, text: kind.name)
            writer.nest(IFLA_INFO_DATA) { writer.nest(VETH_INFO_PEER, flagged: false) { peer.write(writer) } }
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
