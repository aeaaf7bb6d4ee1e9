internal import NetworkTypes
internal import YAML

/// Reads configurations of the Container Network Interface: those of the plugins `bridge`, `ptp`, `macvlan`, `ipvlan` and `loopback` with
/// addresses of `host-local` or `static`. Source: the CNI specification 1.0, the plugins' documentation.
///
/// A configuration is for any number of containers; its counterpart is that of the host and of one container, which has the first
/// address. The container's network namespace has a name.
extension ConversionDraft {
    private static let cniReasons: [String: String] = [
        "dns": "name servers are for the resolver of the container",
        "capabilities": "they are for the program that calls plugins",
        "dataDir": "addresses are declared here, and not given out",
        "resolvConf": "name servers are for the resolver of the container",
        "disableCheck": "it is for the program that calls plugins",
    ]

    /// What the plugin of an interface gets from its IPAM.
    private struct Addresses {
        struct Entry {
            var address: String
            var gateway: String
        }
        var entries: [Entry] = []
        var routes: [(network: String, gateway: String, node: Node)] = []
    }

    mutating func readCNI(_ root: Node) {
        reasons = Self.cniReasons
        ignore("cniVersion", "disableCheck", in: root)
        let network = text("name", in: root) ?? "cni"
        // Each network has a container of its own, if it is not said which one it is.
        let chosen = containerNamespace
        defer { containerNamespace = chosen }
        if chosen.isEmpty { containerNamespace = network }
        guard let plugins = take("plugins", in: root) else { return readCNIPlugin(root, network) }
        for plugin in mappings(plugins) { readCNIPlugin(plugin, network) }
    }

    private mutating func readCNIPlugin(_ node: Node, _ network: String) {
        guard let type = take("type", in: node), let word = text(type) else {
            return leave(node, "a plugin needs a type")
        }
        switch word {
        case "bridge", "ptp", "macvlan", "ipvlan":
            if let name = takenName(word, network) {
                leave(
                    type,
                    "the interface \(name.inQuotes) that it makes is there already, by another plugin; convert it by itself, "
                        + "with a --namespace of its own")
                return takeAll(below: node)
            }
            declare(namespace: containerNamespace, at: place(node))
            let addresses = cniAddresses(node)
            switch word {
            case "bridge": readCNIBridge(node, network, addresses)
            case "ptp": readCNIPair(node, network, addresses)
            default: readCNIChild(node, word, addresses)
            }
        case "loopback":
            scope = containerNamespace
            interfaces[interface("lo", at: place(type))].type = .loopback
            scope = ""
        default:
            leave(type, "what the plugin \(word.inQuotes) does has no counterpart here")
            takeAll(below: node)
        }
    }

    // MARK: - Addresses

    private mutating func cniAddresses(_ node: Node) -> Addresses {
        var addresses = Addresses()
        guard let ipam = take("ipam", in: node), tree.kind(of: ipam) == .mapping, let type = take("type", in: ipam)
        else {
            return addresses
        }
        switch text(type) ?? "" {
        case "host-local":
            if let range = cniRange(ipam) { addresses.entries.append(range) }
            for set in elements(take("ranges", in: ipam)) {
                let ranges = tree.kind(of: set) == .sequence ? mappings(set) : []
                // Further ranges of a set are for when the first one is used up.
                if let first = ranges.first, let range = cniRange(first) { addresses.entries.append(range) }
                for more in ranges.dropFirst() {
                    leave(more, "the container's address is the first one of the first range")
                    takeAll(below: more)
                }
            }
        case "static":
            for element in mappings(take("addresses", in: ipam)) {
                guard let address = text("address", in: element) else { continue }
                addresses.entries.append(Addresses.Entry(address: address, gateway: text("gateway", in: element) ?? ""))
            }
        case let word:
            leave(type, "addresses by \(word.inQuotes) are not known here; declare those of the container")
            takeAll(below: ipam)
        }
        for route in mappings(take("routes", in: ipam)) {
            guard let network = text("dst", in: route) else { continue }
            addresses.routes.append((network, text("gw", in: route) ?? "", route))
        }
        return addresses
    }

    /// The first address that `host-local` gives out of a range, and its gateway.
    private mutating func cniRange(_ node: Node) -> Addresses.Entry? {
        guard let subnetNode = take("subnet", in: node), let text = text(subnetNode) else { return nil }
        guard let subnet = IPPrefix(text)?.network, subnet.length < subnet.family.bitWidth - 1 else {
            leave(subnetNode, "\(text.inQuotes) is not a network with room for addresses")
            return nil
        }
        let usual = subnet.address.advanced(by: 1)
        let gateway = self.text("gateway", in: node).flatMap { IPAddress($0) } ?? usual
        var first = self.text("rangeStart", in: node).flatMap { IPAddress($0) } ?? usual
        if first == gateway { first = first.advanced(by: 1) }
        ignore("rangeEnd", in: node)
        return Addresses.Entry(address: "\(first)/\(subnet.length)", gateway: "\(gateway)")
    }

