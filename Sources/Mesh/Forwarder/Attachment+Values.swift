internal import LinuxKinds
internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What a connection is to be, in the words of the model: interfaces, routes, neighbours and rules. Logical names of interfaces and
/// labels of their namespaces are the letters of their segments.
extension Attachment {
    typealias Declared = (key: Key, desired: Desired<LinuxWorld>?)

    /// - Parameters:
    ///   - links: those of the connection that are there.
    ///   - tables: of each end with policies, what of its namespace these have to go along with.
    func values(
        _ links: [Segment: Link], _ macs: [Segment: MACAddress], _ tables: [Segment: PolicyTables],
        _ ownership: Ownership
    ) throws(ForwarderError) -> [Declared] {
        var result: [Declared] = []
        for item in ends {
            let (segment, end) = (item.segment, item.end)
            var values: [ModelValue] = [.interface(interface(segment, end, macs[segment]))]
            values += end.allRoutes.map { .route(route($0, segment)) }
            values += neighbours(item, macs).map { neighbour in
                var entry = Ligato_Linux_L3_ARPEntry()
                entry.interface = segment.rawValue
                entry.ipAddress = neighbour.address.description
                entry.hwAddress = neighbour.mac.description
                return .arp(entry)
            }
            let rules = tables[segment]?.assign(end.rules, to: links[segment]?.index) ?? []
            for wanted in rules { values += wanted.routes.map { .route(route($0, segment, table: wanted.rule.table)) } }
            for value in values { result.append((value.key, try desired(value, end, ownership))) }
            if let key = tunnel?.wireGuard?.own.privateKey {
                let value = WireGuardPrivateKey(interface: segment.rawValue, key)
                result.append(("wireguard-key/\(segment.rawValue)", .value(value)))
            }
            for (number, wanted) in rules.enumerated() {
                let name = "\(segment.rawValue)/\(number)"
                result.append(("rule/\(name)", .value(PolicyRule(name, wanted.rule, in: segment.rawValue))))
            }
            if end.setsSysctls {
                result.append(
                    (
                        "settings/\(segment.rawValue)",
                        .value(DesirableSettings(interface: segment.rawValue, end.settings))
                    ))
            }
        }
        return result
    }

    private func desired(
        _ value: ModelValue, _ end: ConnectionEnd, _ ownership: Ownership
    ) throws(ForwarderError) -> Desired<LinuxWorld> {
        let checked = value.checked(suggestions: 0)
        if let specification = checked.specification, checked.obstacle == nil {
            return LinuxRegistry.desired(specification, ownership: ownership)
        }
        let mistake = checked.obstacle
        let what: String
        switch value {
        case .route(let route): what = "route to \(route.dstNetwork) on "
        case .arp(let entry): what = "neighbour \(entry.ipAddress) on "
        case .interface:
            what = mistake?.fields.first == "addresses" ? "address \(mistake?.value ?? "") on " : ""
        case .ruleChain, .filterTable, .allocation, .client, .endpoint, .service, .namespace, .rule, .forwarding,
            .qdisc, .nextHop:
            what = ""
        }
        throw ForwarderError(
            "\(what)interface \(end.name)", in: end.namespace, mistake?.description ?? "it can't be configured")
    }

    private func interface(
        _ segment: Segment, _ end: ConnectionEnd, _ mac: MACAddress?
    ) -> Ligato_Linux_Interfaces_Interface {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = segment.rawValue
        message.hostIfName = end.name
        message.namespace.type = .microservice
        message.namespace.reference = segment.rawValue
        message.enabled = true
        message.mtu = mtu ?? 0
        if let mac { message.physAddress = mac.description }
        var seen: Set<IPPrefix> = []
        message.addresses = end.addresses.filter { seen.insert($0).inserted }.map { prefix in
            var address = Ligato_Linux_Interfaces_InterfaceAddress()
            address.address = prefix.description
            // Nobody else can have the address, and a tentative one can't be used yet.
            address.nodad = prefix.family == .v6
            return address
        }
        switch tunnel?.kind {
        case .vxlan(let vni):
            message.type = .vxlan
            message.vxlan.vni = vni
            message.vxlan.local = tunnel?.local.description ?? ""
            message.vxlan.remote = tunnel?.remote.description ?? ""
            message.vxlan.port = UInt32(tunnel?.port ?? 0)
            // What is behind the other end is known: all of it is at the other host.
            message.vxlan.noLearning = true
        case .wireGuard(let end):
            message.type = .wireguard
            message.wireguard = wireGuard(end)
        case nil:
            message.type = .veth
            message.veth.peerIfName = segment.other?.rawValue ?? ""
        }
        return message
    }

    /// All but the key, which is in no message.
    private func wireGuard(_ end: WireGuardEnd) -> Ligato_Linux_Interfaces_WireguardLink {
        var message = Ligato_Linux_Interfaces_WireguardLink()
        message.listenPort = UInt32(end.own.port)
        var peer = Ligato_Linux_Interfaces_WireguardPeer()
        peer.publicKey = "\(end.peer)"
        peer.endpoint = tunnel.map { "\(IPEndpoint($0.remote, port: $0.port))" } ?? ""
        // The link has one peer. What goes to it is for routes to say.
        peer.allowedIps = ["0.0.0.0/0", "::/0"]
        message.peers = [peer]
        return message
    }

    private func route(_ wanted: EndRoute, _ segment: Segment, table: UInt32 = 0) -> Ligato_Linux_L3_Route {
        var message = Ligato_Linux_L3_Route()
        message.outgoingInterface = segment.rawValue
        message.dstNetwork = wanted.destination.description
        message.table = table
        if let gateway = wanted.gateway {
            message.gwAddr = gateway.description
            message.onlink = true
        }
        return message
    }
}

extension ConnectionEnd {
    /// Lets programs of every group in the namespace send echoes without privileges, and IPv6 be used on the interface.
    fileprivate var settings: [KernelSetting] {
        let echoes = KernelSetting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
        let ipv6 = KernelSetting("/proc/sys/net/ipv6/conf/\(name)/disable_ipv6", "0")
        return usesIPv6 ? [echoes, ipv6] : [echoes]
    }
}
