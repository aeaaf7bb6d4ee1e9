import CLinux
public import NetworkTypes

/// A `vxlan` tunnel end point. `IFLA_VXLAN_*`, linux/if_link.h.
public struct VXLANAttributes: LinkKindAttributes, LinkKindCodec {
    /// `vxlan`
    public static let kindName = "vxlan"

    /// `IFLA_VXLAN_ID`, 24 bits.
    public var vni: UInt32
    /// `IFLA_VXLAN_GROUP` or `IFLA_VXLAN_GROUP6`: the remote endpoint or multicast group.
    public var remote: IPAddress?
    /// `IFLA_VXLAN_LOCAL` or `IFLA_VXLAN_LOCAL6`.
    public var local: IPAddress?
    /// `IFLA_VXLAN_LINK`: index of the interface below; 0: none.
    public var link: Int32
    /// `IFLA_VXLAN_PORT`, host byte order.
    public var port: UInt16?
    /// `IFLA_VXLAN_LEARNING`.
    public var learning: Bool?
    /// `IFLA_VXLAN_TTL`.
    public var ttl: UInt8?

    /// Makes attributes; nil leaves the kernel's default.
    public init(
        vni: UInt32, remote: IPAddress? = nil, local: IPAddress? = nil, link: Int32 = 0, port: UInt16? = nil,
        learning: Bool? = nil, ttl: UInt8? = nil
    ) {
        self.vni = vni
        self.remote = remote
        self.local = local
        self.link = link
        self.port = port
        self.learning = learning
        self.ttl = ttl
    }

    var isEmpty: Bool { false }

    /// Two can't have the same place among the tunnels of a namespace.
    public static var excludesInNamespace: Bool { true }

    /// With the same number on one port.
    public func excludes(_ other: Self, onSameLink: Bool) -> Bool {
        vni == other.vni && port == other.port && family == other.family
    }

    private var family: IPAddress.Family { (remote ?? local)?.family ?? .v4 }

    init(data: UnsafeRawBufferPointer) {
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

    func write(_ writer: MessageWriter) {
        writer.put(IFLA_VXLAN_ID, u32: vni)
        if let remote { writer.put(remote.family == .v4 ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6, remote) }
        if let local { writer.put(local.family == .v4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local) }
        if link != 0 { writer.put(IFLA_VXLAN_LINK, i32: link) }
        if let ttl { writer.put(IFLA_VXLAN_TTL, u8: ttl) }
        if let learning { writer.put(IFLA_VXLAN_LEARNING, u8: learning ? 1 : 0) }
        if let port { writer.put(IFLA_VXLAN_PORT, u16: port.bigEndian) }
    }

    /// `IFLA_VXLAN_LINK`: the kernel reports no `IFLA_LINK`.
    public func lower(_ link: Int32) -> Int32 { self.link }

    /// Replaces the interface below.
    public mutating func resolve(_ index: (Int32) -> Int32?) -> Bool {
        if link >= 0 { return true }
        guard let number = index(link) else { return false }
        link = number
        return true
    }

    /// Replaces the interface below.
    public mutating func stand(on link: Int32) -> Bool {
        self.link = link
        return true
    }
}

extension LinkKind {
    /// `vxlan`.
    public static func vxlan(_ attributes: VXLANAttributes) -> LinkKind { LinkKind(attributes) }
}
