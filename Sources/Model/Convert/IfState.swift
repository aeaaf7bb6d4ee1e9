internal import NetworkTypes
internal import YAML

/// Reads files of IfState, versions 1 and 2. Source: ifstate's documentation and its examples.
extension ConversionDraft {
    private static let ifstateReasons: [String: String] = [
        "ethtool": "settings of the hardware are for ethtool",
        "businfo": nameSays, "permaddr": nameSays, "perm_address": nameSays, "identify": nameSays,
        "wireguard": "it belongs to an interface of kind wireguard",
        "tc": "declare the root qdisc of the interface in linuxConfig.qdiscs",
        "vrrp": "VRRP needs a program of its own, such as keepalived",
        "xdp": "BPF programs are loaded by other programs",
        "bpf": "BPF programs are loaded by other programs", "hooks": "hooks are not run",
        "ignore": "what is not declared is left alone", "defaults": "write defaults at each interface",
        "parameters": "they say how ifstate works", "options": "they say how ifstate works",
    ]

    mutating func readIfState(_ root: Node) {
        reasons = Self.ifstateReasons
        ignore("version", "log_level", in: root)
        readIfStateNamespace(root)
        for (name, key, node) in pairs(take("namespaces", in: root)) {
            declare(namespace: name, at: place(key))
            scope = name
            if tree.kind(of: node) == .mapping { readIfStateNamespace(node) }
            scope = ""
        }
    }

    private mutating func readIfStateNamespace(_ root: Node) {
        if let interfaces = take("interfaces", in: root) {
            if tree.kind(of: interfaces) == .mapping {
                for (name, _, node) in pairs(interfaces) where tree.kind(of: node) == .mapping {
                    readIfStateInterface(node, name)
                }
            } else {
                for node in mappings(interfaces) {
                    guard let name = text("name", in: node) else {
                        leave(node, "an interface needs a name")
                        continue
                    }
                    readIfStateInterface(node, name)
                }
            }
        }
        guard let routing = take("routing", in: root) else { return }
        // Also without `routes:`, as a list.
        let hasParts = tree.kind(of: routing) == .mapping
        for route in mappings(hasParts ? take("routes", in: routing) : routing) { readIfStateRoute(route) }
        if hasParts { for rule in mappings(take("rules", in: routing)) { readIfStateRule(rule) } }
    }

    private mutating func readIfStateInterface(_ node: Node, _ name: String) {
        let index = device(name, at: place(node))
        if let link = take("link", in: node), tree.kind(of: link) == .mapping { readIfStateLink(link, index, name) }
        if let block = take("identify", in: node), tree.kind(of: block) == .mapping {
            readIfStateIdentity(block, index, name)
        }
        if interfaces[index].type == .wireguard, let block = take("wireguard", in: node) {
            readIfStateWireGuard(block, index)
        }
        if name == "lo" { interfaces[index].type = .loopback }
        for element in elements(take("addresses", in: node)) {
            if let text = text(element) { add(address: text, to: index, place(element), "addresses") }
        }
        if let neighbours = take("neighbours", in: node) { readIfStateNeighbours(neighbours, index) }
        readIfStateSysctls(node, index)
        if let port = take("brport", in: node), tree.kind(of: port) == .mapping { readIfStatePort(port, index) }
        for element in elements(take("fdb", in: node)) where tree.kind(of: element) == .mapping {
            readIfStateForwarding(element, index)
        }
    }

    private mutating func readIfStateNeighbours(_ node: Node, _ index: Int) {
        func entry(_ address: String, _ mac: String?) -> ModelValue {
            var entry = Ligato_Linux_L3_ARPEntry()
            (entry.interface, entry.ipAddress, entry.hwAddress) = (interfaces[index].name, address, mac ?? "")
            return .arp(entry)
        }
        guard tree.kind(of: node) == .sequence else {
            for (address, key, value) in pairs(node) {
                let mac = text(value)
                add(entry(address, mac), at: place(key))
            }
            return
        }
        for element in mappings(node) {
            guard let address = text("dst", in: element) else { continue }
            let mac = text("lladdr", in: element)
            add(entry(address, mac), at: place(element))
        }
    }

