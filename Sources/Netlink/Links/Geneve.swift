import CLinux
public import NetworkTypes

/// A `geneve` tunnel end point. `IFLA_GENEVE_*`, linux/if_link.h.
public struct GeneveAttributes: LinkKindAttributes, LinkKindCodec {
    /// `geneve`
    public static let kindName = "geneve"

    /// `IFLA_GENEVE_ID`, 24 bits.
    public var vni: UInt32
    /// `IFLA_GENEVE_REMOTE` or `IFLA_GENEVE_REMOTE6`.
    public var remote: IPAddress?
    /// `IFLA_GENEVE_PORT`, host byte order.
    public var port: UInt16?
    /// `IFLA_GENEVE_TTL`; 0: the kernel's default.
    public var ttl: UInt8
    /// `IFLA_GENEVE_TOS`.
    public var tos: UInt8
    /// `IFLA_GENEVE_COLLECT_METADATA`.
    public var isExternal: Bool

    /// Makes attributes.
    public init(
        vni: UInt32, remote: IPAddress? = nil, port: UInt16? = nil, ttl: UInt8 = 0, tos: UInt8 = 0,
        isExternal: Bool = false
    ) {
        self.vni = vni
        self.remote = remote
        self.port = port
        self.ttl = ttl
        self.tos = tos
        self.isExternal = isExternal
    }

    var isEmpty: Bool { false }

    /// Two can't have the same place among the tunnels of a namespace.
    public static var excludesInNamespace: Bool { true }

    /// With the same number and other end on one port, which one that is external has for itself.
    public func excludes(_ other: Self, onSameLink: Bool) -> Bool {
        port == other.port && (isExternal || other.isExternal || vni == other.vni && remote == other.remote)
    }

    init(data: UnsafeRawBufferPointer) {
        self.init(vni: 0)
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case IFLA_GENEVE_ID: vni = value.u32
            case IFLA_GENEVE_REMOTE, IFLA_GENEVE_REMOTE6: remote = IPAddress(networkOrder: value)
            case IFLA_GENEVE_TTL: ttl = value.u8
            case IFLA_GENEVE_TOS: tos = value.u8
            case IFLA_GENEVE_PORT: port = UInt16(bigEndian: value.u16)
            case IFLA_GENEVE_COLLECT_METADATA: isExternal = true
            default: break
            }
        }
        // The kernel reports ends that mean nothing.
        if isExternal { (vni, remote, ttl, tos) = (0, nil, 0, 0) }
    }

    /// What a change does not name stays: the kernel refuses to take the port again.
    public func merged(with change: Self) -> Self {
        var merged = change
        merged.port = change.port ?? port
        return merged
    }

    func write(_ writer: MessageWriter) {
        if isExternal {
            writer.put(IFLA_GENEVE_COLLECT_METADATA)
        } else {
            writer.put(IFLA_GENEVE_ID, u32: vni)
            if let remote { writer.put(remote.family == .v4 ? IFLA_GENEVE_REMOTE : IFLA_GENEVE_REMOTE6, remote) }
            writer.put(IFLA_GENEVE_TTL, u8: ttl)
            writer.put(IFLA_GENEVE_TOS, u8: tos)
        }
        if let port { writer.put(IFLA_GENEVE_PORT, u16: port.bigEndian) }
    }
}

extension LinkKind {
    /// `geneve`.
    public static func geneve(_ attributes: GeneveAttributes) -> LinkKind { LinkKind(attributes) }
}
