internal import NetworkTypes

/// Reads `.netdev` files.
extension ConversionDraft {
    mutating func readDevice(_ unit: inout UnitFile) {
        guard let section = unit.take("NetDev").first, let name = unit.entry("Name", section),
            let kind = unit.entry("Kind", section)
        else {
            leave(unit.sections[0].place, "[NetDev]", "it needs Name= and Kind=")
            return unit.takeAll()
        }
        _ = unit.entries("Description", section)
        // Of a match with the host nothing is known here.
        let index = interface(name.value, at: name.place)
        if let entry = unit.entry("MTUBytes", section), let mtu = size(entry) { interfaces[index].mtu = mtu }
        if let entry = unit.entry("MACAddress", section), entry.value != "none" {
            set(mac: entry.value, of: index, entry.place, "[NetDev] MACAddress")
        }
        switch kind.value.lowercased() {
        case "bridge": readBridge(&unit, index)
        case "bond": readBond(&unit, index)
        case "dummy": interfaces[index].type = .dummy
        case "vlan": readVLAN(&unit, index)
        case "vxlan": readVXLAN(&unit, index)
        case "geneve": readGeneve(&unit, index)
        case "vrf":
            interfaces[index].type = .vrfDevice
            for section in unit.take("VRF") {
                if let entry = unit.entry("Table", section), let table = table(entry.value, entry.place, "[VRF] Table")
                {
                    interfaces[index].vrfDev.routingTable = table
                }
            }
        case "veth": readPair(&unit, index)
        case "macvlan", "macvtap": readMACVLAN(&unit, index, isTap: kind.value.lowercased() == "macvtap")
        case "ipvlan":
            interfaces[index].type = .ipvlan
            for section in unit.take("IPVLAN") {
                if let mode = word("Mode", &unit, section, Words.ipvlanModes) { interfaces[index].ipvlan.mode = mode }
            }
        case "wireguard": readWireGuard(&unit, index)
        case "tun", "tap": readTunTap(&unit, index, isTUN: kind.value.lowercased() == "tun")
        case let word:
            if let type = Words.tunnels[word] { return readTunnel(&unit, index, type) }
            leave(
                kind, "NetDev",
                "interfaces of kind \(kind.value.inQuotes) can't be made here; \(name.value.inQuotes) is taken for one that something "
                    + "else makes")
        }
    }

    private mutating func word<Value>(
        _ key: String, _ unit: inout UnitFile, _ section: Int, _ table: [String: Value]
    ) -> Value? {
        guard let entry = unit.entry(key, section) else { return nil }
        if let value = table[entry.value.lowercased()] { return value }
        leave(entry, unit.sections[section].name, "\(entry.value.inQuotes) has no counterpart here")
        return nil
    }

    private mutating func milliseconds(_ key: String, _ unit: inout UnitFile, _ section: Int) -> UInt32? {
        guard let entry = unit.entry(key, section) else { return nil }
        if let span = Words.milliseconds(entry.value, unit: 1000) { return span }
        leave(entry, unit.sections[section].name, "\(entry.value.inQuotes) is not a span of time")
        return nil
    }

    private mutating func readBridge(_ unit: inout UnitFile, _ index: Int) {
        interfaces[index].type = .bridge
        var bridge = Ligato_Linux_Interfaces_BridgeLink()
        for section in unit.take("Bridge") {
            if let entry = unit.entry("STP", section) { bridge.stp = Words.flag(entry.value) == true }
            if let entry = unit.entry("VLANFiltering", section) {
                bridge.vlanFiltering = Words.flag(entry.value) == true
            }
            if let span = milliseconds("AgeingTimeSec", &unit, section) { bridge.ageingTime = span / 1000 }
            if let span = milliseconds("ForwardDelaySec", &unit, section) {
                bridge.forwardDelay = span / 1000
            }
        }
        interfaces[index].bridge = bridge
    }

    private mutating func readBond(_ unit: inout UnitFile, _ index: Int) {
        interfaces[index].type = .bond
        var bond = Ligato_Linux_Interfaces_BondLink()
        for section in unit.take("Bond") {
            if let mode = word("Mode", &unit, section, Words.bondModes) { bond.mode = mode }
            if let policy = word("TransmitHashPolicy", &unit, section, Words.hashPolicies) {
                bond.xmitHashPolicy = policy
            }
            if let rate = word("LACPTransmitRate", &unit, section, Words.lacpRates) { bond.lacpRate = rate }
            if let selection = word("AdSelect", &unit, section, Words.selections) { bond.adSelect = selection }
            if let span = milliseconds("MIIMonitorSec", &unit, section) { bond.miimon = span }
            if let span = milliseconds("UpDelaySec", &unit, section) { bond.updelay = span }
            if let span = milliseconds("DownDelaySec", &unit, section) { bond.downdelay = span }
            if let count = number(unit.entry("MinLinks", section)) { bond.minLinks = count }
        }
        interfaces[index].bond = bond
    }

    private mutating func readVLAN(_ unit: inout UnitFile, _ index: Int) {
        interfaces[index].type = .vlan
        for section in unit.take("VLAN") {
            interfaces[index].vlan.id = number(unit.entry("Id", section)) ?? 0
            if let word = word("Protocol", &unit, section, Words.vlanProtocols) {
                interfaces[index].vlan.protocol = word
            }
        }
    }

