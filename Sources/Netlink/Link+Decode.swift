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
            case IFLA_IFALIAS: alias = value.text
            case IFLA_MASTER: master = value.i32
            case IFLA_LINK: link = value.i32
            case IFLA_LINK_NETNSID: linkNamespaceID = value.i32
            case IFLA_GROUP: group = value.u32
            case IFLA_OPERSTATE: operationalState = value.u8
            // Wireless drivers send their events as messages with a name and nothing else of ours.
            case IFLA_WIRELESS: return nil
            case IFLA_LINKINFO: kind = LinkKind(info: value)
            default: break
            }
        }
    }
}

extension LinkKind {
    /// Decodes `IFLA_LINKINFO`. The data may come before the kind.
    fileprivate init(info: UnsafeRawBufferPointer) {
        var kind = UnsafeRawBufferPointer(start: nil, count: 0)
        var data = kind
        for attribute in AttributeReader(info) {
            if attribute.type == IFLA_INFO_KIND { kind = attribute.payload }
            if attribute.type == IFLA_INFO_DATA { data = attribute.payload }
        }
        self = Self.decode(kind: kind, data: data)
    }

    private static func decode(kind: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer) -> LinkKind {
        if kind.count == 0 || kind[0] == 0 { return .none }
        if kind.isText("veth") { return .veth }
        if kind.isText("dummy") { return .dummy }
        if kind.isText("tun") { return .tun(TUNAttributes(data: data)) }
        if kind.isText("bridge") { return .bridge(BridgeAttributes(data: data)) }
        if kind.isText("vlan") { return .vlan(VLANAttributes(data: data)) }
        if kind.isText("vxlan") { return .vxlan(VXLANAttributes(data: data)) }
        if kind.isText("vrf") { return .vrf(table: first(IFLA_VRF_TABLE, in: data).u32) }
        if kind.isText("macvlan") { return .macvlan(mode: first(IFLA_MACVLAN_MODE, in: data).u32) }
        if kind.isText("ipvlan") { return .ipvlan(mode: first(IFLA_IPVLAN_MODE, in: data).u16) }
        return .other(kind.text)
    }

    private static func first(_ type: Int, in data: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        for attribute in AttributeReader(data) where attribute.type == type { return attribute.payload }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }
}

extension BridgeAttributes {
    fileprivate init(data: UnsafeRawBufferPointer) {
        self.init()
        for attribute in AttributeReader(data) {
            switch attribute.type {
            case IFLA_BR_STP_STATE: stpState = attribute.payload.u32
            case IFLA_BR_VLAN_FILTERING: vlanFiltering = attribute.payload.u8 != 0
            case IFLA_BR_AGEING_TIME: ageingTime = attribute.payload.u32
            case IFLA_BR_FORWARD_DELAY: forwardDelay = attribute.payload.u32
            default: break
            }
        }
    }
}

extension VLANAttributes {
    fileprivate init(data: UnsafeRawBufferPointer) {
        self.init(id: 0)
        for attribute in AttributeReader(data) {
            switch attribute.type {
            case IFLA_VLAN_ID: id = attribute.payload.u16
            case IFLA_VLAN_PROTOCOL: ethertype = UInt16(bigEndian: attribute.payload.u16)
            default: break
            }
        }
    }
}

extension VXLANAttributes {
    fileprivate init(data: UnsafeRawBufferPointer) {
        self.init(vni: 0)
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_VXLAN_ID: vni = value.u32
            case IFLA_VXLAN_GROUP, IFLA_VXLAN_GROUP6: remote = IPAddress(networkOrder: value)
            case IFLA_VXLAN_LOCAL, IFLA_VXLAN_LOCAL6: local = IPAddress(networkOrder: value)
            case IFLA_VXLAN_LINK: link = value.i32
            case IFLA_VXLAN_TTL: ttl = value.u8
            case IFLA_VXLAN_LEARNING: learning = value.u8 != 0
            case IFLA_VXLAN_PORT: port = UInt16(bigEndian: value.u16)
            default: break
            }
        }
    }
}

extension TUNAttributes {
    fileprivate init(data: UnsafeRawBufferPointer) {
        self.init(isTUN: false)
        persistent = false
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_TUN_TYPE: isTUN = Int32(value.u8) == IFF_TUN
            case IFLA_TUN_OWNER: owner = value.u32
            case IFLA_TUN_GROUP: group = value.u32
            case IFLA_TUN_VNET_HDR: vnetHeader = value.u8 != 0
            case IFLA_TUN_MULTI_QUEUE: multiQueue = value.u8 != 0
            case IFLA_TUN_PERSIST: persistent = value.u8 != 0
            default: break
            }
        }
    }
}
