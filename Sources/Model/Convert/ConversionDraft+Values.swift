internal import NetworkTypes

/// What readers of several formats add to values.
extension ConversionDraft {
    /// Adds an address, `10.0.0.1/24`; without a length it stands alone.
    mutating func add(address text: String, to interface: Int, _ place: SourcePosition, _ field: String) {
        let text = text.trimmed
        guard let prefix = IPPrefix(text) ?? IPAddress(text).map({ IPPrefix(host: $0) }) else {
            return leave(place, field, "\(text.inQuotes) is not an address")
        }
        // Twice the same is once.
        if knownAddresses[interface, default: []].insert(prefix).inserted {
            interfaces[interface].ipAddresses.append(text)
        }
    }

    /// Adds an address of which more is known.
    mutating func add(
        _ address: Ligato_Linux_Interfaces_InterfaceAddress, to interface: Int, _ place: SourcePosition, _ field: String
    ) {
        guard let prefix = IPPrefix(address.address) ?? IPAddress(address.address).map({ IPPrefix(host: $0) }) else {
            return leave(place, field, "\(address.address.inQuotes) is not an address")
        }
        knownAddresses[interface, default: []].insert(prefix)
        interfaces[interface].addresses.append(address)
    }

    /// Gives an interface its MAC address.
    mutating func set(mac text: String, of interface: Int, _ place: SourcePosition, _ field: String) {
        guard let mac = MACAddress(text.trimmed) else {
            return leave(place, field, "\(text.inQuotes) is not a MAC address")
        }
        interfaces[interface].physAddress = "\(mac)"
    }

    /// Adds a default route by way of a gateway.
    mutating func add(gateway text: String, of interface: Int, _ place: SourcePosition, _ field: String) {
        guard let gateway = IPAddress(text.trimmed) else {
            return leave(place, field, "\(text.inQuotes) is not an address of a gateway")
        }
        var route = RouteMessage()
        route.dstNetwork = IPPrefix.any(gateway.family).description
        route.gwAddr = "\(gateway)"
        route.outgoingInterface = interfaces[interface].name
        add(route, at: place)
    }

    /// A destination as it is written in ours; nil, and listed, when it is none.
    mutating func destination(
        _ text: String, gateway: String, _ place: SourcePosition, _ field: String
    ) -> String? {
        let text = text.trimmed
        if text == "default" { return IPPrefix.any(IPAddress(gateway)?.family ?? .v4).description }
        if IPPrefix(text) != nil || IPAddress(text) != nil { return text }
        leave(place, field, "\(text.inQuotes) is not a network")
        return nil
    }

    /// The number of a routing table: a number, or a name that every host has.
    mutating func table(_ text: String, _ place: SourcePosition, _ field: String) -> UInt32? {
        if let table = Words.tables[text] ?? Words.number(text) { return table }
        leave(place, field, "\(text.inQuotes) is a name that this host may not have; write the number of the table")
        return nil
    }

    /// Notes a setting of the kernel.
    mutating func set(_ sysctl: String, _ value: String, of interface: Int) {
        interfaces[interface].sysctls[sysctl] = value
    }

    /// Changes the settings of an interface as a port of a bridge.
    mutating func setPort(_ interface: Int, _ change: (inout PortMessage) -> Void) {
        change(&ports[interfaces[interface].name, default: PortMessage()])
    }

    /// Makes an interface one end of a pair whose other end has this name in the kernel.
    mutating func pair(_ interface: Int, with peer: String, at place: SourcePosition) {
        let other = self.interface(peer, at: place)
        (interfaces[interface].type, interfaces[other].type) = (.veth, .veth)
        interfaces[interface].veth.peerIfName = interfaces[other].name
        interfaces[other].veth.peerIfName = interfaces[interface].name
    }

    /// A text as a whole number in a range; nil, and listed, when it is none.
    mutating func number(_ text: String, _ place: SourcePosition, _ field: String) -> UInt32? {
        if let number = Words.number(text.trimmed) { return number }
        leave(place, field, "\(text.inQuotes) is not a number (0–4294967295)")
        return nil
    }

    /// VLANs of a bridge port: `4`, or a range `4-8`.
    static func vlan(_ text: String) -> Ligato_Linux_Interfaces_BridgeVlan? {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map {
            Words.number($0.trimmed)
        }
        guard let first = parts.first.flatMap({ $0 }), let last = parts.last.flatMap({ $0 }), first >= 1, first <= last,
            last <= 4094
        else { return nil }
        var vlan = Ligato_Linux_Interfaces_BridgeVlan()
        vlan.vid = first
        if last != first { vlan.last = last }
        return vlan
    }

    /// VLANs of a port, when tagged and untagged ones may overlap: each number once, in ranges of those that are alike.
    static func vlans(
        tagged: [Ligato_Linux_Interfaces_BridgeVlan], untagged: [Ligato_Linux_Interfaces_BridgeVlan], pvid: UInt32?
    ) -> [Ligato_Linux_Interfaces_BridgeVlan] {
        var states = [UInt8](repeating: 0, count: 4096)
        for (list, bits) in [(tagged, UInt8(1)), (untagged, 3)] {
            for vlan in list { for number in vlan.vid...max(vlan.vid, vlan.last) { states[Int(number)] |= bits } }
        }
        if let pvid, (1...4094).contains(pvid) { states[Int(pvid)] |= 5 }
        var vlans: [Ligato_Linux_Interfaces_BridgeVlan] = []
        for number in 1...4094 where states[number] != 0 {
            let isSame = number > 1 && states[number] == states[number - 1] && states[number] & 4 == 0
            if isSame, !vlans.isEmpty {
                vlans[vlans.count - 1].last = UInt32(number)
                continue
            }
            var vlan = Ligato_Linux_Interfaces_BridgeVlan()
            vlan.vid = UInt32(number)
            vlan.untagged = states[number] & 2 != 0
            vlan.pvid = states[number] & 4 != 0
            vlans.append(vlan)
        }
        return vlans
    }
}