    /// Gives the container's interface its addresses and routes.
    private mutating func give(_ addresses: Addresses, to index: Int, isDefaultGateway: Bool, at place: SourcePosition)
    {
        for entry in addresses.entries { add(address: entry.address, to: index, place, "ipam") }
        giveRoutes(addresses, to: index, isDefaultGateway: isDefaultGateway, at: place)
    }

    private mutating func giveRoutes(
        _ addresses: Addresses, to index: Int, isDefaultGateway: Bool, at place: SourcePosition
    ) {
        var routes = addresses.routes.map { ($0.network, $0.gateway, self.place($0.node)) }
        if isDefaultGateway {
            for entry in addresses.entries {
                guard let family = IPAddress(entry.gateway)?.family else { continue }
                let network = IPPrefix.any(family).description
                if !routes.contains(where: { $0.0 == network }) { routes.append((network, entry.gateway, place)) }
            }
        }
        for (network, gateway, place) in routes {
            guard let prefix = IPPrefix(network) else {
                leave(place, "ipam.routes", "\(network.inQuotes) is not a network")
                continue
            }
            var route = RouteMessage()
            route.dstNetwork = network
            let first = addresses.entries.first { IPAddress($0.gateway)?.family == prefix.family }
            route.gwAddr = gateway.isEmpty ? first?.gateway ?? "" : gateway
            route.outgoingInterface = interfaces[index].name
            add(route, at: place)
        }
    }

    // MARK: - Plugins

    /// The interface in the container.
    private mutating func container(_ node: Node) -> Int {
        scope = containerNamespace
        defer { scope = "" }
        return interface("eth0", at: place(node))
    }

    /// What a plugin would make and is there already.
    private mutating func takenName(_ plugin: String, _ network: String) -> String? {
        scope = containerNamespace
        defer { scope = "" }
        if knows("eth0") { return "eth0" }
        scope = ""
        let host = hostName(network)
        return ["bridge", "ptp"].contains(plugin) && knows(host) ? host : nil
    }

    /// A pair of which one end is in the container.
    private mutating func containerPair(_ node: Node, _ host: String) -> (inside: Int, outside: Int) {
        let (inside, outside) = (container(node), interface(host, at: place(node)))
        (interfaces[inside].type, interfaces[outside].type) = (.veth, .veth)
        interfaces[inside].veth.peerIfName = interfaces[outside].name
        interfaces[outside].veth.peerIfName = interfaces[inside].name
        if let mtu = number("mtu", in: node) {
            (interfaces[inside].mtu, interfaces[outside].mtu) = (mtu, mtu)
        }
        return (inside, outside)
    }

    /// A name for the end of a pair that is on the host, which the plugins choose by chance.
    private func hostName(_ network: String) -> String {
        let name = network.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        let room = InterfaceName.maximumLength - 5
        if name == network, name.utf8.count <= room { return "veth-" + name }
        // What is not said of the name is in four digits that follow from all of it.
        let sum = network.utf8.reduce(UInt32(5381)) { ($0 &* 33) ^ UInt32($1) }
        let digits = String((sum ^ sum >> 16) & 0xffff | 0x10000, radix: 16).dropFirst()
        return "veth-" + name.prefix(room - 5) + "-" + digits
    }

    private mutating func readCNIBridge(_ node: Node, _ network: String, _ addresses: Addresses) {
        let bridge = interface(text("bridge", in: node) ?? "cni0", at: place(node))
        interfaces[bridge].type = .bridge
        let (inside, outside) = containerPair(node, hostName(network))
        interfaces[bridge].bridge.ports.append(interfaces[outside].name)
        let isDefault = flag("isDefaultGateway", in: node) ?? false
        let isGateway = (flag("isGateway", in: node) ?? false) || isDefault
        if isGateway {
            for entry in addresses.entries {
                guard let length = IPPrefix(entry.address)?.length, !entry.gateway.isEmpty else { continue }
                add(address: "\(entry.gateway)/\(length)", to: bridge, place(node), "gateway")
            }
            forward(for: addresses, on: bridge)
        }
        if flag("hairpinMode", in: node) == true { setPort(outside) { $0.hairpin = true } }
        if let vlan = number("vlan", in: node), let message = Self.vlan("\(vlan)") {
            setPort(outside) { $0.vlans = Self.vlans(tagged: [], untagged: [message], pvid: vlan) }
        }
        if flag("ipMasq", in: node) == true { masquerade(addresses, network, node) }
        ignore("forceAddress", in: node)
        give(addresses, to: inside, isDefaultGateway: isDefault, at: place(node))
    }

