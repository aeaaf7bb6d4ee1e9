internal import NetworkTypes

/// Reads the sections of a `.network` file that hold one object each.
extension ConversionDraft {
    mutating func readAddress(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        guard let entry = unit.entry("Address", section) else {
            return leave(unit.sections[section].place, "[Address]", "it has no Address=")
        }
        _ = unit.entries("Broadcast", section)
        var address = Ligato_Linux_Interfaces_InterfaceAddress()
        address.address = entry.value
        if let peer = unit.entry("Peer", section) { address.peer = peer.value }
        if let label = unit.entry("Label", section) { address.label = label.value }
        if let lifetime = unit.entry("PreferredLifetime", section) {
            if lifetime.value == "0" { address.deprecated = true }
            if !["0", "infinity", "forever"].contains(lifetime.value) {
                leave(lifetime, "Address", "an address that is declared stays")
            }
        }
        if let adds = unit.entry("AddPrefixRoute", section) { address.noprefixroute = Words.flag(adds.value) == false }
        if let detection = unit.entry("DuplicateAddressDetection", section) {
            address.nodad = ["none", "no", "ipv4", "false"].contains(detection.value)
            if ["ipv4", "both"].contains(detection.value) {
                leave(detection, "Address", "the kernel looks for IPv6 addresses only")
            }
        }
        if address == Self.plain(entry.value) {
            add(address: entry.value, to: index, entry.place, "[Address] Address")
        } else {
            add(address, to: index, entry.place, "[Address] Address")
        }
    }

    private static func plain(_ text: String) -> Ligato_Linux_Interfaces_InterfaceAddress {
        var address = Ligato_Linux_Interfaces_InterfaceAddress()
        address.address = text
        return address
    }

    mutating func readRoute(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        var route = RouteMessage()
        let gateway = unit.entry("Gateway", section)
        if let gateway { route.gwAddr = gateway.value }
        if let gateway, IPAddress(gateway.value) == nil {
            return leave(
                gateway, "Route", "\(gateway.value.inQuotes) is not an address; a gateway by DHCP comes with its client"
            )
        }
        if let entry = unit.entry("Type", section) {
            guard let type = Words.routeTypes[entry.value] else {
                return leave(entry, "Route", "routes of type \(entry.value.inQuotes) can't be declared")
            }
            route.type = type
        }
        let to = unit.entry("Destination", section)
        let place = to?.place ?? unit.sections[section].place
        guard let destination = destination(to?.value ?? "default", gateway: route.gwAddr, place, "[Route] Destination")
        else {
            return
        }
        route.dstNetwork = destination
        if let entry = unit.entry("Source", section) {
            leave(entry, "Route", "routes by source are rules here: see linuxConfig.rules")
        }
        readMetrics(&unit, section, &route)
        let hops = unit.entries("MultiPathRoute", section)
        if let object = unit.entry("NextHop", section), let id = number(object) {
            route.nexthop = Self.nextHopName(id)
            if let gateway { leave(gateway, "Route", "NextHop= says where the packets go") }
            (route.gwAddr, route.onlink) = ("", false)
        } else if !hops.isEmpty {
            route.nextHops = hops.compactMap { hop($0, index) }
        } else if route.type == .unicast {
            route.outgoingInterface = interfaces[index].name
        }
        add(route, at: unit.sections[section].place)
    }

