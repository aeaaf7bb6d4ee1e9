internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// An end of a WireGuard tunnel. What it has beside its link are values of their own, see ``WireGuardClass``.
struct WireGuardKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = WireGuardAttributes.self

    let spec: WireGuardSpec

    init(_ spec: WireGuardSpec) { self.spec = spec }

    var word: String { "wireguard" }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        // Its packets go through the namespace in which it is made.
        plan.create(attributes, .wireguard, in: plan.tunnelOrigin)
    }

    func derived(of interface: String) -> [DerivedValue<LinuxWorld>] {
        let settings = WireGuardSettings(interface: interface, spec)
        return [DerivedValue(key: settings.key, value: settings)]
            + spec.peers.map { peer in
                let value = WireGuardPeerValue(interface: interface, peer)
                return DerivedValue(key: value.valueKey, value: value)
            }
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        message.type = .wireguard
        message.wireguard = Ligato_Linux_Interfaces_WireguardLink()
        if link.link.mtu != WireGuardAttributes.kernelMTU { message.mtu = link.link.mtu }
        WireGuardClass.export(link, as: &message, &export)
    }
}
