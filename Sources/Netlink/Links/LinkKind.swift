import CLinux
internal import NetworkTypes

/// The attributes of one kind of link.
///
/// In a dump every attribute the kernel reports is set; in a request nil leaves the kernel's default.
public protocol LinkKindAttributes: Hashable, Sendable {
    /// `IFLA_INFO_KIND`.
    static var kindName: String { get }

    /// The kernel's module with it, as modprobe(8) knows it.
    static var moduleName: String { get }

    /// The MTU of a new link, bytes.
    static var kernelMTU: UInt32 { get }

    /// Whether the kernel takes it up and down with the link below, and never up alone.
    static var followsLower: Bool { get }

    /// Whether it goes when the link below goes.
    static var goesWithLower: Bool { get }

    /// Under which name the kernel hands it all that the link below receives (`rx_handler`); nil: it doesn't. Links of two names
    /// can't be on one link.
    static var receiver: String? { get }

    /// The MTU that a link has once the link below has another one, bytes.
    static func mtu(_ own: UInt32, below: UInt32) -> UInt32

    /// What is there after a request that sets the attributes of `change`.
    func merged(with change: Self) -> Self

    /// Whether no other link of its receiver can be on the link below.
    var isAlone: Bool { get }

    /// Whether there are links of the kind that the kernel refuses to have in one namespace, whatever they are built on.
    static var excludesInNamespace: Bool { get }

    /// Whether the kernel refuses to have both in one namespace.
    ///
    /// - Parameter onSameLink: whether both are built on the same link.
    func excludes(_ other: Self, onSameLink: Bool) -> Bool

    /// Index of the link below, given `IFLA_LINK`; 0: none.
    func lower(_ link: Int32) -> Int32

    /// Replaces indexes of links. Returns false when `index` has nothing for one.
    mutating func resolve(_ index: (Int32) -> Int32?) -> Bool

    /// Puts a link in the place of the one below. Returns false when the attributes do not name it, as `IFLA_LINK` does.
    mutating func stand(on link: Int32) -> Bool
}

extension LinkKindAttributes {
    /// That of the kind by default.
    public static var moduleName: String { kindName }
    /// 1500 by default.
    public static var kernelMTU: UInt32 { 1500 }
    /// It doesn't by default.
    public static var followsLower: Bool { false }
    /// It does by default.
    public static var goesWithLower: Bool { true }
    /// It doesn't by default.
    public static var receiver: String? { nil }
    /// The same as before, by default.
    public static func mtu(_ own: UInt32, below: UInt32) -> UInt32 { own }
    /// Others can, by default.
    public var isAlone: Bool { false }
    /// None by default.
    public static var excludesInNamespace: Bool { false }
    /// It doesn't by default.
    public func excludes(_ other: Self, onSameLink: Bool) -> Bool { false }
    /// The new attributes by default.
    public func merged(with change: Self) -> Self { change }
    /// What `IFLA_LINK` says, by default.
    public func lower(_ link: Int32) -> Int32 { link }
    /// None by default.
    public mutating func resolve(_ index: (Int32) -> Int32?) -> Bool { true }
    /// They do not by default.
    public mutating func stand(on link: Int32) -> Bool { false }
}

/// How the attributes of a kind are read and written.
protocol LinkKindCodec: LinkKindAttributes {
    /// Decodes `IFLA_INFO_DATA`.
    init(data: UnsafeRawBufferPointer)

    /// Whether there is anything to write.
    var isEmpty: Bool { get }

    /// Appends the attributes that are set.
    func write(_ writer: MessageWriter)
}

/// The kind of a link with the attributes of that kind (`IFLA_INFO_KIND`, `IFLA_INFO_DATA`).
///
/// A kind is one file in this folder, and one line of ``all``.
public struct LinkKind: Hashable, Sendable {
    static let all: [any LinkKindCodec.Type] = [
        VethAttributes.self, BridgeAttributes.self, TUNAttributes.self, DummyAttributes.self, VLANAttributes.self,
        VXLANAttributes.self, VRFAttributes.self, MACVLANAttributes.self, IPVLANAttributes.self,
        BondAttributes.self, MACVTAPAttributes.self, GeneveAttributes.self, TunnelAttributes<GREForm>.self,
        TunnelAttributes<GRETAPForm>.self, TunnelAttributes<IP6GREForm>.self, TunnelAttributes<IP6GRETAPForm>.self,
        TunnelAttributes<IPIPForm>.self, TunnelAttributes<SITForm>.self, TunnelAttributes<IP6TNLForm>.self,
        WireGuardAttributes.self,
    ]

    /// `IFLA_INFO_KIND`; empty for ``none``.
    public let name: String
    private let codec: (any LinkKindCodec)?

    /// No `IFLA_LINKINFO`: hardware, or the loopback device.
    public static let none = LinkKind(name: "", codec: nil)

    /// A kind this room does not decode, with its name.
    public static func other(_ name: String) -> LinkKind { LinkKind(name: name, codec: nil) }