    private mutating func readMetrics(_ unit: inout UnitFile, _ section: Int, _ route: inout RouteMessage) {
        route.metric = number(unit.entry("Metric", section)) ?? 0
        if let entry = unit.entry("Table", section), let table = table(entry.value, entry.place, "[Route] Table") {
            route.table = table
        }
        if let entry = unit.entry("PreferredSource", section) { route.srcAddr = entry.value }
        if let entry = unit.entry("GatewayOnLink", section) { route.onlink = Words.flag(entry.value) == true }
        route.mtu = unit.entry("MTUBytes", section).flatMap { size($0) } ?? 0
        route.advmss = unit.entry("TCPAdvertisedMaximumSegmentSize", section).flatMap { size($0) } ?? 0
        route.initcwnd = number(unit.entry("InitialCongestionWindow", section)) ?? 0
        route.initrwnd = number(unit.entry("InitialAdvertisedReceiveWindow", section)) ?? 0
        if let entry = unit.entry("IPv6Preference", section) {
            let preferences: [String: RouteMessage.Preference] = ["low": .low, "medium": .medium, "high": .high]
            if let preference = preferences[entry.value] {
                route.pref = preference
            } else {
                leave(entry, "Route", "it is unknown")
            }
        }
        if let entry = unit.entry("Scope", section), !(entry.value == "link" && !route.gwAddr.isEmpty) {
            if let scope = Words.scopes[entry.value] {
                route.scope = scope
            } else {
                leave(entry, "Route", "it is unknown")
            }
        }
    }

    /// `ADDRESS[@INTERFACE] [WEIGHT]`.
    private mutating func hop(_ entry: UnitFile.Entry, _ index: Int) -> Ligato_Linux_L3_NextHop? {
        let words = entry.value.split(separator: " ")
        let parts = (words.first ?? "").split(separator: "@", maxSplits: 1)
        guard let gateway = parts.first, IPAddress(gateway) != nil else {
            leave(entry, "Route", "\(entry.value.inQuotes) names no gateway")
            return nil
        }
        var hop = Ligato_Linux_L3_NextHop()
        hop.gwAddr = String(gateway)
        hop.outgoingInterface = parts.count > 1 ? logical(String(parts[1])) : interfaces[index].name
        if words.count > 1, let weight = number(String(words[1]), entry.place, "[Route] MultiPathRoute") {
            hop.weight = weight
        }
        return hop
    }

    mutating func readPolicy(_ unit: inout UnitFile, _ section: Int) {
        var rule = RuleMessage()
        rule.from = unit.entry("From", section)?.value ?? ""
        rule.to = unit.entry("To", section)?.value ?? ""
        rule.priority = number(unit.entry("Priority", section)) ?? 0
        rule.iif = unit.entry("IncomingInterface", section)?.value ?? ""
        rule.oif = unit.entry("OutgoingInterface", section)?.value ?? ""
        rule.sport = unit.entry("SourcePort", section)?.value ?? ""
        rule.dport = unit.entry("DestinationPort", section)?.value ?? ""
        rule.ipProto = unit.entry("IPProtocol", section)?.value ?? ""
        if let entry = unit.entry("User", section) {
            if Words.number(String(entry.value.prefix { $0 != "-" })) != nil {
                rule.uidRange = entry.value
            } else {
                leave(entry, "RoutingPolicyRule", "write the number of the user as uidRange")
            }
        }
        if let entry = unit.entry("FirewallMark", section) {
            let parts = entry.value.split(separator: "/")
            rule.fwmark = parts.first.flatMap { number(String($0), entry.place, entry.key) } ?? 0
            if parts.count > 1 { rule.fwmask = number(String(parts[1]), entry.place, entry.key) ?? 0 }
        }
        if let entry = unit.entry("InvertRule", section) { rule.invert = Words.flag(entry.value) == true }
        if let entry = unit.entry("L3MasterDevice", section) { rule.l3Mdev = Words.flag(entry.value) == true }
        if let length = number(unit.entry("SuppressPrefixLength", section)) { rule.suppressPrefixlength = length }
        if let entry = unit.entry("Type", section) {
            guard let action = Words.ruleActions[entry.value] else {
                return leave(entry, "RoutingPolicyRule", "it is unknown")
            }
            rule.action = action
        }
        if rule.action == .lookup, !rule.l3Mdev { rule.table = 254 }
        if let entry = unit.entry("Table", section), let table = table(entry.value, entry.place, entry.key),
            !rule.l3Mdev
        {
            rule.table = table
        }
        let place = unit.sections[section].place
        let family = unit.entry("Family", section)?.value ?? "ipv4"
        if family != "ipv6" { add(rule, at: place) }
        if family != "ipv4" {
            rule.family = .ipv6
            add(rule, at: place)
        }
    }

