internal import NetworkTypes

extension Interface.TypeEnum {
    /// The field that holds what is special about this type; nil when nothing is.
    fileprivate var block: String? {
        switch self {
        case .veth: "veth"
        case .tapToVpp: "tap"
        case .vrfDevice: "vrf_dev"
        case .tap: "tuntap"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        case .undefined, .loopback, .existing, .dummy, .UNRECOGNIZED: nil
        }
    }
}

extension Interface.OneOf_Link {
    fileprivate var block: String {
        switch self {
        case .veth: "veth"
        case .tap: "tap"
        case .vrfDev: "vrf_dev"
        case .tuntap: "tuntap"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        }
    }
}

extension Checker {
    /// Checks that the block of an interface fits its type and is complete.
    mutating func checkLink(_ interface: Interface, _ item: Int) {
        let type = interface.type
        if let link = interface.link, link.block != type.block {
            let right = type.block.map { "takes '\($0)'" } ?? "takes none"
            return report(item, [.field(link.block)], "does not belong to type \(type.word), which \(right)")
        }
        switch type {
        case .veth:
            if interface.veth.peerIfName.isEmpty {
                report(item, ["veth", "peer_if_name"], "is missing; name the other half of the pair")
            }
        case .vrfDevice:
            if interface.vrfDev.routingTable == 0 {
                report(item, ["vrf_dev", "routing_table"], "is missing; give the VRF a table of its own")
            }
        case .bridge:
            let delay = interface.bridge.forwardDelay
            if delay == 1 {
                report(
                    item, ["bridge", "forward_delay"], value: String(delay), "is out of range (2–30, 0 for the default)"
                )
            }
        case .vlan:
            checkParent(interface.vlan.parent, item, ["vlan", "parent"])
            if interface.vlan.id == 0 { report(item, ["vlan", "id"], "is missing; it is 1–4094") }
        case .vxlan: check(vxlan: interface.vxlan, item)
        case .macvlan: checkParent(interface.macvlan.parent, item, ["macvlan", "parent"])
        case .ipvlan: checkParent(interface.ipvlan.parent, item, ["ipvlan", "parent"])
        case .undefined, .tapToVpp, .loopback, .existing, .dummy, .tap, .UNRECOGNIZED: break
        }
    }

    private mutating func checkParent(_ parent: String, _ item: Int, _ path: [PathPart]) {
        if parent.isEmpty { report(item, path, "is missing; name the interface below") }
    }

    private mutating func check(vxlan: Ligato_Linux_Interfaces_VxlanLink, _ item: Int) {
        let remote = parseAddress(vxlan.remote)
        let group = parseAddress(vxlan.group)
        if remote != nil, group != nil {
            report(item, ["vxlan", "group"], value: vxlan.group, "can't be set together with remote")
        }
        if let remote, remote.isMulticast || remote.isUnspecified {
            let text = remote.isMulticast ? "is a multicast address; use group" : "is the unspecified address"
            report(item, ["vxlan", "remote"], value: vxlan.remote, text)
        }
        if let group {
            if !group.isMulticast {
                report(item, ["vxlan", "group"], value: vxlan.group, "is not a multicast address; use remote")
            }
            if vxlan.parent.isEmpty { report(item, ["vxlan", "group"], value: vxlan.group, "needs a parent") }
        }
        if let local = parseAddress(vxlan.local) {
            if let other = remote ?? group, other.family != local.family {
                report(item, ["vxlan", "local"], value: vxlan.local, "is not of the same family as \(other)")
            }
            if local.isMulticast { report(item, ["vxlan", "local"], value: vxlan.local, "is a multicast address") }
        }
    }
}
