internal import NetworkTypes
internal import YAML

/// Reads states of nmstate. Source: nmstate's schema and its examples.
extension ConversionDraft {
    private static let nmstateReasons: [String: String] = [
        "dns-resolver": "name servers are for the resolver: write them to /etc/resolv.conf or to its own configuration",
        "hostname": "the name of the host is for hostnamectl", "ethtool": "settings of the hardware are for ethtool",
        "ethernet": "settings of the hardware are for ethtool",
        "lldp": "LLDP needs a program of its own, such as lldpd",
        "ovs-db": "Open vSwitch has a database of its own; ovs-vsctl writes it",
        "ovn": "Open vSwitch has a database of its own; ovs-vsctl writes it",
        "802.1x": "IEEE 802.1X needs wpa_supplicant", "capture": "captures are for nmpolicy: resolve them first",
        "running": "it is what a host has, not what is wanted", "dispatch": "it is for NetworkManager",
        "auto-dns": "it is for a DHCP client", "auto-routes": "it is for a DHCP client",
        "auto-gateway": "it is for a DHCP client",
        "auto-route-table-id": "it is for a DHCP client", "auto-route-metric": "it is for a DHCP client",
        "dhcp-client-id": "it is for a DHCP client", "dhcp-duid": "it is for a DHCP client",
        "congestion-window": "declare it as initcwnd of the route, if the first window is meant",
    ]

    mutating func readNMState(_ root: Node) {
        reasons = Self.nmstateReasons
        // An object of Kubernetes holds the state in its specification.
        if let spec = take("spec", in: root) {
            ignore("apiVersion", "kind", "metadata", "status", in: root)
            return readNMState(spec)
        }
        if let state = take("desiredState", "desired", in: root) { return readNMState(state) }
        ignore("version", in: root)
        for interface in mappings(take("interfaces", in: root)) { readNMStateInterface(interface) }
        if let routes = take("routes", in: root), tree.kind(of: routes) == .mapping {
            readNMStateRoutes(mappings(take("config", in: routes)))
        }
        if let rules = take("route-rules", in: root), tree.kind(of: rules) == .mapping {
            for rule in mappings(take("config", in: rules)) { readNMStateRule(rule) }
        }
    }

    private mutating func readNMStateInterface(_ node: Node) {
        guard let name = text("name", in: node) else { return leave(node, "an interface needs a name") }
        let state = text("state", in: node) ?? "up"
        if state == "absent" || state == "ignore" {
            leave(
                node,
                "\(name.inQuotes) is \(state): what is not declared is left alone, and what was declared goes with its declaration"
            )
            return takeAll(below: node)
        }
        let index = device(name, at: place(node))
        interfaces[index].enabled = state != "down"
        ignore("profile-name", "description", "wait-ip", in: node)
        readNMStateKind(node, index, name)
        readNMStateIdentifier(node, index, name)
        readNMStateAltNames(node, index, name)
        if let mac = take("mac-address", in: node), interfaces[index].match.mac.isEmpty, let text = text(mac) {
            set(mac: text, of: index, place(mac), "mac-address")
        }
        if let mtu = number("mtu", in: node) { interfaces[index].mtu = mtu }
        if let controller = take("controller", "master", in: node), let master = text(controller), !master.isEmpty {
            join(name, to: master, at: place(controller), "controller")
        }
        for family in ["ipv4", "ipv6"] {
            if let block = take(family, in: node), tree.kind(of: block) == .mapping {
                readNMStateAddresses(block, index, family)
            }
        }
    }

    /// Which interface is meant, where it is not its name that says so.
    private mutating func readNMStateIdentifier(_ node: Node, _ index: Int, _ name: String) {
        guard let identifier = take("identifier", in: node), let word = text(identifier), word != "name" else { return }
        var match = MatchMessage()
        if interfaces[index].type == .existing {
            if word == "mac-address", let text = text("mac-address", in: node), let mac = MACAddress(text.trimmed) {
                match.mac = "\(mac)"
            } else if word == "pci-address", let address = text("pci-address", in: node), !Words.isPattern(address) {
                match.path = address.lowercased()
            }
        }
        guard match != MatchMessage() else {
            return leave(identifier, "\(name.inQuotes) is taken for the name that it has in the kernel")
        }
        find(index, by: match)
    }

