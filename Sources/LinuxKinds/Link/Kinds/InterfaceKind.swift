internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What a kind of interface is, beside what all have: one file in this folder for each, and one line of
/// ``InterfaceKinds``.
protocol InterfaceKind: Hashable, Sendable {
    /// What the kernel calls it; nil: no kind of its own.
    static var link: (any LinkKindAttributes.Type)? { get }

    /// What is declared.
    associatedtype Spec: LinkSpec

    /// Takes what is declared.
    init(_ spec: Spec)

    /// Whether its ports get their MAC address and MTU from it, and go up and down as they come and go.
    static var rulesPorts: Bool { get }

    /// Whether its MTU is that of its smallest port, as long as none was set.
    static var followsPorts: Bool { get }

    /// The word for it in plans and status.
    var word: String { get }

    /// The logical name of the interface it is built on.
    var parent: String? { get }

    /// The logical name of the other end.
    var peer: String? { get }

    /// Checksum offloads that are set.
    var offloads: ChecksumOffloads { get }

    /// Whether the link is someone else's and only configured by us.
    var isAdopted: Bool { get }

    /// Logical names of the interfaces that are its ports.
    var ports: [String] { get }

    /// The logical name of the port that it prefers.
    var primary: String? { get }

    /// Other ends to which it sends what it knows no other way for, when there are several.
    var remotes: [IPAddress] { get }

    /// What a bridge is to keep for one of its ports; nil: it is no bridge.
    func settings(of port: String) -> BridgePort?

    /// VLANs of a bridge that tells them apart, and of its ports; nil for a port: the bridge itself.
    var vlans: [(port: String?, vlans: BridgeVLANs)] { get }

    /// Further values that live and die with an interface of the kind, by its logical name.
    func derived(of interface: String) -> [DerivedValue<LinuxWorld>]

    /// The link, if it is there or planned.
    func find(_ interface: Interface, in state: NamespaceState) -> LinkState?

    /// Adds what makes the link with these attributes, which hold what all kinds have.
    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan)

    /// Sets what is only set once the link is there.
    func finish(_ attributes: inout LinkAttributes, of interface: Interface)

    /// What can't be changed in place.
    func mismatch(with have: LinkKind) -> Difference?

    /// What can; nil: nothing differs.
    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind?

    /// What of an earlier state is set in place to go back to it; nil: nothing.
    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind?

    /// What a link is asked for that is made again, as it is for one that is made.
    static func request(for old: LinkKind) -> LinkKind

    /// What makes a port the one that it prefers, by the port's index; nil: it prefers none.
    static func preferring(_ port: Int32) -> LinkKind?

    /// Index of the port that it prefers; 0: none.
    static func preferred(in kind: LinkKind) -> Int32

    /// Whether it is up only while what it is built on is.
    static var followsParent: Bool { get }

    /// Writes the link down as an interface of this kind, beside what all have.
    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export)
}

extension InterfaceKind {
    static var rulesPorts: Bool { false }
    static var followsPorts: Bool { false }
    static var followsParent: Bool { link?.followsLower ?? false }
    var parent: String? { nil }
    var peer: String? { nil }
    var isAdopted: Bool { false }
    var offloads: ChecksumOffloads { ChecksumOffloads() }
    var ports: [String] { [] }
    var primary: String? { nil }
    var remotes: [IPAddress] { [] }
    func settings(of port: String) -> BridgePort? { nil }
    var vlans: [(port: String?, vlans: BridgeVLANs)] { [] }
    func derived(of interface: String) -> [DerivedValue<LinuxWorld>] { [] }
    func find(_ interface: Interface, in state: NamespaceState) -> LinkState? { state.ownedLinks[interface.alias] }
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) {}
    func mismatch(with have: LinkKind) -> Difference? { nil }
    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? { nil }
    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? { nil }
    static func request(for old: LinkKind) -> LinkKind { old }
    static func preferring(_ port: Int32) -> LinkKind? { nil }
    static func preferred(in kind: LinkKind) -> Int32 { 0 }

    fileprivate init(any spec: any LinkSpec) {
        guard let spec = spec as? Spec else { preconditionFailure("\(Self.self) is not what \(spec) asks for") }
        self.init(spec)
    }

    fileprivate func isEqual(to other: any InterfaceKind) -> Bool { (other as? Self) == self }
}

/// All kinds of interfaces.
enum InterfaceKinds {
    private typealias Types = Ligato_Linux_Interfaces_Interface.TypeEnum

    private static let all = Types.allCases.compactMap(kind(of:))

    /// The kind behind a type of the model; nil: there is none.
    private static func kind(of type: Types) -> (any InterfaceKind.Type)? {
        switch type {
        case .veth: VethKind.self
        case .loopback: LoopbackKind.self
        case .existing: ExistingKind.self
        case .vrfDevice: VRFKind.self
        case .dummy: DummyKind.self
        case .tap: TapKind.self
        case .bridge: BridgeKind.self
        case .vlan: VLANKind.self
        case .vxlan: VXLANKind.self
        case .macvlan: MACVLANKind.self
        case .ipvlan: IPVLANKind.self
        case .bond: BondKind.self
        case .macvtap: MACVTAPKind.self
        case .geneve: GeneveKind.self
        case .gre: TunnelKind<GREForm>.self
        case .gretap: TunnelKind<GRETAPForm>.self
        case .ip6Gre: TunnelKind<IP6GREForm>.self
        case .ip6Gretap: TunnelKind<IP6GRETAPForm>.self
        case .ipip: TunnelKind<IPIPForm>.self
        case .sit: TunnelKind<SITForm>.self
        case .ip6Tnl: TunnelKind<IP6TNLForm>.self
        case .wireguard: WireGuardKind.self
        case .undefined, .tapToVpp, .UNRECOGNIZED: nil
        }
    }

    /// Whether a type of the model is of this kind.
    static func isKind(_ kind: any InterfaceKind.Type, of type: Ligato_Linux_Interfaces_Interface.TypeEnum) -> Bool {
        self.kind(of: type).map { ObjectIdentifier($0) == ObjectIdentifier(kind) } ?? false
    }

    /// The kind that is declared.
    static func kind(of spec: InterfaceSpec) -> AnyInterfaceKind {
        guard let kind = kind(of: spec.type) else { preconditionFailure("no kind of interface is a \(spec.type)") }
        return AnyInterfaceKind(kind.init(any: spec.link))
    }

    /// The kind as which a link of the kernel's is written down.
    static func kind(of link: LinkKind) -> any InterfaceKind.Type {
        all.first { type in type.link.map(link.isOf) ?? false } ?? LoopbackKind.self
    }
}

/// A kind of any type.
struct AnyInterfaceKind: Hashable, Sendable {
    let base: any InterfaceKind

    init(_ base: any InterfaceKind) { self.base = base }

    static func == (left: Self, right: Self) -> Bool { left.base.isEqual(to: right.base) }

    func hash(into hasher: inout Hasher) { base.hash(into: &hasher) }
}

/// Checksum offloads of an interface; nil: the kernel's default.
struct ChecksumOffloads: Hashable, Sendable {
    var receive: Bool?
    var transmit: Bool?
}
