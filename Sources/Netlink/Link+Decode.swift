import CLinux
import Glibc
import NetworkTypes

extension Link {
    /// Decodes `struct ifinfomsg` and attributes.
    ///
    /// nil for other families than `AF_UNSPEC`: the bridge reports its ports as `AF_BRIDGE`, with a part of the
    /// attributes only.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: ifinfomsg.self), header.ifi_family == UInt8(AF_UNSPEC) else { return nil }
        self.init(index: header.ifi_index, name: "", flags: header.ifi_flags)
        for attribute in AttributeReader(payload.after(MemoryLayout<ifinfomsg>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_IFNAME: name = value.text
            case IFLA_MTU: mtu = value.u32
            case IFLA_ADDRESS: mac = MACAddress(value)
            case IFLA_PERM_ADDRESS: permanentMAC = MACAddress(value)
            case IFLA_IFALIAS: alias = value.text
            case IFLA_PROP_LIST:
                for property in AttributeReader(value) where property.type == IFLA_ALT_IFNAME {
                    altNames.append(property.payload.text)
                }
            case IFLA_MASTER: master = value.i32
            case IFLA_LINK: link = value.i32
            case IFLA_LINK_NETNSID: linkNamespaceID = value.i32
            case IFLA_NEW_NETNSID: newNamespaceID = value.i32
            case IFLA_GROUP: group = value.u32
            case IFLA_OPERSTATE: operationalState = value.u8
            // Wireless drivers send their events as messages with a name and nothing else of ours.
            case IFLA_WIRELESS: return nil
            case IFLA_LINKINFO:
                kind = LinkKind(info: value)
                port = BridgePort(info: value)
            default: break
            }
        }
    }
}