    private mutating func readNMStateAltNames(_ node: Node, _ index: Int, _ name: String) {
        for element in mappings(take("alt-names", in: node)) {
            let state = text("state", in: element)
            guard let altName = text("name", in: element) else {
                leave(element, "an alternative name needs a name")
                continue
            }
            if state == "absent" {
                leave(element, "a name that is absent needs no declaration")
            } else if altName != name, !interfaces[index].altNames.contains(altName) {
                interfaces[index].altNames.append(altName)
            }
        }
    }

    private mutating func readNMStateAddresses(_ node: Node, _ index: Int, _ family: String) {
        let isEnabled = flag("enabled", in: node) ?? true
        expect(
            "dhcp", false, in: node,
            else: "addresses by DHCP need a client, such as dhcpcd; the agent leaves them alone")
        if let autoconf = take("autoconf", in: node) {
            // The kernel makes addresses of what routers announce.
            for name in ["autoconf", "accept_ra"] { set(name, flag(autoconf) == true ? "1" : "0", of: index) }
        }
        if let isForwarding = flag("forwarding", in: node) {
            set("\(family).forwarding", isForwarding ? "1" : "0", of: index)
        }
        guard isEnabled else {
            if family == "ipv6" { set("disable_ipv6", "1", of: index) }
            if let addresses = take("address", in: node) { takeAll(below: addresses) }
            return
        }
        for element in mappings(take("address", in: node)) {
            ignore("valid-life-time", "preferred-life-time", "valid-left", "preferred-left", in: element)
            guard let ip = take("ip", in: element), let text = text(ip) else {
                leave(element, "an address needs ip and prefix-length")
                continue
            }
            let length = number("prefix-length", in: element)
            let address = length.map { "\(text)/\($0)" } ?? text
            guard let peer = self.text("peer", in: element) else {
                add(address: address, to: index, place(ip), "address")
                continue
            }
            var message = Ligato_Linux_Interfaces_InterfaceAddress()
            (message.address, message.peer) = (address, peer)
            add(message, to: index, place(ip), "address")
        }
    }

    private mutating func readNMStateKind(_ node: Node, _ index: Int, _ name: String) {
        guard let type = take("type", in: node), let word = text(type) else {
            if name == "lo" { interfaces[index].type = .loopback }
            return
        }
        switch word {
        case "ethernet", "unknown":
            if let veth = take("veth", in: node) { readNMStatePair(veth, index) }
        case "loopback": interfaces[index].type = .loopback
        case "dummy": interfaces[index].type = .dummy
        case "veth":
            if let veth = take("veth", in: node) { readNMStatePair(veth, index) }
        case "linux-bridge": readNMStateBridge(node, index)
        case "bond": readNMStateBond(node, index)
        case "vlan": readNMStateVLAN(node, index)
        case "vxlan": readNMStateVXLAN(node, index)
        case "vrf": readNMStateVRF(node, index)
        case "mac-vlan", "mac-vtap", "ipvlan": readNMStateChild(node, index, word)
        case "ip-tunnel": readNMStateTunnel(node, index)
        default:
            leave(
                type,
                "interfaces of type \(word.inQuotes) can't be made here; \(name.inQuotes) is taken for one that something "
                    + "else makes")
            if let block = take(word, in: node) { takeAll(below: block) }
        }
    }

    private mutating func readNMStatePair(_ node: Node, _ index: Int) {
        guard let peer = take("peer", in: node), let name = text(peer) else {
            return leave(node, "a pair needs a peer")
        }
        pair(index, with: name, at: place(peer))
    }

