internal import Model
internal import Netlink

/// A link that something else makes, and that is only configured.
struct ExistingKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = nil

    /// What it is; nil: it is known by its name.
    let match: LinkMatch?

    init(_ spec: ExistingSpec) { match = spec.match }

    var word: String { "existing" }
    var isAdopted: Bool { true }

    /// One that is known by what it is, ``LinuxWorld/sight(of:_:)`` looks for.
    func find(_ interface: Interface, in state: NamespaceState) -> LinkState? {
        state.link(named: interface.hostName)
    }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {}

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .existing
    }
}

/// The loopback interface of a namespace.
struct LoopbackKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = nil

    init(_ spec: LoopbackSpec) {}

    var word: String { "loopback" }
    var isAdopted: Bool { true }

    func find(_ interface: Interface, in state: NamespaceState) -> LinkState? { state.linksByName["lo"] }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {}

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .loopback
        message.hostIfName = ""
    }
}