    private mutating func readIfStateSysctls(_ node: Node, _ index: Int) {
        guard let settings = take("sysctl", in: node), tree.kind(of: settings) == .mapping else { return }
        for family in ["ipv4", "ipv6"] {
            for (name, _, value) in pairs(take(family, in: settings)) {
                guard let text = text(value) else { continue }
                let number = Words.flag(text).map { $0 ? "1" : "0" } ?? text
                guard InterfaceSysctl("\(family).\(name)") != nil, Int64(number) != nil else {
                    leave(value, "it is no setting of an interface that can be declared")
                    continue
                }
                set("\(family).\(name)", number, of: index)
            }
        }
    }

    private mutating func readIfStatePort(_ node: Node, _ index: Int) {
        func flag(_ name: String) -> Bool? { self.flag("brport_" + name, in: node) ?? self.flag(name, in: node) }
        func count(_ name: String) -> UInt32? { number("brport_" + name, name, in: node) }
        var port = PortMessage()
        if let isOn = flag("mode") { port.hairpin = isOn }
        if let isOn = flag("isolated") { port.isolated = isOn }
        if let isOn = flag("guard") { port.guard = isOn }
        if let isOn = flag("protect") { port.rootBlock = isOn }
        if let isOn = flag("fast_leave") { port.fastleave = isOn }
        if let isOn = flag("neigh_suppress") { port.neighSuppress = isOn }
        if let isOn = flag("learning"), !isOn { port.learning = false }
        if let isOn = flag("unicast_flood"), !isOn { port.flood = false }
        if let isOn = flag("mcast_flood"), !isOn { port.mcastFlood = false }
        if let isOn = flag("bcast_flood"), !isOn { port.bcastFlood = false }
        if let cost = count("cost") { port.cost = cost }
        if let priority = count("priority") { port.priority = priority }
        ports[interfaces[index].name] = port
    }

    private mutating func readIfStateForwarding(_ node: Node, _ index: Int) {
        guard let mac = text("lladdr", in: node) else { return leave(node, "an entry needs lladdr") }
        var entry = Nsmagent_Linux_ForwardingEntry()
        (entry.interface, entry.mac) = (interfaces[index].name, mac)
        entry.dst = text("dst", in: node) ?? ""
        if let vlan = number("vlan", in: node) { entry.vlan = vlan }
        if let port = number("port", in: node) { entry.port = port }
        if let vni = number("vni", in: node) { entry.vni = vni }
        add(.forwarding(entry), at: place(node))
    }

    // MARK: - Links

    private mutating func readIfStateLink(_ node: Node, _ index: Int, _ name: String) {
        interfaces[index].enabled = text("state", in: node) != "down"
        if let mtu = number("mtu", in: node) { interfaces[index].mtu = mtu }
        let kind = text("kind", in: node) ?? "physical"
        if kind == "physical" { readIfStateIdentity(node, index, name) }
        if let mac = take("address", in: node), let text = text(mac) {
            if kind == "physical" {
                leave(mac, "the name of the interface says which one is meant; phys_address would change it")
            } else {
                set(mac: text, of: index, place(mac), "link.address")
            }
        }
        if let master = take("master", in: node), let text = text(master) {
            join(name, to: text, at: place(master), "link.master")
        }
        readIfStateKind(node, index, name, kind)
    }

    /// Which card is meant: the first of these that is said. IfState gives it its name as well.
    private mutating func readIfStateIdentity(_ node: Node, _ index: Int, _ name: String) {
        guard name != "lo", interfaces[index].type == .existing, !interfaces[index].hasMatch else { return }
        var match = MatchMessage()
        var found: Node?
        if let bus = take("businfo", in: node), let text = text(bus), !Words.isPattern(text) {
            (found, match.path) = (bus, text.lowercased())
        } else if let mac = take("permaddr", "perm_address", in: node),
            let address = text(mac).flatMap({ MACAddress($0.trimmed) })
        {
            (found, match.mac) = (mac, "\(address)")
        }
        guard let found else { return }
        find(index, by: match)
        if !interfaces[index].hasNamespace {
            leave(found, "it finds the interface; giving it the name \(name.inQuotes) is left to udev (systemd.link)")
        }
    }