    private mutating func readVXLAN(_ unit: inout UnitFile, _ index: Int) {
        interfaces[index].type = .vxlan
        var vxlan = Ligato_Linux_Interfaces_VxlanLink()
        for section in unit.take("VXLAN") {
            vxlan.vni = number(unit.entry("VNI", section) ?? unit.entry("Id", section)) ?? 0
            vxlan.local = unit.entry("Local", section)?.value ?? ""
            vxlan.remote = unit.entry("Remote", section)?.value ?? ""
            vxlan.group = unit.entry("Group", section)?.value ?? ""
            if IPAddress(vxlan.remote)?.isMulticast == true { (vxlan.group, vxlan.remote) = (vxlan.remote, "") }
            if let entry = unit.entry("TTL", section), entry.value != "inherit" { vxlan.ttl = number(entry) ?? 0 }
            vxlan.port = number(unit.entry("DestinationPort", section)) ?? 0
            if let entry = unit.entry("MacLearning", section) { vxlan.noLearning = Words.flag(entry.value) == false }
            _ = unit.entries("Independent", section)
        }
        interfaces[index].vxlan = vxlan
    }

    private mutating func readGeneve(_ unit: inout UnitFile, _ index: Int) {
        interfaces[index].type = .geneve
        for section in unit.take("GENEVE") {
            interfaces[index].geneve.vni = number(unit.entry("Id", section)) ?? 0
            interfaces[index].geneve.remote = unit.entry("Remote", section)?.value ?? ""
            interfaces[index].geneve.port = number(unit.entry("DestinationPort", section)) ?? 0
            interfaces[index].geneve.tos = number(unit.entry("TOS", section)) ?? 0
            if let entry = unit.entry("TTL", section), entry.value != "inherit" {
                interfaces[index].geneve.ttl = number(entry) ?? 0
            }
        }
    }

    private mutating func readPair(_ unit: inout UnitFile, _ index: Int) {
        for section in unit.take("Peer") {
            guard let peer = unit.entry("Name", section) else { continue }
            pair(index, with: peer.value, at: peer.place)
            if let entry = unit.entry("MACAddress", section) {
                set(mac: entry.value, of: interface(peer.value, at: peer.place), entry.place, "[Peer] MACAddress")
            }
        }
        if interfaces[index].type == .existing {
            leave(unit.sections[0].place, "[Peer]", "a pair needs the name of its other end")
        }
    }

    private mutating func readMACVLAN(_ unit: inout UnitFile, _ index: Int, isTap: Bool) {
        interfaces[index].type = isTap ? .macvtap : .macvlan
        for section in unit.take(isTap ? "MACVTAP" : "MACVLAN") {
            guard let mode = word("Mode", &unit, section, Words.macvlanModes) else { continue }
            if isTap { interfaces[index].macvtap.mode = mode } else { interfaces[index].macvlan.mode = mode }
        }
    }

    private mutating func readTunTap(_ unit: inout UnitFile, _ index: Int, isTUN: Bool) {
        interfaces[index].type = .tap
        interfaces[index].tuntap.mode = isTUN ? .tun : .tap
        for section in unit.take(isTUN ? "Tun" : "Tap") {
            if let entry = unit.entry("MultiQueue", section) {
                interfaces[index].tuntap.multiQueue = Words.flag(entry.value) == true
            }
            if let entry = unit.entry("VNetHeader", section) {
                interfaces[index].tuntap.vnetHeader = Words.flag(entry.value) == true
            }
            for (key, isUser) in [("User", true), ("Group", false)] {
                guard let entry = unit.entry(key, section) else { continue }
                guard let number = Words.number(entry.value) else {
                    leave(
                        entry, unit.sections[section].name,
                        "write the number of \(entry.value.inQuotes), as names are for one host")
                    continue
                }
                if isUser { interfaces[index].tuntap.owner = number } else { interfaces[index].tuntap.group = number }
            }
        }
    }

    private mutating func readTunnel(_ unit: inout UnitFile, _ index: Int, _ type: InterfaceMessage.TypeEnum) {
        interfaces[index].type = type
        var tunnel = Ligato_Linux_Interfaces_TunnelLink()
        for section in unit.take("Tunnel") {
            _ = unit.entries("Independent", section)
            for (key, isLocal) in [("Local", true), ("Remote", false)] {
                guard let entry = unit.entry(key, section), entry.value != "any" else { continue }
                guard IPAddress(entry.value) != nil else {
                    leave(entry, "Tunnel", "\(entry.value.inQuotes) is not an address")
                    continue
                }
                if isLocal { tunnel.local = entry.value } else { tunnel.remote = entry.value }
            }
            tunnel.ttl = number(unit.entry("TTL", section)) ?? 0
            tunnel.tos = number(unit.entry("TOS", section)) ?? 0
            if let key = number(unit.entry("Key", section)) { tunnel.key = key }
            let (input, output) = (unit.entry("InputKey", section), unit.entry("OutputKey", section))
            if let input, let output, input.value == output.value {
                tunnel.key = number(input) ?? 0
            } else if let one = input ?? output {
                leave(one, "Tunnel", "both directions have one key here")
            }
            if let entry = unit.entry("EncapsulationLimit", section) {
                if entry.value == "none" {
                    tunnel.noEncapsulationLimit = true
                } else {
                    leave(entry, "Tunnel", "only 'none' can be set")
                }
            }
            if let entry = unit.entry("External", section) { tunnel.external = Words.flag(entry.value) == true }
            if let entry = unit.entry("Mode", section), entry.value != "any" {
                leave(entry, "Tunnel", "the tunnel carries both families here")
            }
        }
        interfaces[index].tunnel = tunnel
    }
}
