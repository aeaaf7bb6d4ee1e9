internal import NetworkTypes
internal import YAML

/// Reads files of netplan, version 2. Source: netplan's YAML reference.
extension ConversionDraft {
    private static let netplanReasons: [String: String] = [
        "dhcp4-overrides": "it is for a DHCP client",
        "dhcp6-overrides": "it is for a DHCP client",
        "dhcp-identifier": "it is for a DHCP client",
        "nameservers": "name servers are for the resolver: write them to /etc/resolv.conf or to its own configuration",
        "wakeonlan": "settings of the hardware are for ethtool",
        "emit-lldp": "LLDP needs a program of its own, such as lldpd",
        "wifis": "wireless networks need a program of their own, such as wpa_supplicant",
        "modems": "modems need a program of their own, such as ModemManager",
        "nm-devices": "they are for NetworkManager",
        "openvswitch": "Open vSwitch has a database of its own; ovs-vsctl writes it",
        "auth": "IEEE 802.1X needs wpa_supplicant",
        "congestion-window": "declare it as initcwnd of the route, if the first window is meant",
        "ipv6-address-token": "declare the address itself",
    ]

    mutating func readNetplan(_ root: Node) {
        reasons = Self.netplanReasons
        guard let network = take("network", in: root) else { return }
        ignore("version", "renderer", in: network)
        let groups: [(String, (inout ConversionDraft, Node, Int) -> Void)] = [
            ("ethernets", { _, _, _ in }), ("dummy-devices", { $0.interfaces[$2].type = .dummy }),
            ("virtual-ethernets", { $0.readNetplanPair($1, $2) }), ("bridges", { $0.readNetplanBridge($1, $2) }),
            ("bonds", { $0.readNetplanBond($1, $2) }), ("vlans", { $0.readNetplanVLAN($1, $2) }),
            ("vrfs", { $0.readNetplanVRF($1, $2) }), ("tunnels", { $0.readNetplanTunnel($1, $2) }),
        ]
        for (group, read) in groups {
            for (name, key, node) in pairs(take(group, in: network)) {
                let index = device(name, at: place(key))
                guard tree.kind(of: node) == .mapping else { continue }
                if group == "ethernets" { readNetplanMatch(node, index, name) }
                read(&self, node, index)
                readNetplanCommon(node, index, isVRF: group == "vrfs")
            }
        }
    }

    private mutating func readNetplanCommon(_ device: Node, _ index: Int, isVRF: Bool) {
        ignore("renderer", "optional", "optional-addresses", "critical", "ignore-carrier", in: device)
        for name in ["dhcp4", "dhcp6"] {
            expect(
                name, false, in: device,
                else: "addresses by DHCP need a client, such as dhcpcd; the agent leaves them alone")
        }
        readNetplanAddresses(device, index)
        for name in ["gateway4", "gateway6"] {
            if let node = take(name, in: device), let text = text(node) {
                add(gateway: text, of: index, place(node), name)
            }
        }
        if let node = take("macaddress", in: device), let text = text(node) {
            set(mac: text, of: index, place(node), "macaddress")
        }
        if let mtu = number("mtu", in: device) { interfaces[index].mtu = mtu }
        if let mtu = number("ipv6-mtu", in: device) { set("ipv6.mtu", "\(mtu)", of: index) }
        if let accepts = flag("accept-ra", in: device) { set("accept_ra", accepts ? "1" : "0", of: index) }
        if let isPrivate = flag("ipv6-privacy", in: device) { set("use_tempaddr", isPrivate ? "2" : "0", of: index) }
        readNetplanState(device, index)
        for route in mappings(take("routes", in: device)) { readNetplanRoute(route, index, isVRF: isVRF) }
        for rule in mappings(take("routing-policy", in: device)) { readNetplanRule(rule, index, isVRF: isVRF) }
        if let isHairpin = flag("hairpin", in: device) { setPort(index) { $0.hairpin = isHairpin } }
        if let learns = flag("port-mac-learning", in: device), !learns { setPort(index) { $0.learning = false } }
        if let suppresses = flag("neigh-suppress", in: device) { setPort(index) { $0.neighSuppress = suppresses } }
    }

    private mutating func readNetplanState(_ device: Node, _ index: Int) {
        if let node = take("activation-mode", in: device), let mode = text(node) {
            interfaces[index].enabled = false
            if mode != "off" { leave(node, "\(mode.inQuotes): it stays down until enabled is true") }
        }
        guard let node = take("link-local", in: device) else { return }
        let families = texts(node)
        if families.contains("ipv4") {
            leave(node, "IPv4 link-local addresses need a program of their own, such as avahi-autoipd")
        }
        // IN6_ADDR_GEN_MODE_NONE, linux/if_link.h.
        if !families.contains("ipv6") { set("addr_gen_mode", "1", of: index) }
    }

