internal import Model
internal import Netlink
internal import NetworkTypes

/// A field of a message that can't be used as it is.
struct InvalidValue: Error {
    let fields: [String]
    let text: String

    init(_ fields: String..., text: String) {
        self.fields = fields
        self.text = text
    }
}

extension Interface {
    /// Reads an interface from its message.
    init(_ message: Ligato_Linux_Interfaces_Interface, ownership: Ownership) throws(InvalidValue) {
        guard !message.name.isEmpty else { throw InvalidValue("name", text: "the interface has no name") }
        name = message.name
        kind = try Kind(message)
        namespace = NamespaceReference(message.namespace, given: message.hasNamespace)
        hostName = kind == .loopback ? "lo" : message.hostIfName.isEmpty ? message.name : message.hostIfName
        if let mistake = InterfaceName.mistake(in: hostName) {
            throw InvalidValue("host_if_name", text: "the host name '\(hostName)' \(mistake)")
        }
        enabled = message.enabled
        linkOnly = message.linkOnly
        if message.physAddress.isEmpty || message.linkOnly {
            mac = nil
        } else {
            guard let address = MACAddress(message.physAddress) else {
                throw InvalidValue("phys_address", text: "'\(message.physAddress)' is not a MAC address")
            }
            mac = address
        }
        mtu = message.mtu == 0 ? kind.defaultMTU : message.mtu
        vrf = message.vrfMasterInterface.isEmpty ? nil : message.vrfMasterInterface
        addresses = try Self.addresses(of: message, isExisting: kind == .existing)
        sysctls = try message.sysctls.sorted { $0.key < $1.key }.map { entry throws(InvalidValue) in
            try SysctlSetting(interface: message.name, name: entry.key, value: entry.value)
        }
        receiveOffload = message.veth.rxChecksumOffloading.setting
        transmitOffload = message.veth.txChecksumOffloading.setting
        let suffix = if case .veth(let peer) = kind { "/\(peer)" } else { "" }
        alias = "\(ownership.aliasPrefix)\(name)\(suffix)"
    }

    private static func addresses(
        of message: Ligato_Linux_Interfaces_Interface, isExisting: Bool
    ) throws(InvalidValue) -> [InterfaceAddress] {
        // With link_only the addresses are left to others; on an existing interface we wait for them.
        if message.linkOnly, !isExisting { return [] }
        var result: [InterfaceAddress] = []
        result.reserveCapacity(message.ipAddresses.count)
        for text in message.ipAddresses {
            result.append(
                try InterfaceAddress(
                    interface: message.name, text: text, peer: nil, noDAD: false,
                    isExpected: message.linkOnly, vrf: message.vrfMasterInterface))
        }
        for address in message.addresses {
            result.append(
                try InterfaceAddress(
                    interface: message.name, text: address.address, peer: address.peer, noDAD: address.nodad,
                    isExpected: message.linkOnly, vrf: message.vrfMasterInterface))
        }
        return result
    }
}

extension Interface.Kind {
    init(_ message: Ligato_Linux_Interfaces_Interface) throws(InvalidValue) {
        switch message.type {
        case .veth:
            guard !message.veth.peerIfName.isEmpty else {
                throw InvalidValue("peer_if_name", text: "a veth names its peer in veth.peer_if_name")
            }
            self = .veth(peer: message.veth.peerIfName)
        case .loopback: self = .loopback
        case .existing: self = .existing
        case .vrfDevice: self = .vrf(table: message.vrfDev.routingTable)
        case .dummy: self = .dummy
        case .tap: self = .tun(TUNAttributes(message.tuntap))
        case .bridge: self = .bridge(BridgeAttributes(message.bridge), ports: message.bridge.ports)
        case .vlan:
            self = .vlan(
                parent: message.vlan.parent,
                VLANAttributes(
                    id: UInt16(truncatingIfNeeded: message.vlan.id),
                    ethertype: message.vlan.protocol == .dot1Ad ? 0x88a8 : 0x8100))
        case .vxlan:
            let parent = message.vxlan.parent
            self = .vxlan(parent: parent.isEmpty ? nil : parent, try VXLANAttributes(message.vxlan))
        case .macvlan: self = .macvlan(parent: message.macvlan.parent, mode: message.macvlan.mode.kernelMode)
        case .ipvlan:
            self = .ipvlan(
                parent: message.ipvlan.parent, mode: UInt16(truncatingIfNeeded: message.ipvlan.mode.rawValue))
        case .tapToVpp:
            throw InvalidValue("type", text: "TAP_TO_VPP needs VPP, which this agent does without: use TAP")
        case .undefined, .UNRECOGNIZED:
            throw InvalidValue("type", text: "the interface has no type")
        }
    }

    /// What an unset MTU stands for; nil: whatever it is.
    var defaultMTU: UInt32? {
        switch self {
        case .veth, .dummy: 1500
        case .loopback: 65536
        case .vrf, .existing, .tun, .bridge, .vlan, .vxlan, .macvlan, .ipvlan: nil
        }
    }
}

extension Ligato_Linux_Interfaces_VethLink.ChecksumOffloading {
    /// nil: the kernel's default, which is on.
    var setting: Bool? {
        switch self {
        case .chksmOffloadEnabled: true
        case .chksmOffloadDisabled: false
        case .chksmOffloadDefault, .UNRECOGNIZED: nil
        }
    }
}

extension Ligato_Linux_Interfaces_MacvlanLink.Mode {
    /// `MACVLAN_MODE_*`, linux/if_link.h.
    var kernelMode: UInt32 {
        switch self {
        case .private: 1
        case .vepa: 2
        case .bridge, .UNRECOGNIZED: 4
        case .passthru: 8
        }
    }
}

extension TUNAttributes {
    init(_ message: Ligato_Linux_Interfaces_TunTapLink) {
        self.init(
            isTUN: message.mode == .tun, owner: message.hasOwner ? message.owner : nil,
            group: message.hasGroup ? message.group : nil, vnetHeader: message.vnetHeader,
            multiQueue: message.multiQueue, persistent: true)
    }
}

extension BridgeAttributes {
    /// Whatever is not set has the kernel's default, so that taking it out of the configuration takes it back.
    init(_ message: Ligato_Linux_Interfaces_BridgeLink) {
        self.init(
            stpState: message.stp ? 1 : 0, vlanFiltering: message.vlanFiltering,
            ageingTime: min(message.ageingTime == 0 ? 300 : message.ageingTime, .max / 100) * 100,
            forwardDelay: min(message.forwardDelay == 0 ? 15 : message.forwardDelay, .max / 100) * 100)
    }
}

extension VXLANAttributes {
    init(_ message: Ligato_Linux_Interfaces_VxlanLink) throws(InvalidValue) {
        func address(_ text: String, _ field: String) throws(InvalidValue) -> IPAddress? {
            if text.isEmpty { return nil }
            guard let address = IPAddress(text) else {
                throw InvalidValue(field, text: "'\(text)' is not an IP address")
            }
            return address
        }
        let remote = try address(message.remote, "remote")
        let group = try address(message.group, "group")
        self.init(
            vni: message.vni, remote: remote ?? group, local: try address(message.local, "local"),
            port: message.port == 0 ? 4789 : UInt16(truncatingIfNeeded: message.port), learning: !message.noLearning,
            ttl: message.ttl == 0 ? nil : UInt8(truncatingIfNeeded: message.ttl))
    }
}
