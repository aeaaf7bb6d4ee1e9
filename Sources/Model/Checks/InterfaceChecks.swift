internal import NetworkTypes

extension Checker {
    /// Checks an interface by itself.
    mutating func check(interface: Interface, _ item: Int) {
        let type = interface.type
        let name = interface.name
        check(name: name, item, "name")
        guard type != .undefined else {
            brokenInterfaces.insert(name)
            let types = Interface.TypeEnum.allCases.filter { $0 != .undefined && $0 != .tapToVpp }.map(\.word)
            return report(item, ["type"], "is missing; it is one of \(types.joined(separator: ", "))")
        }
        remember(interface, item)
        guard type != .tapToVpp else {
            let text = "is not possible: there is no VPP here; for a TAP device use type TAP"
            reject(item, ["type"], value: "TAP_TO_VPP", text)
            return
        }
        if interface.hasNamespace { check(namespace: interface.namespace, item) }
        checkHostName(interface, item)
        checkLink(interface, item)
        if !interface.physAddress.isEmpty { checkMAC(interface, item) }
        checkMTU(interface, item)
        if type == .vrfDevice, !interface.vrfMasterInterface.isEmpty {
            report(item, ["vrf_master_interface"], "is not possible: a VRF can't be a member of a VRF")
        }
        checkAddresses(interface, item)
        for (key, value) in interface.sysctls { check(sysctl: key, value, item) }
    }

    private mutating func checkHostName(_ interface: Interface, _ item: Int) {
        guard interface.type != .loopback else { return }
        let isOwn = interface.hostIfName.isEmpty
        let name = isOwn ? interface.name : interface.hostIfName
        guard !name.isEmpty, !isPlainName(name), let problem = InterfaceName.mistake(in: name) else { return }
        let hint = isOwn ? "; give it another name in the kernel with host_if_name" : ""
        report(item, [isOwn ? "name" : "host_if_name"], value: name, "\(problem)\(hint)")
    }

    /// Whether a name is short and of letters, digits, dots and dashes: those need no closer look.
    private func isPlainName(_ name: String) -> Bool {
        let bytes = name.utf8
        guard (1...InterfaceName.maximumLength).contains(bytes.count), bytes.first != UInt8(ascii: ".") else {
            return false
        }
        return bytes.allSatisfy { $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || $0 == 45 || $0 == 46 || $0 == 95 }
    }

    private mutating func checkMAC(_ interface: Interface, _ item: Int) {
        check(mac: interface.physAddress, item, "phys_address")
        let reason: String
        switch interface.type {
        case .vrfDevice: reason = "is not possible: a VRF has no MAC address of its own"
        case .ipvlan: reason = "is not possible: an IPVLAN has the MAC address of its parent"
        case .tap where interface.tuntap.mode == .tun:
            reason = "is not possible: a TUN device carries no Ethernet frames"
        default: return
        }
        report(item, ["phys_address"], reason)
    }

    private mutating func checkMTU(_ interface: Interface, _ item: Int) {
        let mtu = interface.mtu
        guard mtu != 0 else { return }
        let range: ClosedRange<UInt32>
        switch interface.type {
        case .loopback: range = 68...65575
        case .vrfDevice: range = 1280...65575
        case .existing: return
        default: range = 68...65535
        }
        guard range.contains(mtu) else {
            let text = "is out of range for \(interface.type.word) (\(range.lowerBound)–\(range.upperBound))"
            return report(item, ["mtu"], value: String(mtu), text)
        }
        // The kernel switches IPv6 off on such an interface (RFC 8200, section 5).
        if mtu < 1280, interface.ipAddresses.contains(where: { $0.utf8.contains(58) && !$0.isReference }) {
            report(
                item, ["mtu"], value: String(mtu),
                "is below 1280, which IPv6 needs, but the interface has IPv6 addresses")
        }
    }
}

extension Checker {
    private mutating func checkAddresses(_ interface: Interface, _ item: Int) {
        let addresses = interface.ipAddresses
        var seen: [IPPrefix] = []
        // Fewer than this are compared one by one; more go through a set.
        var many = Set<IPPrefix>()
        for (index, text) in addresses.enumerated() {
            if text.isReference {
                let path: [PathPart] = ["ip_addresses", .element(index)]
                if interface.type == .existing, interface.linkOnly {
                    report(item, path, value: text, "is not possible on an EXISTING interface with link_only")
                }
                check(reference: text, item, path, owner: interface.name, gateway: .refused)
                continue
            }
            guard let prefix = parsePrefix(text) else { continue }
            let isNew = seen.count < 8 ? !seen.contains(prefix) : many.insert(prefix).inserted && !seen.contains(prefix)
            check(address: prefix, text, isNew: isNew, item, ["ip_addresses", .element(index)])
            if seen.count < 8 { seen.append(prefix) }
        }
        for (index, entry) in interface.addresses.enumerated() {
            let path: [PathPart] = ["addresses", .element(index)]
            guard let prefix = parsePrefix(entry.address) else {
                report(item, path + ["address"], "is missing")
                continue
            }
            let isNew = many.insert(prefix).inserted && !seen.contains(prefix)
            check(address: prefix, entry.address, isNew: isNew, item, path + ["address"])
            if let peer = parsePrefix(entry.peer), peer.family != prefix.family {
                report(item, path + ["peer"], value: entry.peer, "is not of the same family as \(entry.address)")
            }
            if entry.nodad, prefix.family == .v4 {
                report(item, path + ["nodad"], "is only for IPv6 addresses; \(entry.address) is IPv4")
            }
        }
    }

    private mutating func check(
        address: IPPrefix, _ text: String, isNew: Bool, _ item: Int, _ path: @autoclosure () -> [PathPart]
    ) {
        if !isNew {
            report(item, path(), value: text, "is there twice")
        } else if address.address.isMulticast {
            report(item, path(), value: text, "is a multicast address")
        } else if address.address.isUnspecified {
            report(item, path(), value: text, "is the unspecified address")
        }
    }
}

extension Interface.TypeEnum {
    /// The name in the .proto file.
    var word: String {
        switch self {
        case .undefined: "UNDEFINED"
        case .veth: "VETH"
        case .tapToVpp: "TAP_TO_VPP"
        case .loopback: "LOOPBACK"
        case .existing: "EXISTING"
        case .vrfDevice: "VRF_DEVICE"
        case .dummy: "DUMMY"
        case .tap: "TAP"
        case .bridge: "BRIDGE"
        case .vlan: "VLAN"
        case .vxlan: "VXLAN"
        case .macvlan: "MACVLAN"
        case .ipvlan: "IPVLAN"
        case .UNRECOGNIZED(let number): String(number)
        }
    }
}