    private mutating func readNMStatePorts(_ node: Node?) -> [String] {
        guard let node else { return [] }
        return texts(node).map { need($0, at: place(node)) }
    }

    private mutating func readNMStateBridge(_ node: Node, _ index: Int) {
        interfaces[index].type = .bridge
        guard let bridge = take("bridge", in: node), tree.kind(of: bridge) == .mapping else { return }
        var names: [String] = []
        for port in mappings(take("port", "ports", "slaves", in: bridge)) {
            guard let name = text("name", in: port) else { continue }
            names.append(need(name, at: place(port)))
            readNMStatePort(port, name)
        }
        interfaces[index].bridge.ports = names
        guard let options = take("options", in: bridge), tree.kind(of: options) == .mapping else { return }
        if let time = number("mac-ageing-time", in: options) { interfaces[index].bridge.ageingTime = time }
        if let filters = flag("vlan-filtering", in: options) { interfaces[index].bridge.vlanFiltering = filters }
        guard let stp = take("stp", in: options), tree.kind(of: stp) == .mapping else { return }
        interfaces[index].bridge.stp = flag("enabled", in: stp) ?? false
        if let delay = number("forward-delay", in: stp) { interfaces[index].bridge.forwardDelay = delay }
    }

    private mutating func readNMStatePort(_ node: Node, _ name: String) {
        var port = PortMessage()
        if let isHairpin = flag("stp-hairpin-mode", in: node) { port.hairpin = isHairpin }
        if let cost = number("stp-path-cost", in: node) { port.cost = cost }
        if let priority = number("stp-priority", in: node) { port.priority = priority }
        if let vlan = take("vlan", in: node), tree.kind(of: vlan) == .mapping {
            let isAccess = text("mode", in: vlan) == "access"
            let tag = number("tag", in: vlan)
            let isNative = flag("enable-native", in: vlan) ?? false
            var tagged: [Ligato_Linux_Interfaces_BridgeVlan] = []
            for element in mappings(take("trunk-tags", in: vlan)) {
                var range = text("id", in: element) ?? ""
                if let limits = take("id-range", in: element), tree.kind(of: limits) == .mapping {
                    range = "\(text("min", in: limits) ?? "")-\(text("max", in: limits) ?? "")"
                }
                if let vlan = Self.vlan(range) { tagged.append(vlan) } else { leave(element, "it is no VLAN (1–4094)") }
            }
            let own = isAccess || isNative ? tag : nil
            let untagged = own.flatMap { Self.vlan("\($0)") }.map { [$0] } ?? []
            port.vlans = Self.vlans(tagged: tagged, untagged: untagged, pvid: own)
        }
        ports[logical(name)] = port
    }

    private mutating func readNMStateBond(_ node: Node, _ index: Int) {
        interfaces[index].type = .bond
        var bond = Ligato_Linux_Interfaces_BondLink()
        if let block = take("link-aggregation", in: node), tree.kind(of: block) == .mapping {
            if let mode = word("mode", in: block, Words.bondModes) { bond.mode = mode }
            bond.ports = readNMStatePorts(take("port", "ports", "slaves", in: block))
            if let options = take("options", in: block), tree.kind(of: options) == .mapping {
                readBondOptions(options, "", &bond)
            }
            if !bond.primary.isEmpty { bond.primary = logical(bond.primary) }
        }
        interfaces[index].bond = bond
    }

    private mutating func readNMStateVLAN(_ node: Node, _ index: Int) {
        interfaces[index].type = .vlan
        guard let vlan = take("vlan", in: node), tree.kind(of: vlan) == .mapping else { return }
        interfaces[index].vlan.id = number("id", in: vlan) ?? 0
        if let word = word("protocol", in: vlan, Words.vlanProtocols) { interfaces[index].vlan.protocol = word }
        if let base = text("base-iface", in: vlan) { interfaces[index].vlan.parent = need(base, at: place(vlan)) }
    }

