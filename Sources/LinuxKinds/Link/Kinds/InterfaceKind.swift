internal import Model
internal import Netlink
internal import Reconciler

/// What a kind of interface is, beside what all have: one file in this folder for each, and one line of
/// ``InterfaceKinds/all``.
protocol InterfaceKind: Hashable, Sendable {
    /// What the kernel calls it; nil: no kind of its own.
    static var link: (any LinkKindAttributes.Type)? { get }

    /// Takes what is declared; nil: it is another kind.
    init?(_ spec: InterfaceSpec.Kind)

    /// The word for it in plans and status.
    var word: String { get }

    /// The logical name of the interface it is built on.
    var parent: String? { get }

    /// The logical name of the other end.
    var peer: String? { get }

    /// Whether the link is someone else's and only configured by us.
    var isAdopted: Bool { get }

    /// Logical names of the interfaces that are its ports.
    var ports: [String] { get }

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

    /// Writes the link down as an interface of this kind, beside what all have.
    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export)
}

extension InterfaceKind {
    var parent: String? { nil }
    var peer: String? { nil }
    var isAdopted: Bool { false }
    var ports: [String] { [] }
    func find(_ interface: Interface, in state: NamespaceState) -> LinkState? { state.ownedLinks[interface.alias] }
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) {}
    func mismatch(with have: LinkKind) -> Difference? { nil }
    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? { nil }

    fileprivate func isEqual(to other: any InterfaceKind) -> Bool { (other as? Self) == self }
}

/// All kinds of interfaces.
enum InterfaceKinds {
    static let all: [any InterfaceKind.Type] = [
        VethKind.self, DummyKind.self, BridgeKind.self, TapKind.self, VLANKind.self, VXLANKind.self, MACVLANKind.self,
        IPVLANKind.self, VRFKind.self, ExistingKind.self, LoopbackKind.self,
    ]

    /// The kind that is declared.
    static func kind(of spec: InterfaceSpec.Kind) -> AnyInterfaceKind {
        for type in all { if let kind = type.init(spec) { return AnyInterfaceKind(kind) } }
        preconditionFailure("no kind of interface takes \(spec)")
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
