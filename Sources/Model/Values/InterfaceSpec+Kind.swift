internal import NetworkTypes

extension Ligato_Linux_Interfaces_Interface.OneOf_Link {
    /// The field's name in the .proto file.
    var block: String {
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

extension FieldFindings {
    private static func range(of field: String, in message: String) -> ClosedRange<UInt32> {
        Schema.plain.range(of: field, in: "ligato.linux.interfaces.\(message)")
    }

    private static let ageingTime = range(of: "ageing_time", in: "BridgeLink")
    private static let forwardDelay = range(of: "forward_delay", in: "BridgeLink")
    private static let vlanID = range(of: "id", in: "VlanLink")
    private static let vni = range(of: "vni", in: "VxlanLink")
    private static let port = range(of: "port", in: "VxlanLink")
    private static let ttl = range(of: "ttl", in: "VxlanLink")

    /// Reads what is special about the type; its block is there or all of it has its default.
    mutating func kind(_ message: Ligato_Linux_Interfaces_Interface, _ type: LinkType) -> InterfaceSpec.Kind? {
        switch type {
        case .veth: return veth(message.veth)
        case .loopback: return .loopback
        case .existing: return .existing
        case .dummy: return .dummy
        case .vrf:
            let table = message.vrfDev.routingTable
            if table == 0 { mistake(["vrf_dev", "routing_table"], "is missing; give the VRF a table of its own") }
            return .vrf(table: table)
        case .tap: return tap(message.tuntap)
        case .bridge: return .bridge(bridge(message.bridge))
        case .vlan: return vlan(message.vlan)
        case .vxlan: return vxlan(message.vxlan)
        case .macvlan:
            checkParent(message.macvlan.parent, ["macvlan", "parent"])
            return macvlanMode(message.macvlan.mode).map { .macvlan(parent: message.macvlan.parent, mode: $0) }
        case .ipvlan:
            checkParent(message.ipvlan.parent, ["ipvlan", "parent"])
            return ipvlanMode(message.ipvlan.mode).map { .ipvlan(parent: message.ipvlan.parent, mode: $0) }
        }
    }

    private mutating func checkParent(_ parent: String, _ path: [PathPart]) {
        if parent.isEmpty { mistake(path, "is missing; name the interface below") }
    }

    private mutating func veth(_ message: Ligato_Linux_Interfaces_VethLink) -> InterfaceSpec.Kind {
        if message.peerIfName.isEmpty {
            mistake(["veth", "peer_if_name"], "is missing; name the other half of the pair")
        }
        return .veth(
            peer: message.peerIfName,
            receiveOffload: offload(message.rxChecksumOffloading, "rx_checksum_offloading"),
            transmitOffload: offload(message.txChecksumOffloading, "tx_checksum_offloading"))
    }

    /// nil: the kernel's default.
    private mutating func offload(
        _ setting: Ligato_Linux_Interfaces_VethLink.ChecksumOffloading, _ field: String
    ) -> Bool? {
        switch setting {
        case .chksmOffloadDefault: return nil
        case .chksmOffloadEnabled: return true
        case .chksmOffloadDisabled: return false
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.VethLink.ChecksumOffloading", ["veth", .field(field)])
            return nil
        }
    }

    private mutating func tap(_ message: Ligato_Linux_Interfaces_TunTapLink) -> InterfaceSpec.Kind? {
        if case .UNRECOGNIZED(let number) = message.mode {
            unknown(number, "ligato.linux.interfaces.TunTapLink.Mode", ["tuntap", "mode"])
        }
        return .tap(
            TunTapSpec(
                isTUN: message.mode == .tun, isMultiQueue: message.multiQueue,
                owner: message.hasOwner ? message.owner : nil, group: message.hasGroup ? message.group : nil,
                hasVNETHeader: message.vnetHeader))
    }

    /// Whatever is not set has the kernel's default, so that taking it out of the configuration takes it back.
    private mutating func bridge(_ message: Ligato_Linux_Interfaces_BridgeLink) -> BridgeSpec {
        check(message.ageingTime, Self.ageingTime, ["bridge", "ageing_time"])
        check(message.forwardDelay, Self.forwardDelay, ["bridge", "forward_delay"])
        // Source: `BR_MIN_FORWARD_DELAY`, net/bridge/br_private.h.
        if message.forwardDelay == 1 {
            mistake(["bridge", "forward_delay"], value: "1", "is out of range (2–30, 0 for the default)")
        }
        return BridgeSpec(
            ports: message.ports, isSTP: message.stp, isFilteringVLANs: message.vlanFiltering,
            ageingTime: message.ageingTime == 0 ? BridgeSpec.defaultAgeingTime : message.ageingTime,
            forwardDelay: message.forwardDelay == 0 ? BridgeSpec.defaultForwardDelay : message.forwardDelay)
    }

    private mutating func vlan(_ message: Ligato_Linux_Interfaces_VlanLink) -> InterfaceSpec.Kind? {
        checkParent(message.parent, ["vlan", "parent"])
        let range = Self.vlanID
        if message.id == 0 {
            mistake(["vlan", "id"], "is missing; it is \(range.lowerBound)–\(range.upperBound)")
        } else {
            check(message.id, range, ["vlan", "id"])
        }
        let tagProtocol: VLANSpec.TagProtocol
        switch message.protocol {
        case .dot1Q: tagProtocol = .dot1q
        case .dot1Ad: tagProtocol = .dot1ad
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.VlanLink.Protocol", ["vlan", "protocol"])
            return nil
        }
        return .vlan(
            VLANSpec(
                parent: message.parent, id: UInt16(truncatingIfNeeded: message.id), tagProtocol: tagProtocol))
    }

    private mutating func vxlan(_ message: Ligato_Linux_Interfaces_VxlanLink) -> InterfaceSpec.Kind {
        check(message.vni, Self.vni, ["vxlan", "vni"])
        check(message.port, Self.port, ["vxlan", "port"])
        check(message.ttl, Self.ttl, ["vxlan", "ttl"])
        let remote = address(message.remote, ["vxlan", "remote"])
        let group = address(message.group, ["vxlan", "group"])
        let local = address(message.local, ["vxlan", "local"])
        if remote != nil, group != nil {
            mistake(["vxlan", "group"], value: message.group, "can't be set together with remote")
        }
        if let remote, remote.isMulticast || remote.isUnspecified {
            let text = remote.isMulticast ? "is a multicast address; use group" : "is the unspecified address"
            mistake(["vxlan", "remote"], value: message.remote, text)
        }
        if let group {
            if !group.isMulticast {
                mistake(["vxlan", "group"], value: message.group, "is not a multicast address; use remote")
            }
            if message.parent.isEmpty { mistake(["vxlan", "group"], value: message.group, "needs a parent") }
        }
        if let local {
            if let other = remote ?? group, other.family != local.family {
                mistake(["vxlan", "local"], value: message.local, "is not of the same family as \(other)")
            }
            if local.isMulticast { mistake(["vxlan", "local"], value: message.local, "is a multicast address") }
        }
        return .vxlan(
            VXLANSpec(
                parent: message.parent.orNil, vni: message.vni, remote: remote ?? group, local: local,
                port: message.port == 0 ? VXLANSpec.defaultPort : UInt16(truncatingIfNeeded: message.port),
                isLearning: !message.noLearning, ttl: message.ttl == 0 ? nil : UInt8(truncatingIfNeeded: message.ttl)))
    }

    private mutating func macvlanMode(_ mode: Ligato_Linux_Interfaces_MacvlanLink.Mode) -> MACVLANMode? {
        switch mode {
        case .bridge: return .bridge
        case .private: return .isolated
        case .vepa: return .vepa
        case .passthru: return .passthrough
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.MacvlanLink.Mode", ["macvlan", "mode"])
            return nil
        }
    }

    private mutating func ipvlanMode(_ mode: Ligato_Linux_Interfaces_IpvlanLink.Mode) -> IPVLANMode? {
        switch mode {
        case .l2: return .l2
        case .l3: return .l3
        case .l3S: return .l3s
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.interfaces.IpvlanLink.Mode", ["ipvlan", "mode"])
            return nil
        }
    }
}