    private mutating func readCNIPair(_ node: Node, _ network: String, _ addresses: Addresses) {
        let (inside, outside) = containerPair(node, hostName(network))
        for entry in addresses.entries {
            guard let prefix = IPPrefix(entry.address), let gateway = IPAddress(entry.gateway) else { continue }
            // The other end alone is on the link; all others are behind it.
            var address = Ligato_Linux_Interfaces_InterfaceAddress()
            (address.address, address.noprefixroute) = (entry.address, true)
            add(address, to: inside, place(node), "ipam")
            add(address: IPPrefix(host: gateway).description, to: outside, place(node), "gateway")
            var back = RouteMessage()
            back.dstNetwork = IPPrefix(host: prefix.address).description
            back.outgoingInterface = interfaces[outside].name
            add(back, at: place(node))
            var onLink = RouteMessage()
            onLink.dstNetwork = IPPrefix(host: gateway).description
            onLink.outgoingInterface = interfaces[inside].name
            add(onLink, at: place(node))
            var subnet = RouteMessage()
            subnet.dstNetwork = prefix.network.description
            subnet.gwAddr = "\(gateway)"
            subnet.outgoingInterface = interfaces[inside].name
            subnet.srcAddr = "\(prefix.address)"
            add(subnet, at: place(node))
        }
        forward(for: addresses, on: outside)
        if flag("ipMasq", in: node) == true { masquerade(addresses, network, node) }
        giveRoutes(addresses, to: inside, isDefaultGateway: false, at: place(node))
    }

    private mutating func readCNIChild(_ node: Node, _ word: String, _ addresses: Addresses) {
        let master = take("master", in: node)
        let name = text(master)
        if name == nil {
            leave(node, "write as parent the interface with the default route, which is meant without master")
        }
        let parent = need(name ?? "eth0", at: master.map { place($0) } ?? place(node))
        let index = container(node)
        if word == "macvlan" {
            interfaces[index].type = .macvlan
            interfaces[index].macvlan.parent = parent
            if let mode = self.word("mode", in: node, Words.macvlanModes) { interfaces[index].macvlan.mode = mode }
        } else {
            interfaces[index].type = .ipvlan
            interfaces[index].ipvlan.parent = parent
            if let mode = self.word("mode", in: node, Words.ipvlanModes) { interfaces[index].ipvlan.mode = mode }
        }
        if let mtu = number("mtu", in: node) { interfaces[index].mtu = mtu }
        give(addresses, to: index, isDefaultGateway: false, at: place(node))
    }

    /// What leaves a gateway's interface is sent on.
    private mutating func forward(for addresses: Addresses, on index: Int) {
        for entry in addresses.entries {
            guard let family = IPAddress(entry.gateway)?.family else { continue }
            set(family == .v4 ? "ipv4.forwarding" : "ipv6.forwarding", "1", of: index)
        }
    }

    private mutating func masquerade(_ addresses: Addresses, _ network: String, _ node: Node) {
        // What stays among the containers keeps its address.
        let rules = addresses.entries.compactMap { entry -> String? in
            guard let prefix = IPPrefix(entry.address) else { return nil }
            let (word, all) = prefix.family == .v4 ? ("ip", "224.0.0.0/4") : ("ip6", "ff00::/8")
            return "    \(word) saddr \(prefix.address) \(word) daddr != { \(prefix.network), \(all) } masquerade"
        }
        if rules.isEmpty { return }
        var table = Nsmagent_Linux_FilterTable()
        table.name = "cni-" + network.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
        table.ruleset =
            (["chain postrouting {", "    type nat hook postrouting priority 100;"] + rules + ["}"]).joined(
                separator: "\n") + "\n"
        add(.filterTable(table), at: place(node))
    }
}

extension IPAddress {
    /// The address that many behind it, around the end of all addresses.
    fileprivate func advanced(by count: UInt64) -> IPAddress {
        if family == .v4 { return IPAddress(v4: UInt32(truncatingIfNeeded: low) &+ UInt32(truncatingIfNeeded: count)) }
        let (sum, isOver) = low.addingReportingOverflow(count)
        return IPAddress(high: isOver ? high &+ 1 : high, low: sum)
    }
}