    private mutating func readNMStateVXLAN(_ node: Node, _ index: Int) {
        interfaces[index].type = .vxlan
        guard let block = take("vxlan", in: node), tree.kind(of: block) == .mapping else { return }
        var vxlan = Ligato_Linux_Interfaces_VxlanLink()
        vxlan.vni = number("id", in: block) ?? 0
        vxlan.local = text("local", in: block) ?? ""
        vxlan.remote = text("remote", in: block) ?? ""
        if IPAddress(vxlan.remote)?.isMulticast == true { (vxlan.group, vxlan.remote) = (vxlan.remote, "") }
        vxlan.noLearning = flag("learning", in: block) == false
        vxlan.port = number("destination-port", in: block) ?? 0
        if let base = text("base-iface", in: block), !base.isEmpty { vxlan.parent = need(base, at: place(block)) }
        interfaces[index].vxlan = vxlan
    }

    private mutating func readNMStateVRF(_ node: Node, _ index: Int) {
        interfaces[index].type = .vrfDevice
        guard let block = take("vrf", in: node), tree.kind(of: block) == .mapping else { return }
        interfaces[index].vrfDev.routingTable = number("route-table-id", in: block) ?? 0
        for port in readNMStatePorts(take("port", "ports", in: block)) {
            join(port, to: interfaces[index].name, at: place(block), "vrf.port")
        }
    }

    private mutating func readNMStateChild(_ node: Node, _ index: Int, _ word: String) {
        guard let block = take(word, in: node), tree.kind(of: block) == .mapping else { return }
        let base = text("base-iface", in: block).map { need($0, at: place(block)) } ?? ""
        switch word {
        case "mac-vlan":
            interfaces[index].type = .macvlan
            interfaces[index].macvlan.parent = base
            if let mode = self.word("mode", in: block, Words.macvlanModes) { interfaces[index].macvlan.mode = mode }
        case "mac-vtap":
            interfaces[index].type = .macvtap
            interfaces[index].macvtap.parent = base
            if let mode = self.word("mode", in: block, Words.macvlanModes) { interfaces[index].macvtap.mode = mode }
        default:
            interfaces[index].type = .ipvlan
            interfaces[index].ipvlan.parent = base
            if let mode = self.word("mode", in: block, Words.ipvlanModes) { interfaces[index].ipvlan.mode = mode }
        }
        for name in ["promiscuous", "private", "vepa"] {
            if let node = take(name, in: block), flag(node) == true { leave(node, "it can't be set here") }
        }
    }

    private mutating func readNMStateTunnel(_ node: Node, _ index: Int) {
        guard let block = take("ip-tunnel", in: node), tree.kind(of: block) == .mapping else { return }
        guard let type = word("mode", in: block, Words.tunnels) else { return }
        interfaces[index].type = type
        interfaces[index].tunnel.local = text("local", in: block) ?? ""
        interfaces[index].tunnel.remote = text("remote", in: block) ?? ""
        interfaces[index].tunnel.ttl = number("ttl", in: block) ?? 0
        interfaces[index].tunnel.tos = number("tos", in: block) ?? 0
        if let base = text("base-iface", in: block) { interfaces[index].tunnel.parent = need(base, at: place(block)) }
    }

    // MARK: - Routes and rules

    private mutating func readNMStateRoutes(_ nodes: [Node]) {
        /// Where routes of one destination are among those that share its traffic.
        struct Way: Hashable {
            var destination: String
            var metric: UInt32
            var table: UInt32
        }
        var shared: [Way: (route: RouteMessage, place: SourcePosition)] = [:]
        var order: [Way] = []
        for node in nodes {
            guard let (route, weight) = nmstateRoute(node) else { continue }
            guard let weight else {
                add(route, at: place(node))
                continue
            }
            let way = Way(destination: route.dstNetwork, metric: route.metric, table: route.table)
            if shared[way] == nil {
                var first = route
                (first.outgoingInterface, first.gwAddr) = ("", "")
                shared[way] = (first, place(node))
                order.append(way)
            }
            var hop = Ligato_Linux_L3_NextHop()
            (hop.gwAddr, hop.outgoingInterface, hop.weight) = (route.gwAddr, route.outgoingInterface, weight)
            shared[way]?.route.nextHops.append(hop)
        }
        for way in order { if let (route, place) = shared[way] { add(route, at: place) } }
    }

