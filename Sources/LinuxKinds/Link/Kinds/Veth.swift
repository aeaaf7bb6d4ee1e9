internal import Model
internal import Netlink

/// One end of a veth pair.
struct VethKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = VethAttributes.self

    private let other: String
    let offloads: ChecksumOffloads

    init(_ veth: VethSpec) {
        other = veth.other
        offloads = ChecksumOffloads(receive: veth.receiveOffload, transmit: veth.transmitOffload)
    }

    var word: String { "veth" }
    var peer: String? { other }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        // Both ends are made at once, see Interface+Create.swift.
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .veth
        message.physAddress = link.macText
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.veth.peerIfName = export.world.peer(of: link).map { export.name(of: $0) } ?? ""
        guard link.link.group == export.ownership.tunedGroup else { return }
        message.veth.rxChecksumOffloading = offload(of: link, receive: true, export)
        message.veth.txChecksumOffloading = offload(of: link, receive: false, export)
    }

    private static func offload(
        of link: LinkState, receive: Bool, _ export: Export
    ) -> Ligato_Linux_Interfaces_VethLink.ChecksumOffloading {
        switch export.world.offload(of: link.link.name, receive: receive, in: link.namespace) {
        case true?: .chksmOffloadEnabled
        case false?: .chksmOffloadDisabled
        case nil: .chksmOffloadDefault
        }
    }
}