    private mutating func readNetplanAddresses(_ device: Node, _ index: Int) {
        for element in elements(take("addresses", in: device)) {
            guard tree.kind(of: element) == .mapping else {
                if let text = text(element) { add(address: text, to: index, place(element), "addresses") }
                continue
            }
            for (text, key, options) in pairs(element) {
                var address = Ligato_Linux_Interfaces_InterfaceAddress()
                address.address = text
                if let label = self.text("label", in: options) { address.label = label }
                if let node = take("lifetime", in: options), let lifetime = self.text(node) {
                    if lifetime == "0" {
                        address.deprecated = true
                    } else if lifetime != "forever" {
                        leave(node, "an address that is declared stays")
                    }
                }
                add(address, to: index, place(key), "addresses")
            }
        }
    }

    private mutating func readNetplanRoute(_ node: Node, _ index: Int, isVRF: Bool) {
        var route = RouteMessage()
        let gateway = text("via", in: node) ?? ""
        route.gwAddr = gateway
        guard let to = take("to", in: node), let text = text(to),
            let destination = destination(text, gateway: gateway, place(to), "routes.to")
        else { return leave(node, "a route needs a destination") }
        route.dstNetwork = destination
        if let type = take("type", in: node), let word = self.text(type) {
            guard let known = Words.routeTypes[word] else {
                return leave(type, "routes of type \(word.inQuotes) can't be declared")
            }
            route.type = known
        }
        // A VRF is no way out by itself: that is the interface of it whose network the gateway is in.
        if route.type == .unicast, !isVRF { route.outgoingInterface = interfaces[index].name }
        if let onlink = flag("on-link", in: node) { route.onlink = onlink }
        if let metric = number("metric", in: node) { route.metric = metric }
        if let table = number("table", in: node) {
            route.table = table
        } else if isVRF {
            route.table = interfaces[index].vrfDev.routingTable
        }
        if let source = self.text("from", in: node) { route.srcAddr = source }
        if let mtu = number("mtu", in: node) { route.mtu = mtu }
        if let segment = number("advertised-mss", in: node) { route.advmss = segment }
        if let window = number("advertised-receive-window", in: node) { route.initrwnd = window }
        if let window = number("congestion-window", in: node) { route.initcwnd = window }
        if let scope = word("scope", in: node, Words.scopes), !(scope == .link && !gateway.isEmpty) {
            route.scope = scope
        }
        add(route, at: place(node))
    }

    private mutating func readNetplanRule(_ node: Node, _ index: Int, isVRF: Bool) {
        var rule = RuleMessage()
        rule.from = text("from", in: node) ?? ""
        rule.to = text("to", in: node) ?? ""
        rule.table = number("table", in: node) ?? (isVRF ? interfaces[index].vrfDev.routingTable : 254)
        if let priority = number("priority", in: node) { rule.priority = priority }
        if let mark = number("mark", in: node) { rule.fwmark = mark }
        add(rule, at: place(node))
    }

    // MARK: - Kinds

    private mutating func readNetplanPair(_ device: Node, _ index: Int) {
        guard let peer = text("peer", in: device) else { return leave(device, "a pair needs a peer") }
        pair(index, with: peer, at: place(device))
    }

    private mutating func readNetplanPorts(_ device: Node, _ index: Int) -> [String] {
        guard let node = take("interfaces", in: device) else { return [] }
        return texts(node).map { need($0, at: place(node)) }
    }

    private mutating func readNetplanBridge(_ device: Node, _ index: Int) {
        interfaces[index].type = .bridge
        var bridge = Ligato_Linux_Interfaces_BridgeLink()
        bridge.ports = readNetplanPorts(device, index)
        if let parameters = take("parameters", in: device), tree.kind(of: parameters) == .mapping {
            bridge.stp = flag("stp", in: parameters) ?? true
            bridge.ageingTime = seconds("ageing-time", "aging-time", in: parameters)
            bridge.forwardDelay = seconds("forward-delay", in: parameters)
            for (name, _, value) in pairs(take("path-cost", in: parameters)) {
                if let cost = number(value) { ports[logical(name), default: PortMessage()].cost = cost }
            }
            for (name, _, value) in pairs(take("port-priority", in: parameters)) {
                if let priority = number(value) { ports[logical(name), default: PortMessage()].priority = priority }
            }
        }
        interfaces[index].bridge = bridge
    }