    /// A route, and its share of the traffic where several have one destination.
    private mutating func nmstateRoute(_ node: Node) -> (route: RouteMessage, weight: UInt32?)? {
        if text("state", in: node) == "absent" {
            leave(node, "routes that are absent need no declaration")
            takeAll(below: node)
            return nil
        }
        var route = RouteMessage()
        route.gwAddr = text("next-hop-address", in: node) ?? ""
        guard let to = take("destination", in: node), let text = text(to),
            let destination = destination(text, gateway: route.gwAddr, place(to), "routes.destination")
        else {
            leave(node, "a route needs a destination")
            takeAll(below: node)
            return nil
        }
        route.dstNetwork = destination
        if let interface = self.text("next-hop-interface", in: node) { route.outgoingInterface = logical(interface) }
        if let type = word("route-type", in: node, Words.routeTypes) { route.type = type }
        // -1 says that nothing is said.
        if let metric = take("metric", in: node), let text = self.text(metric), text != "-1" {
            route.metric = number(metric) ?? 0
        }
        if let table = number("table-id", in: node) { route.table = table }
        if let source = self.text("source", in: node) { route.srcAddr = source }
        if let mtu = number("mtu", in: node) { route.mtu = mtu }
        if let window = number("initcwnd", in: node) { route.initcwnd = window }
        if let window = number("initrwnd", in: node) { route.initrwnd = window }
        if let segment = number("advmss", in: node) { route.advmss = segment }
        return (route, number("weight", in: node))
    }

    private mutating func readNMStateRule(_ node: Node) {
        if text("state", in: node) == "absent" {
            leave(node, "rules that are absent need no declaration")
            return takeAll(below: node)
        }
        var rule = RuleMessage()
        rule.from = text("ip-from", in: node) ?? ""
        rule.to = text("ip-to", in: node) ?? ""
        rule.iif = text("iif", in: node) ?? ""
        rule.priority = number("priority", in: node) ?? 0
        rule.fwmark = number("fwmark", in: node) ?? 0
        rule.fwmask = number("fwmask", in: node) ?? 0
        if let length = number("suppress-prefix-length", in: node) { rule.suppressPrefixlength = length }
        if text("family", in: node) == "ipv6" { rule.family = .ipv6 }
        if let action = word("action", in: node, Words.ruleActions) { rule.action = action }
        if let table = number("route-table", in: node) {
            rule.table = table
        } else if rule.action == .lookup {
            rule.table = 254
        }
        add(rule, at: place(node))
    }
}

extension ConversionDraft {
    /// Options of a bond by the kernel's names, with a prefix.
    mutating func readBondOptions(_ node: Node, _ prefix: String, _ bond: inout Ligato_Linux_Interfaces_BondLink) {
        if let interval = number(prefix + "miimon", in: node) { bond.miimon = interval }
        if let delay = number(prefix + "updelay", in: node) { bond.updelay = delay }
        if let delay = number(prefix + "downdelay", in: node) { bond.downdelay = delay }
        if let count = number(prefix + "min_links", in: node) { bond.minLinks = count }
        if let primary = text(prefix + "primary", in: node) { bond.primary = primary }
        if let policy = word(prefix + "xmit_hash_policy", in: node, Words.hashPolicies) { bond.xmitHashPolicy = policy }
        if let rate = word(prefix + (prefix.isEmpty ? "lacp_rate" : "ad_lacp_rate"), in: node, Words.lacpRates) {
            bond.lacpRate = rate
        }
        if let selection = word(prefix + "ad_select", in: node, Words.selections) { bond.adSelect = selection }
    }
}