    init(_ codec: some LinkKindCodec) { self.init(name: type(of: codec).kindName, codec: codec) }

    private init(name: String, codec: (any LinkKindCodec)?) {
        self.name = name
        self.codec = codec
    }

    /// The attributes, if it is of that kind.
    public subscript<Attributes: LinkKindAttributes>(_ type: Attributes.Type) -> Attributes? { codec as? Attributes }

    /// Whether it is of a kind.
    public func isOf(_ type: any LinkKindAttributes.Type) -> Bool { codec != nil && name == type.kindName }

    /// The kernel's module with the kind, as modprobe(8) knows it.
    public var moduleName: String { codec.map { type(of: $0).moduleName } ?? name }

    /// Whether the kernel takes it up and down with the link below, and never up alone.
    public var followsLower: Bool { codec.map { type(of: $0).followsLower } ?? false }

    /// Whether it goes when the link below goes.
    public var goesWithLower: Bool { codec.map { type(of: $0).goesWithLower } ?? true }

    /// The MTU of a new link, bytes.
    public var kernelMTU: UInt32 { codec.map { type(of: $0).kernelMTU } ?? 1500 }

    /// Whether the kernel hands it all that the link below receives.
    public var isReceiver: Bool { codec.map { type(of: $0).receiver != nil } ?? false }

    /// The MTU that a link has once the link below has another one, bytes.
    public func mtu(_ own: UInt32, below: UInt32) -> UInt32 {
        codec.map { type(of: $0).mtu(own, below: below) } ?? own
    }

    /// Whether there are links of the kind that the kernel refuses to have in one namespace, whatever they are built on.
    public var excludesInNamespace: Bool { codec.map { type(of: $0).excludesInNamespace } ?? false }

    /// Whether the kernel refuses to have both in one namespace.
    ///
    /// - Parameter onSameLink: whether both are built on the same link.
    public func excludes(_ other: LinkKind, onSameLink: Bool) -> Bool {
        guard let codec, let others = other.codec else { return false }
        if onSameLink, let own = type(of: codec).receiver, let receiver = type(of: others).receiver {
            return own != receiver || codec.isAlone || others.isAlone
        }
        return codec.excludes(kind: other, onSameLink: onSameLink)
    }

    /// What is there after a request that sets the attributes of `change`.
    public func merged(with change: LinkKind) -> LinkKind { codec.flatMap { $0.merged(kind: change) } ?? change }

    /// Index of the link below, given `IFLA_LINK`; 0: none.
    public func lower(_ link: Int32) -> Int32 { codec?.lower(link) ?? link }

    /// Replaces indexes of links. Returns false when `index` has nothing for one.
    public mutating func resolve(_ index: (Int32) -> Int32?) -> Bool {
        guard var codec else { return true }
        defer { self = LinkKind(name: name, codec: codec) }
        return codec.resolve(index)
    }

    /// Puts a link in the place of the one below. Returns false when the attributes do not name it, as `IFLA_LINK` does.
    public mutating func stand(on link: Int32) -> Bool {
        guard var codec else { return false }
        defer { self = LinkKind(name: name, codec: codec) }
        return codec.stand(on: link)
    }

    /// Whether both have the same kind and attributes.
    public static func == (left: Self, right: Self) -> Bool {
        guard left.name == right.name else { return false }
        guard let codec = left.codec, let other = right.codec else { return left.codec == nil && right.codec == nil }
        return codec.isEqual(to: other)
    }

    /// Feeds the kind and its attributes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        codec?.hash(into: &hasher)
    }

    // MARK: - Encoding

    /// Appends `IFLA_INFO_KIND`, and `IFLA_INFO_DATA` where the kind has any.
    func write(_ writer: MessageWriter) {
        writer.put(IFLA_INFO_KIND, text: name)
        guard let codec, !codec.isEmpty else { return }
        writer.nest(IFLA_INFO_DATA) { codec.write(writer) }
    }

    /// Decodes `IFLA_LINKINFO`. The data may come before the kind.
    init(info: UnsafeRawBufferPointer) {
        var kind = UnsafeRawBufferPointer(start: nil, count: 0)
        var data = kind
        for attribute in AttributeReader(info) {
            if attribute.type == IFLA_INFO_KIND { kind = attribute.payload }
            if attribute.type == IFLA_INFO_DATA { data = attribute.payload }
        }
        if kind.isEmpty || kind[0] == 0 {
            self = .none
            return
        }
        for type in Self.all where kind.isText(type.kindName) {
            self.init(name: type.kindName, codec: type.init(data: data))
            return
        }
        self = .other(kind.text)
    }
}

extension LinkKindCodec {
    fileprivate func isEqual(to other: any LinkKindCodec) -> Bool { (other as? Self) == self }

    fileprivate func excludes(kind other: LinkKind, onSameLink: Bool) -> Bool {
        other[Self.self].map { excludes($0, onSameLink: onSameLink) } ?? false
    }

    fileprivate func merged(kind change: LinkKind) -> LinkKind? { change[Self.self].map { LinkKind(merged(with: $0)) } }
}