    private mutating func readNetplanBond(_ device: Node, _ index: Int) {
        interfaces[index].type = .bond
        var bond = Ligato_Linux_Interfaces_BondLink()
        bond.ports = readNetplanPorts(device, index)
        if let parameters = take("parameters", in: device), tree.kind(of: parameters) == .mapping {
            if let mode = word("mode", in: parameters, Words.bondModes) { bond.mode = mode }
            if let rate = word("lacp-rate", in: parameters, Words.lacpRates) { bond.lacpRate = rate }
            if let interval = milliseconds("mii-monitor-interval", in: parameters) { bond.miimon = interval }
            if let delay = milliseconds("up-delay", in: parameters) { bond.updelay = delay }
            if let delay = milliseconds("down-delay", in: parameters) { bond.downdelay = delay }
            if let count = number("min-links", in: parameters) { bond.minLinks = count }
            if let policy = word("transmit-hash-policy", in: parameters, Words.hashPolicies) {
                bond.xmitHashPolicy = policy
            }
            if let selection = word("ad-select", in: parameters, Words.selections) { bond.adSelect = selection }
            if let primary = text("primary", in: parameters) { bond.primary = logical(primary) }
        }
        interfaces[index].bond = bond
    }

    private mutating func readNetplanVLAN(_ device: Node, _ index: Int) {
        interfaces[index].type = .vlan
        interfaces[index].vlan.id = number("id", in: device) ?? 0
        if let link = text("link", in: device) { interfaces[index].vlan.parent = need(link, at: place(device)) }
    }

    private mutating func readNetplanVRF(_ device: Node, _ index: Int) {
        interfaces[index].type = .vrfDevice
        interfaces[index].vrfDev.routingTable = number("table", in: device) ?? 0
        for port in readNetplanPorts(device, index) {
            join(port, to: interfaces[index].name, at: place(device), "interfaces")
        }
    }

    private mutating func readNetplanTunnel(_ device: Node, _ index: Int) {
        guard let mode = take("mode", in: device), let word = text(mode) else {
            return leave(device, "a tunnel needs a mode")
        }
        if word == "vxlan" { return readNetplanVXLAN(device, index) }
        if word == "wireguard" { return readNetplanWireGuard(device, index) }
        guard let type = Words.tunnels[word] else {
            leave(
                mode,
                "tunnels of mode \(word.inQuotes) can't be made here; \(interfaces[index].name.inQuotes) is taken for "
                    + "an interface that something else makes")
            return ignore("key", "keys", "local", "remote", "ttl", "peers", "port", "mark", in: device)
        }
        interfaces[index].type = type
        var tunnel = Ligato_Linux_Interfaces_TunnelLink()
        tunnel.local = text("local", in: device) ?? ""
        tunnel.remote = text("remote", in: device) ?? ""
        tunnel.ttl = number("ttl", in: device) ?? 0
        if let key = take("key", "keys", in: device) {
            if tree.kind(of: key) == .mapping {
                let (input, output) = (number("input", in: key), number("output", in: key))
                if let input, input == output {
                    tunnel.key = input
                } else {
                    leave(key, "both directions have one key here")
                }
            } else if let number = number(key) {
                tunnel.key = number
            }
        }
        interfaces[index].tunnel = tunnel
    }

    private mutating func readNetplanVXLAN(_ device: Node, _ index: Int) {
        interfaces[index].type = .vxlan
        var vxlan = Ligato_Linux_Interfaces_VxlanLink()
        vxlan.vni = number("id", in: device) ?? 0
        vxlan.local = text("local", in: device) ?? ""
        let remote = text("remote", in: device) ?? ""
        if IPAddress(remote)?.isMulticast == true { vxlan.group = remote } else { vxlan.remote = remote }
        vxlan.ttl = number("ttl", in: device) ?? 0
        vxlan.port = number("port", in: device) ?? 0
        vxlan.noLearning = flag("mac-learning", in: device).map { !$0 } ?? false
        if let link = text("link", in: device) { vxlan.parent = need(link, at: place(device)) }
        interfaces[index].vxlan = vxlan
    }

    // MARK: - Spans of time

    private mutating func milliseconds(_ name: String, in mapping: Node) -> UInt32? {
        guard let node = take(name, in: mapping), let word = text(node) else { return nil }
        if let span = Words.milliseconds(word, unit: 1) { return span }
        leave(node, "\(word.inQuotes) is not a span of time")
        return nil
    }

    private mutating func seconds(_ names: String..., in mapping: Node) -> UInt32 {
        for name in names {
            guard let node = take(name, in: mapping), let word = text(node) else { continue }
            if let span = Words.milliseconds(word, unit: 1000) { return span / 1000 }
            leave(node, "\(word.inQuotes) is not a span of time")
        }
        return 0
    }
}
