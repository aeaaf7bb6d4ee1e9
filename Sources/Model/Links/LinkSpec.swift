internal import NetworkTypes

/// What is special about one kind of interface: typed, checked, with its defaults.
///
/// A kind is one file in this folder, and one line of ``LinkSpecs``.
public protocol LinkSpec: Hashable, Sendable {
    /// The name in the .proto file.
    static var word: String { get }

    /// What an unset MTU stands for, in bytes; nil: whatever it is.
    static var defaultMTU: UInt32? { get }
}

extension LinkSpec {
    /// Whatever it is, by default.
    public static var defaultMTU: UInt32? { nil }
}

/// How a kind is read and checked.
protocol CheckedLinkSpec: LinkSpec {
    /// The field that holds what is special about the kind; nil when nothing is.
    static var block: LinkBlock? { get }

    /// What the MTU can be, in bytes; nil: only the creator of the interface knows.
    static var mtuRange: ClosedRange<UInt32>? { get }

    /// Reads what is special about the kind; its block is there or all of it has its default.
    init?(_ message: Ligato_Linux_Interfaces_Interface, _ findings: inout FieldFindings)

    /// Why no MAC address can be given to it.
    var noMAC: String? { get }

    /// The logical name of the interface it stands on.
    var parent: String? { get }

    /// The logical name of the other end of a pair.
    var peer: String? { get }

    /// Logical names of the interfaces that are its ports.
    var ports: [String] { get }

    /// What only one interface can have, for an interface in a namespace.
    func share(in namespace: NetNamespace) -> LinkShare?

    /// Looks at what it says of other interfaces.
    func check(_ check: inout InterfaceCheck)
}

extension CheckedLinkSpec {
    static var mtuRange: ClosedRange<UInt32>? { 68...65535 }
    var noMAC: String? { nil }
    var parent: String? { nil }
    var peer: String? { nil }
    var ports: [String] { [] }
    func share(in namespace: NetNamespace) -> LinkShare? { nil }
    func check(_ check: inout InterfaceCheck) {}

    func isEqual(to other: any CheckedLinkSpec) -> Bool { (other as? Self) == self }
}

/// The field of an interface that holds what is special about its kind.
struct LinkBlock: Sendable {
    /// The name in the .proto file.
    let name: String
    /// Whether it is the one that is set.
    let isSet: @Sendable (Ligato_Linux_Interfaces_Interface.OneOf_Link) -> Bool

    init(_ name: String, isSet: @escaping @Sendable (Ligato_Linux_Interfaces_Interface.OneOf_Link) -> Bool) {
        (self.name, self.isSet) = (name, isSet)
    }
}

/// What only one interface can have: a VLAN of the interface below, the ends of a tunnel in a namespace, or a device.
enum LinkShare: Hashable, Sendable {
    /// A tag on the interface with a logical name.
    case tag(UInt32, parent: String)
    /// The ends of a tunnel, with all else that tells tunnels of a kind apart; of one that is external there are none.
    case ends(TunnelEnds, in: NetNamespace)
    /// A device that is there once.
    case device(LinkMatch)
}

/// What tells the tunnels of a kind in a namespace apart.
struct TunnelEnds: Hashable, Sendable {
    /// The kind's name in the .proto file.
    var word: String
    var local: IPAddress?
    var remote: IPAddress?
    /// The key or the number of the network.
    var number: UInt32?
    var port: UInt16 = 0
    var parent: String?
}

/// The specification of any kind.
struct AnyLinkSpec: Hashable, Sendable {
    let base: any CheckedLinkSpec

    init(_ base: any CheckedLinkSpec) { self.base = base }

    static func == (left: Self, right: Self) -> Bool { left.base.isEqual(to: right.base) }

    func hash(into hasher: inout Hasher) { base.hash(into: &hasher) }
}
