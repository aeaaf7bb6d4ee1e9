internal import Model
internal import Netlink
internal import Reconciler

/// A persistent TAP or TUN device.
struct TapKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = TUNAttributes.self

    private let attributes: TUNAttributes

    init(_ tap: TunTapSpec) {
        attributes = TUNAttributes(
            isTUN: tap.isTUN, owner: tap.owner, group: tap.group, vnetHeader: tap.hasVNETHeader,
            multiQueue: tap.isMultiQueue, persistent: true)
    }

    var word: String { attributes.isTUN ? "tun" : "tap" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        plan.add(
            .createTUN(name: interface.hostName, self.attributes, alias: interface.wholeAlias, index: plan.newIndex()))
    }

    /// The mark is set before the device becomes persistent.
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) {
        attributes.alias = nil
        attributes.mtu = interface.mtu
        attributes.mac = interface.mac
    }

    func mismatch(with have: LinkKind) -> Difference? {
        guard var have = have[TUNAttributes.self] else { return nil }
        have.persistent = true
        // The program that opens the device decides; what is declared is only what it starts with.
        have.vnetHeader = attributes.vnetHeader
        return attributes == have ? nil : Difference("tuntap", old: "\(have)", new: "\(attributes)")
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let tun = link.link.kind[TUNAttributes.self] else { return }
        message.type = .tap
        message.tuntap.mode = tun.isTUN ? .tun : .tap
        message.tuntap.multiQueue = tun.multiQueue
        message.tuntap.vnetHeader = tun.vnetHeader
        if let owner = tun.owner { message.tuntap.owner = owner }
        if let group = tun.group { message.tuntap.group = group }
        if !tun.isTUN { message.physAddress = link.macText }
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
    }
}
