internal import Model
internal import Netlink

/// A device that swallows what it is sent.
struct DummyKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = DummyAttributes.self

    init(_ spec: DummySpec) {}

    var word: String { "dummy" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.create(attributes, .dummy)
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .dummy
        message.physAddress = link.macText
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
    }
}