    private mutating func readIfStateKind(_ node: Node, _ index: Int, _ name: String, _ kind: String) {
        switch kind {
        case "physical": break
        case "dummy": interfaces[index].type = .dummy
        case "wireguard": interfaces[index].type = .wireguard
        case "bridge":
            interfaces[index].type = .bridge
            interfaces[index].bridge = ifstateBridge(node)
        case "bond":
            interfaces[index].type = .bond
            interfaces[index].bond = ifstateBond(node)
        case "vxlan":
            interfaces[index].type = .vxlan
            interfaces[index].vxlan = ifstateVXLAN(node)
        case "vrf":
            interfaces[index].type = .vrfDevice
            interfaces[index].vrfDev.routingTable = number("vrf_table", in: node) ?? 0
        case "veth":
            if let peer = take("peer", in: node), let text = text(peer) { pair(index, with: text, at: place(peer)) }
        case "vlan", "macvlan", "macvtap", "ipvlan": readIfStateChild(node, index, kind)
        case "geneve":
            interfaces[index].type = .geneve
            interfaces[index].geneve = ifstateGeneve(node)
        case "tun":
            interfaces[index].type = .tap
            interfaces[index].tuntap.mode = text("tun_type", in: node) == "tun" ? .tun : .tap
        default:
            guard let type = Words.tunnels[kind] else {
                return leave(
                    node,
                    "interfaces of kind \(kind.inQuotes) can't be made here; \(name.inQuotes) is taken for one that something "
                        + "else makes")
            }
            interfaces[index].type = type
            interfaces[index].tunnel = ifstateTunnel(node, kind)
        }
    }

    /// Reads an interface that stands on another one.
    private mutating func readIfStateChild(_ node: Node, _ index: Int, _ kind: String) {
        let parent = ifstateParent(node) ?? ""
        switch kind {
        case "vlan":
            interfaces[index].type = .vlan
            interfaces[index].vlan.parent = parent
            interfaces[index].vlan.id = number("vlan_id", in: node) ?? 0
            if let word = word("vlan_protocol", in: node, Words.vlanProtocols) {
                interfaces[index].vlan.protocol = word
            }
        case "macvlan":
            interfaces[index].type = .macvlan
            interfaces[index].macvlan.parent = parent
            if let mode = word("macvlan_mode", in: node, Words.macvlanModes) { interfaces[index].macvlan.mode = mode }
        case "macvtap":
            interfaces[index].type = .macvtap
            interfaces[index].macvtap.parent = parent
            if let mode = word("macvtap_mode", in: node, Words.macvlanModes) { interfaces[index].macvtap.mode = mode }
        default:
            interfaces[index].type = .ipvlan
            interfaces[index].ipvlan.parent = parent
            if let mode = word("ipvlan_mode", in: node, Words.ipvlanModes) { interfaces[index].ipvlan.mode = mode }
        }
    }

    private mutating func ifstateBond(_ node: Node) -> Ligato_Linux_Interfaces_BondLink {
        var bond = Ligato_Linux_Interfaces_BondLink()
        if let mode = word("bond_mode", in: node, Words.bondModes) { bond.mode = mode }
        readBondOptions(node, "bond_", &bond)
        if !bond.primary.isEmpty { bond.primary = logical(bond.primary) }
        return bond
    }

    private mutating func ifstateGeneve(_ node: Node) -> Ligato_Linux_Interfaces_GeneveLink {
        var geneve = Ligato_Linux_Interfaces_GeneveLink()
        geneve.vni = number("geneve_id", in: node) ?? 0
        geneve.remote = text("geneve_remote", "geneve_remote6", in: node) ?? ""
        geneve.port = number("geneve_port", in: node) ?? 0
        geneve.ttl = number("geneve_ttl", in: node) ?? 0
        geneve.tos = number("geneve_tos", in: node) ?? 0
        return geneve
    }

    private mutating func ifstateParent(_ node: Node) -> String? {
        guard let link = take("link", in: node), let text = text(link) else { return nil }
        return need(text, at: place(link))
    }

    private mutating func ifstateBridge(_ node: Node) -> Ligato_Linux_Interfaces_BridgeLink {
        var bridge = Ligato_Linux_Interfaces_BridgeLink()
        bridge.stp = (number("br_stp_state", in: node) ?? 0) != 0
        bridge.vlanFiltering = (number("br_vlan_filtering", in: node) ?? 0) != 0
        // In hundredths of a second, as the kernel has them.
        bridge.ageingTime = (number("br_ageing_time", in: node) ?? 0) / 100
        bridge.forwardDelay = (number("br_forward_delay", in: node) ?? 0) / 100
        return bridge
    }

