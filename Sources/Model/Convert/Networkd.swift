internal import NetworkTypes

/// Reads units of systemd-networkd. Source: systemd.netdev(5), systemd.network(5).
extension ConversionDraft {
    static let networkdReasons: [String: String] = [
        "DHCP": "addresses by DHCP need a client, such as dhcpcd; the agent leaves them alone",
        "DHCPv4": "it is for a DHCP client", "DHCPv6": "it is for a DHCP client", "DHCP-PD": "it is for a DHCP client",
        "DHCPServer": "a DHCP server is a program of its own, such as dnsmasq",
        "DHCPPrefixDelegation": "it is for a DHCP client",
        "DHCPServerStaticLease": "a DHCP server is a program of its own, such as dnsmasq",
        "IPv6SendRA": "router advertisements need a program of their own, such as radvd",
        "IPv6AcceptRA": "it says what is done with router advertisements; sysctls of the interface do that here",
        "IPv6Prefix": "router advertisements need a program of their own, such as radvd",
        "DNS": "name servers are for the resolver: write them to /etc/resolv.conf or to its own configuration",
        "Domains": "search domains are for the resolver", "DNSDefaultRoute": "it is for the resolver",
        "LLMNR": "it is for the resolver", "MulticastDNS": "it is for the resolver", "DNSSEC": "it is for the resolver",
        "DNSOverTLS": "it is for the resolver", "NTP": "time servers are for the program that sets the clock",
        "LLDP": "LLDP needs a program of its own, such as lldpd",
        "EmitLLDP": "LLDP needs a program of its own, such as lldpd",
        "KeepConfiguration": "what is declared stays when the agent stops",
        "IPMasquerade": "declare it in linuxConfig.nftables as masquerade, with the interface that packets leave by",
        "Unmanaged": "leave the file out, if the interface is not to be touched",
    ]

    /// Reads units: the devices first, as networks refer to them.
    mutating func readNetworkd(_ files: [ForeignFile]) throws(ConversionFailure) {
        reasons = Self.networkdReasons
        var units = files.sorted { Self.fileName($0.name) < Self.fileName($1.name) }.map { UnitFile($0) }
        let mistakes = units.flatMap(\.mistakes)
        if !mistakes.isEmpty { throw ConversionFailure(mistakes) }
        for index in units.indices where units[index].sections.contains(where: { $0.name == "NetDev" }) {
            readDevice(&units[index])
        }
        let words = Set(
            units.flatMap { $0.sections.flatMap(\.entries) }
                .flatMap { $0.value.split { $0 == " " || $0 == "@" } }.map { String($0) })
        var configured: Set<String> = []
        for index in units.indices where !units[index].sections.contains(where: { $0.name == "NetDev" }) {
            readNetwork(&units[index], words, &configured)
        }
        for unit in units { leaveRest(of: unit) }
    }

    /// Files are applied in the order of their names, wherever they are.
    private static func fileName(_ path: String) -> String {
        path.split(separator: "/").last.map { String($0) } ?? path
    }

    private mutating func leaveRest(of unit: UnitFile) {
        for section in unit.sections {
            guard section.isTaken else {
                leave(section.place, "[\(section.name)]", reasons[section.name] ?? "it has no counterpart here")
                continue
            }
            for entry in section.entries where !entry.isTaken && !entry.value.isEmpty {
                leave(entry, section.name, reasons[entry.key] ?? "it has no counterpart here")
            }
        }
    }

    mutating func leave(_ entry: UnitFile.Entry, _ section: String, _ reason: String) {
        leave(entry.place, "[\(section)] \(entry.key)", reason)
    }

    // MARK: - Networks

    /// - Parameters:
    ///   - words: All words of all units.
    ///   - configured: Interfaces that a file was for: the first one of each is applied.
    private mutating func readNetwork(
        _ unit: inout UnitFile, _ words: Set<String>, _ configured: inout Set<String>
    ) {
        guard let match = unit.take("Match").first else {
            if let first = unit.sections.first {
                leave(first.place, "[\(first.name)]", "without [Match] it applies to nothing")
            }
            return unit.takeAll()
        }
        if unit.name.hasSuffix(".link") {
            leave(
                unit.sections[match].place, "[Match]", "it is a file of udev, which goes on reading it: systemd.link(5)"
            )
            return unit.takeAll()
        }
        let names = unit.entry("Name", match)
        let list = names?.value.split(separator: " ").map(String.init) ?? []
        if list.allSatisfy({ Words.isPattern($0) }), let what = networkdMatch(&unit, match) {
            if configured.insert("\(what.mac) \(what.path) \(what.driver)").inserted {
                if let names {
                    leave(names, "Match", "the rest of [Match] finds the interface, whatever it is called")
                }
                let index = interface(cardName(of: unit, words), at: unit.sections[match].place)
                find(index, by: what)
                return read(&unit, index)
            }
        }
        let chosen = self.chosen(list).filter { !configured.contains($0) }
        guard !chosen.isEmpty else {
            leave(
                unit.sections[match].place, "[Match]",
                "it names no interface, or only such that others of these files configure; write Name= with what the kernel has"
            )
            return unit.takeAll()
        }
        for key in ["MACAddress", "PermanentMACAddress", "Path", "Driver"] {
            for entry in unit.entries(key, match) { leave(entry, "Match", Self.nameSays) }
        }
        for name in chosen where !isFull {
            configured.insert(name)
            read(&unit, interface(name, at: unit.sections[match].place))
        }
    }