    mutating func readNeighbour(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        guard let address = unit.entry("Address", section), IPAddress(address.value) != nil,
            let link = unit.entry("LinkLayerAddress", section) ?? unit.entry("MACAddress", section)
        else { return leave(unit.sections[section].place, "[Neighbor]", "it needs Address= and LinkLayerAddress=") }
        var entry = Ligato_Linux_L3_ARPEntry()
        (entry.interface, entry.ipAddress, entry.hwAddress) = (interfaces[index].name, address.value, link.value)
        add(.arp(entry), at: address.place)
    }

    mutating func readPort(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        func flag(_ key: String) -> Bool? { unit.entry(key, section).flatMap { Words.flag($0.value) } }
        var port = ports[interfaces[index].name] ?? PortMessage()
        if let isOn = flag("HairPin") { port.hairpin = isOn }
        if let isOn = flag("Isolated") { port.isolated = isOn }
        if let isOn = flag("NeighborSuppression") { port.neighSuppress = isOn }
        if let isOn = flag("FastLeave") { port.fastleave = isOn }
        if let isOn = flag("UnicastFlood"), !isOn { port.flood = false }
        if let isOn = flag("MulticastFlood"), !isOn { port.mcastFlood = false }
        if let isOn = flag("Learning"), !isOn { port.learning = false }
        if let isOn = flag("UseBPDU") { port.guard = !isOn }
        if let isOn = flag("AllowPortToBeRoot") { port.rootBlock = !isOn }
        if let cost = number(unit.entry("Cost", section)) { port.cost = cost }
        if let priority = number(unit.entry("Priority", section)) { port.priority = priority }
        ports[interfaces[index].name] = port
    }

    mutating func readForwarding(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        guard let mac = unit.entry("MACAddress", section), MACAddress(mac.value) != nil else {
            return leave(unit.sections[section].place, "[BridgeFDB]", "it needs MACAddress=")
        }
        var entry = Nsmagent_Linux_ForwardingEntry()
        (entry.interface, entry.mac) = (interfaces[index].name, mac.value)
        if let destination = unit.entry("Destination", section) { entry.dst = destination.value }
        if let vlan = number(unit.entry("VLANId", section)) { entry.vlan = vlan }
        if let vni = number(unit.entry("VNI", section)) { entry.vni = vni }
        if let associated = unit.entry("AssociatedWith", section),
            associated.value == "use" || entry.dst.isEmpty && associated.value == "self"
        {
            leave(associated, "BridgeFDB", "it is taken for \(entry.dst.isEmpty ? "master" : "self")")
        }
        add(.forwarding(entry), at: mac.place)
    }

    mutating func readBridgeVLANs(_ unit: inout UnitFile, _ index: Int) {
        var (tagged, untagged) = ([Ligato_Linux_Interfaces_BridgeVlan](), [Ligato_Linux_Interfaces_BridgeVlan]())
        var pvid: UInt32?
        for section in unit.take("BridgeVLAN") {
            for (key, isUntagged) in [("VLAN", false), ("EgressUntagged", true)] {
                for entry in unit.entries(key, section) {
                    guard let vlan = Self.vlan(entry.value) else {
                        leave(entry, "BridgeVLAN", "\(entry.value.inQuotes) is no VLAN (1–4094), nor a range of them")
                        continue
                    }
                    if isUntagged { untagged.append(vlan) } else { tagged.append(vlan) }
                }
            }
            if let number = number(unit.entry("PVID", section)) { pvid = number }
        }
        let vlans = Self.vlans(tagged: tagged, untagged: untagged, pvid: pvid)
        if vlans.isEmpty { return }
        if interfaces[index].type == .bridge {
            interfaces[index].bridge.vlans = vlans
        } else {
            setPort(index) { $0.vlans = vlans }
        }
    }
}