    private mutating func ifstateVXLAN(_ node: Node) -> Ligato_Linux_Interfaces_VxlanLink {
        var vxlan = Ligato_Linux_Interfaces_VxlanLink()
        vxlan.vni = number("vxlan_id", in: node) ?? 0
        vxlan.local = text("vxlan_local", "vxlan_local6", in: node) ?? ""
        let group = text("vxlan_group", "vxlan_group6", in: node) ?? ""
        if IPAddress(group)?.isMulticast == true { vxlan.group = group } else { vxlan.remote = group }
        vxlan.port = number("vxlan_port", in: node) ?? 0
        vxlan.ttl = number("vxlan_ttl", in: node) ?? 0
        if let learns = number("vxlan_learning", in: node) { vxlan.noLearning = learns == 0 }
        if let link = take("vxlan_link", in: node), let text = text(link) { vxlan.parent = need(text, at: place(link)) }
        return vxlan
    }

    private mutating func ifstateTunnel(_ node: Node, _ kind: String) -> Ligato_Linux_Interfaces_TunnelLink {
        let prefix =
            kind.hasPrefix("ip6gre") ? "ip6gre" : kind.hasPrefix("gre") ? "gre" : kind == "ip6tnl" ? "ip6tnl" : kind
        var tunnel = Ligato_Linux_Interfaces_TunnelLink()
        tunnel.local = text("\(prefix)_local", in: node) ?? ""
        tunnel.remote = text("\(prefix)_remote", in: node) ?? ""
        tunnel.ttl = number("\(prefix)_ttl", in: node) ?? 0
        tunnel.tos = number("\(prefix)_tos", in: node) ?? 0
        let (input, output) = (number("\(prefix)_ikey", in: node), number("\(prefix)_okey", in: node))
        if let input, input == output {
            tunnel.key = input
        } else if input != nil || output != nil {
            leave(node, "both directions have one key here")
        }
        if let link = take("\(prefix)_link", in: node), let text = text(link) {
            tunnel.parent = need(text, at: place(link))
        }
        return tunnel
    }

    // MARK: - Routes and rules

    private mutating func readIfStateRoute(_ node: Node) {
        var route = RouteMessage()
        route.gwAddr = text("via", in: node) ?? ""
        guard let to = take("to", in: node), let text = text(to),
            let destination = destination(text, gateway: route.gwAddr, place(to), "routes.to")
        else { return leave(node, "a route needs a destination") }
        route.dstNetwork = destination
        if let device = self.text("dev", in: node) { route.outgoingInterface = logical(device) }
        if let type = word("type", in: node, Words.routeTypes) { route.type = type }
        if let metric = number("preference", "priority", "metric", in: node) { route.metric = metric }
        if let node = take("table", in: node), let text = self.text(node), let table = table(text, place(node), "table")
        {
            route.table = table
        }
        if let source = self.text("src", in: node) { route.srcAddr = source }
        if let scope = word("scope", in: node, Words.scopes), !(scope == .link && !route.gwAddr.isEmpty) {
            route.scope = scope
        }
        if let onlink = flag("onlink", in: node) { route.onlink = onlink }
        add(route, at: place(node))
    }

    private mutating func readIfStateRule(_ node: Node) {
        var rule = RuleMessage()
        rule.from = text("from", in: node) ?? ""
        rule.to = text("to", in: node) ?? ""
        rule.iif = text("iif", in: node) ?? ""
        rule.oif = text("oif", in: node) ?? ""
        rule.priority = number("priority", in: node) ?? 0
        rule.fwmark = number("fwmark", in: node) ?? 0
        rule.ipProto = text("ipproto", in: node) ?? ""
        rule.sport = text("sport", in: node) ?? ""
        rule.dport = text("dport", in: node) ?? ""
        if let action = word("action", in: node, Words.ruleActions) { rule.action = action }
        if rule.action == .lookup { rule.table = 254 }
        if let node = take("table", in: node), let text = text(node), let table = table(text, place(node), "table") {
            rule.table = table
        }
        add(rule, at: place(node))
    }
}