    /// The names of interfaces that names and patterns say, of those that are known.
    private func chosen(_ list: [String]) -> [String] {
        let known = interfaces.filter { !$0.hasMatch }.map(\.name)
        return list.flatMap { name in
            Words.isPattern(name) ? known.filter { Self.matches(name, $0) } : [name]
        }
    }

    /// Whether a name matches a pattern with `*` and `?`.
    private static func matches(_ pattern: String, _ name: String) -> Bool {
        let (pattern, name) = (Array(pattern.utf8), Array(name.utf8))
        var (at, here) = (0, 0)
        // Where to go on when what follows the last star does not fit.
        var star: (pattern: Int, name: Int)?
        while here < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, here)
                at += 1
            } else if at < pattern.count, pattern[at] == name[here] || pattern[at] == UInt8(ascii: "?") {
                (at, here) = (at + 1, here + 1)
            } else if let last = star {
                star = (last.pattern, last.name + 1)
                (at, here) = (last.pattern + 1, last.name + 1)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    private mutating func read(_ unit: inout UnitFile, _ index: Int) {
        for section in unit.take("Link") { readLink(&unit, section, index) }
        for section in unit.take("Network") { readNetworkSection(&unit, section, index) }
        for section in unit.take("Address") { readAddress(&unit, section, index) }
        for section in unit.take("NextHop") { readNextHop(&unit, section, index) }
        for section in unit.take("Route") { readRoute(&unit, section, index) }
        for section in unit.take("RoutingPolicyRule") { readPolicy(&unit, section) }
        for section in unit.take("Neighbor") { readNeighbour(&unit, section, index) }
        for section in unit.take("Bridge") { readPort(&unit, section, index) }
        for section in unit.take("BridgeFDB") { readForwarding(&unit, section, index) }
        readBridgeVLANs(&unit, index)
        readQdisc(&unit, index)
    }

    private mutating func readLink(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        _ = unit.entries("RequiredForOnline", section) + unit.entries("RequiredFamilyForOnline", section)
        if let entry = unit.entry("MTUBytes", section), let mtu = size(entry) { interfaces[index].mtu = mtu }
        if let entry = unit.entry("MACAddress", section) {
            set(mac: entry.value, of: index, entry.place, "[Link] MACAddress")
        }
        if let entry = unit.entry("ActivationPolicy", section) {
            switch entry.value {
            case "up", "always-up": break
            case "down", "always-down": interfaces[index].enabled = false
            default:
                interfaces[index].enabled = false
                leave(entry, "Link", "\(entry.value.inQuotes): it stays down until enabled is true")
            }
        }
    }

    private mutating func readNetworkSection(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        _ = unit.entries("Description", section) + unit.entries("ConfigureWithoutCarrier", section)
        for entry in unit.entries("Address", section) {
            add(address: entry.value, to: index, entry.place, "[Network] Address")
        }
        for entry in unit.entries("Gateway", section) {
            if entry.value.hasPrefix("_") || entry.value == "dhcp4" {
                leave(entry, "Network", "a gateway by DHCP or router advertisement comes with its client")
            } else {
                add(gateway: entry.value, of: index, entry.place, "[Network] Gateway")
            }
        }
        for (key, value) in [
            ("DHCP", "no"), ("LLDP", "no"), ("EmitLLDP", "no"), ("LLMNR", "no"), ("MulticastDNS", "no"),
        ] {
            guard let entry = unit.entry(key, section) else { continue }
            if Words.flag(entry.value) == false || entry.value == value { continue }
            leave(entry, "Network", reasons[key] ?? "it has no counterpart here")
        }
        readAutomatic(&unit, section, index)
        readForwarding(&unit, section, index: index)
        for key in ["Bridge", "Bond", "VRF"] {
            if let entry = unit.entry(key, section) {
                join(interfaces[index].name, to: entry.value, at: entry.place, "[Network] \(key)")
            }
        }
        for key in ["VLAN", "MACVLAN", "MACVTAP", "IPVLAN", "VXLAN", "Tunnel"] {
            for entry in unit.entries(key, section) { stand(entry, on: index) }
        }
        for key in ["ActiveSlave", "PrimarySlave"] {
            guard let entry = unit.entry(key, section), Words.flag(entry.value) == true else { continue }
            primaries.append((interfaces[index].name, entry.place))
        }
    }

    /// Addresses that come by themselves, by sysctls of the kernel.
    private mutating func readAutomatic(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        if let entry = unit.entry("LinkLocalAddressing", section) {
            let hasV6 = ["yes", "true", "ipv6", "1", "on"].contains(entry.value)
            if ["yes", "true", "ipv4", "1", "on"].contains(entry.value) {
                leave(entry, "Network", "IPv4 link-local addresses need a program of their own, such as avahi-autoipd")
            }
            // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h.
            if !hasV6 { set("addr_gen_mode", "1", of: index) }
        }
        for (key, name, no, yes) in [
            ("IPv6AcceptRA", "accept_ra", "0", "1"), ("IPv6ProxyNDP", "proxy_ndp", "0", "1"),
            ("IPv4ProxyARP", "proxy_arp", "0", "1"),
            ("IPv6PrivacyExtensions", "use_tempaddr", "0", "2"), ("IPv4AcceptLocal", "accept_local", "0", "1"),
            ("IPv4RouteLocalnet", "route_localnet", "0", "1"),
        ] {
            guard let entry = unit.entry(key, section) else { continue }
            guard let flag = Words.flag(entry.value) else {
                leave(
                    entry, "Network",
                    "\(entry.value.inQuotes) has no counterpart; sysctls.\(name) of the interface sets it")
                continue
            }
            set(name, flag ? yes : no, of: index)
        }
        if let entry = unit.entry("IPv6MTUBytes", section), let mtu = size(entry) {
            set("ipv6.mtu", "\(mtu)", of: index)
        }
        for (key, name) in [("IPv6HopLimit", "hop_limit"), ("IPv6DuplicateAddressDetection", "dad_transmits")] {
            if let entry = unit.entry(key, section), let number = number(entry) { set(name, "\(number)", of: index) }
        }
        if let entry = unit.entry("IPv4ReversePathFilter", section) {
            let modes = ["no": "0", "strict": "1", "loose": "2"]
            if let mode = modes[entry.value] {
                set("rp_filter", mode, of: index)
            } else {
                leave(entry, "Network", "it is unknown")
            }
        }
    }

    private mutating func readForwarding(_ unit: inout UnitFile, _ section: Int, index: Int) {
        if let entry = unit.entry("IPForward", section) {
            let isOn = Words.flag(entry.value) == true
            for family in ["ipv4", "ipv6"] {
                if isOn || entry.value == family { set("\(family).forwarding", "1", of: index) }
            }
        }
        for (key, family) in [("IPv4Forwarding", "ipv4"), ("IPv6Forwarding", "ipv6")] {
            guard let entry = unit.entry(key, section), let flag = Words.flag(entry.value) else { continue }
            set("\(family).forwarding", flag ? "1" : "0", of: index)
        }
    }

    /// A device that stands on an interface: only now it is known on which.
    private mutating func stand(_ entry: UnitFile.Entry, on index: Int) {
        guard knows(entry.value) else {
            return leave(entry, "Network", "no .netdev file of \(entry.value.inQuotes) is here; convert them together")
        }
        let (parent, device) = (interfaces[index].name, interface(entry.value, at: entry.place))
        switch interfaces[device].type {
        case .vlan: interfaces[device].vlan.parent = parent
        case .macvlan: interfaces[device].macvlan.parent = parent
        case .macvtap: interfaces[device].macvtap.parent = parent
        case .ipvlan: interfaces[device].ipvlan.parent = parent
        case .vxlan: interfaces[device].vxlan.parent = parent
        case .gre, .gretap, .ip6Gre, .ip6Gretap, .ipip, .sit, .ip6Tnl: interfaces[device].tunnel.parent = parent
        case .undefined, .veth, .tapToVpp, .loopback, .existing, .vrfDevice, .dummy, .tap, .bridge, .bond, .geneve,
            .wireguard,
            .UNRECOGNIZED:
            leave(entry, "Network", "\(entry.value.inQuotes) stands on no other interface")
        }
    }

    // MARK: - Values

    func size(_ entry: UnitFile.Entry) -> UInt32? {
        for (suffix, factor) in [("K", UInt32(1024)), ("M", 1 << 20)] where entry.value.hasSuffix(suffix) {
            let (product, isTooMuch) = (Words.number(entry.value.dropLast().trimmed) ?? .max)
                .multipliedReportingOverflow(by: factor)
            return isTooMuch ? nil : product
        }
        return Words.number(entry.value)
    }

    mutating func number(_ entry: UnitFile.Entry?) -> UInt32? {
        guard let entry else { return nil }
        return number(entry.value, entry.place, entry.key)
    }
}

extension UnitFile {
    /// All of it is left out with one word.
    mutating func takeAll() {
        for index in sections.indices { takeAll(index) }
    }

    /// All of a section is.
    mutating func takeAll(_ section: Int) {
        sections[section].isTaken = true
        for entry in sections[section].entries.indices { sections[section].entries[entry].isTaken = true }
    }
}
