import CLinux
public import NetworkTypes

/// A tunnel that carries packets in IP packets, with GRE or without it. `IFLA_GRE_*` and `IFLA_IPTUN_*`,
/// linux/if_tunnel.h. A request says all of it, since the kernel sets back what a change leaves out.
public struct TunnelAttributes<Form: TunnelForm>: LinkKindAttributes, LinkKindCodec {
    /// That of the form.
    public static var kindName: String { Form.kindName }
    /// That of the form.
    public static var moduleName: String { Form.moduleName }
    /// That of the form.
    public static var kernelMTU: UInt32 { Form.kernelMTU }
    /// A tunnel outlives the link that its packets leave by.
    public static var goesWithLower: Bool { false }

    /// Our own end; nil: the kernel chooses.
    public var local: IPAddress?
    /// The other end; nil: any.
    public var remote: IPAddress?
    /// Index of the interface below; 0: none.
    public var link: Int32
    /// The key of both directions, of GRE; nil: none.
    public var key: UInt32?
    /// Time to live or hop limit; 0: that of the packet inside.
    public var ttl: UInt8
    /// Type of service or traffic class.
    public var tos: UInt8
    /// Whether a tunnel encapsulation limit is sent, over IPv6. RFC 2473.
    public var limitsEncapsulation: Bool
    /// Whether ends and key come with each packet.
    public var isExternal: Bool

    /// Makes attributes.
    public init(
        local: IPAddress? = nil, remote: IPAddress? = nil, link: Int32 = 0, key: UInt32? = nil, ttl: UInt8 = 0,
        tos: UInt8 = 0, limitsEncapsulation: Bool = true, isExternal: Bool = false
    ) {
        self.local = local
        self.remote = remote
        self.link = link
        self.key = key
        self.ttl = ttl
        self.tos = tos
        self.limitsEncapsulation = limitsEncapsulation
        self.isExternal = isExternal
    }

    var isEmpty: Bool { false }

    /// Two can't have the same place among the tunnels of a namespace.
    public static var excludesInNamespace: Bool { true }

    /// With the same ends, key and interface below; one that is external has them all.
    public func excludes(_ other: Self, onSameLink: Bool) -> Bool {
        if isExternal || other.isExternal { return isExternal == other.isExternal }
        return local == other.local && remote == other.remote && key == other.key && link == other.link
    }

    init(data: UnsafeRawBufferPointer) {
        self.init()
        let numbers = TunnelNumbers.of(Form.self)
        for attribute in AttributeReader(data) {
            let value = attribute.payload
            switch attribute.type {
            case numbers.link: link = value.i32
            case numbers.local: local = Self.end(value)
            case numbers.remote: remote = Self.end(value)
            case numbers.ttl: ttl = value.u8
            case numbers.external: isExternal = true
            case numbers.tos where Form.family == .v4: tos = value.u8
            case numbers.flowInfo where Form.family == .v6:
                tos = UInt8(truncatingIfNeeded: UInt32(bigEndian: value.u32) >> 20)
            case numbers.flags where Form.family == .v6:
                limitsEncapsulation = value.u32 & IP6Tunnel.ignoresLimit == 0
            case GRE.outputKey where Form.isGRE: key = key ?? UInt32(bigEndian: value.u32)
            default: break
            }
        }
        // Without the flag the number means nothing.
        if Form.isGRE, !Self.hasKey(data) { key = nil }
    }

    /// An end that the kernel reports; all zeros stand for none.
    private static func end(_ value: UnsafeRawBufferPointer) -> IPAddress? {
        IPAddress(networkOrder: value).flatMap { $0.isUnspecified ? nil : $0 }
    }

    private static func hasKey(_ data: UnsafeRawBufferPointer) -> Bool {
        for attribute in AttributeReader(data) where attribute.type == GRE.outputFlags {
            return UInt16(bigEndian: attribute.payload.u16) & GRE.hasKey != 0
        }
        return false
    }

    func write(_ writer: MessageWriter) {
        let numbers = TunnelNumbers.of(Form.self)
        if link != 0 { writer.put(numbers.link, i32: link) }
        if isExternal {
            writer.put(numbers.external)
            return
        }
        if let local { writer.put(numbers.local, local) }
        if let remote { writer.put(numbers.remote, remote) }
        writer.put(numbers.ttl, u8: ttl)
        if let key {
            writer.put(GRE.inputFlags, u16: GRE.hasKey.bigEndian)
            writer.put(GRE.outputFlags, u16: GRE.hasKey.bigEndian)
            writer.put(GRE.inputKey, u32: key.bigEndian)
            writer.put(GRE.outputKey, u32: key.bigEndian)
        }
        guard Form.family == .v6 else {
            writer.put(numbers.tos, u8: tos)
            return
        }
        writer.put(numbers.flowInfo, u32: (UInt32(tos) << 20).bigEndian)
        writer.put(numbers.flags, u32: limitsEncapsulation ? 0 : IP6Tunnel.ignoresLimit)
        if limitsEncapsulation { writer.put(numbers.encapsulationLimit, u8: IP6Tunnel.encapsulationLimit) }
    }

    /// The kernel reports no `IFLA_LINK` for all of them.
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

/// The numbers of the attributes that GRE and the other tunnels both have. linux/if_tunnel.h, which can't be read beside
/// the headers of the C library.
private struct TunnelNumbers {
    var link, local, remote, ttl, tos, encapsulationLimit, flowInfo, flags, external: Int

    static func of(_ form: any TunnelForm.Type) -> TunnelNumbers { form.isGRE ? gre : plain }

    /// `IFLA_GRE_*`
    private static let gre = TunnelNumbers(
        link: 1, local: 6, remote: 7, ttl: 8, tos: 9, encapsulationLimit: 11, flowInfo: 12, flags: 13, external: 18)

    /// `IFLA_IPTUN_*`
    private static let plain = TunnelNumbers(
        link: 1, local: 2, remote: 3, ttl: 4, tos: 5, encapsulationLimit: 6, flowInfo: 7, flags: 8, external: 19)
}

/// What only GRE has. linux/if_tunnel.h
private enum GRE {
    /// `GRE.inputFlags`
    static let inputFlags: Int = 2
    /// `GRE.outputFlags`
    static let outputFlags: Int = 3
    /// `GRE.inputKey`
    static let inputKey: Int = 4
    /// `GRE.outputKey`
    static let outputKey: Int = 5
    /// `GRE_KEY`, in host byte order.
    static let hasKey: UInt16 = 0x2000
}

/// What only tunnels over IPv6 have. linux/ip6_tunnel.h
private enum IP6Tunnel {
    /// `IP6_TNL_F_IGN_ENCAP_LIMIT`
    static let ignoresLimit: UInt32 = 1
    /// The encapsulation limit that is sent. RFC 2473, section 5.3.
    static let encapsulationLimit: UInt8 = 4
}

extension LinkKind {
    /// A tunnel.
    public static func tunnel<Form: TunnelForm>(_ attributes: TunnelAttributes<Form>) -> LinkKind {
        LinkKind(attributes)
    }

    /// The names of the tunnels that the kernel puts into each namespace by itself, to catch what no other one takes.
    public static let fallbackTunnels: Set<String> = [
        "gre0", "gretap0", "erspan0", "ip6gre0", "tunl0", "sit0", "ip6tnl0",
    ]
}
