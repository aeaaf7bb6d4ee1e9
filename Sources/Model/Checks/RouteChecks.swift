internal import NetworkTypes

extension Checker {
    /// Checks a route by itself.
    mutating func check(route: Route, _ item: Int) {
        if route.hasNamespace { check(namespace: route.namespace, item) }
        var family: IPAddress.Family?
        if route.dstNetwork.isEmpty {
            report(item, ["dst_network"], "is missing; 0.0.0.0/0 and ::/0 are the default routes")
        } else if route.dstNetwork.isReference {
            check(reference: route.dstNetwork, item, ["dst_network"], owner: route.outgoingInterface, gateway: .allowed)
        } else {
            family = parsePrefix(route.dstNetwork)?.family
        }
        checkWay(route, item)
        checkGateway(route.gwAddr, item, ["gw_addr"], owner: route.outgoingInterface, family: family)
        if !route.gwAddr.isEmpty, route.scope == .link {
            report(item, ["scope"], value: "LINK", "is not possible with a gateway: the destination is not on the link")
        }
        if route.onlink, route.gwAddr.isEmpty {
            report(item, ["onlink"], "is about a gateway; there is none")
        }
        if let source = parseAddress(route.srcAddr) {
            if let family, source.family != family {
                report(item, ["src_addr"], value: route.srcAddr, "is not of the same family as \(route.dstNetwork)")
            } else if source.isMulticast || source.isUnspecified {
                report(item, ["src_addr"], value: route.srcAddr, "can't be the source of a packet")
            }
        }
        if route.mtu != 0, route.mtu < (family == .v6 ? 1280 : 68) {
            report(item, ["mtu"], value: String(route.mtu), "is below the smallest MTU (\(family == .v6 ? 1280 : 68))")
        }
        for index in route.nextHops.indices { check(hop: route.nextHops[index], index, item, family) }
    }

    /// Checks that a route has one way out, or none where none belongs.
    private mutating func checkWay(_ route: Route, _ item: Int) {
        let hasHops = !route.nextHops.isEmpty
        guard route.type == .unicast else {
            let word = Schema.plain.enumName(route.type.rawValue, of: "ligato.linux.l3.Route.Type")
            if !route.outgoingInterface.isEmpty {
                report(
                    item, ["outgoing_interface"], value: route.outgoingInterface, "does not belong to a \(word) route")
            }
            if !route.gwAddr.isEmpty {
                report(item, ["gw_addr"], value: route.gwAddr, "does not belong to a \(word) route")
            }
            if hasHops { report(item, ["next_hops"], "do not belong to a \(word) route") }
            return
        }
        if hasHops {
            if !route.outgoingInterface.isEmpty || !route.gwAddr.isEmpty {
                report(item, ["next_hops"], "can't be set together with outgoing_interface or gw_addr")
            }
        } else if route.outgoingInterface.isEmpty {
            report(item, ["outgoing_interface"], "is missing; name the interface the packets leave by")
        }
    }

    private mutating func check(
        hop: Ligato_Linux_L3_NextHop, _ index: Int, _ item: Int, _ family: IPAddress.Family?
    ) {
        let path: [PathPart] = ["next_hops", .element(index)]
        if hop.outgoingInterface.isEmpty {
            report(item, path + ["outgoing_interface"], "is missing; name the interface the packets leave by")
        }
        checkGateway(hop.gwAddr, item, path + ["gw_addr"], owner: hop.outgoingInterface, family: family)
        if hop.onlink, hop.gwAddr.isEmpty { report(item, path + ["onlink"], "is about a gateway; there is none") }
    }

    private mutating func checkGateway(
        _ text: String, _ item: Int, _ path: [PathPart], owner: String, family: IPAddress.Family?
    ) {
        guard !text.isEmpty else { return }
        if text.isReference { return check(reference: text, item, path, owner: owner, gateway: .required) }
        guard let gateway = parseAddress(text) else { return }
        if let family, gateway.family != family {
            report(item, path, value: text, "is \(gateway.family.word), but the destination is \(family.word)")
        } else if gateway.isMulticast {
            report(item, path, value: text, "is a multicast address")
        }
    }

    /// Checks a policy rule.
    mutating func check(rule: Nsmagent_Linux_Rule, _ item: Int) {
        check(name: rule.name, item, "name")
        if rule.hasNamespace { check(namespace: rule.namespace, item) }
        if rule.priority == 0 { report(item, ["priority"], "is missing; rules are tried in the order of this number") }
        let from = parsePrefix(rule.from)
        let to = parsePrefix(rule.to)
        if let from, let to, from.family != to.family {
            report(item, ["to"], value: rule.to, "is \(to.family.word), but from is \(from.family.word)")
        }
        if rule.family == .ipv6, let other = from ?? to, other.family == .v4 {
            report(item, ["family"], value: "IPV6", "does not fit \(other), which is IPv4")
        }
        for (field, name) in [("iif", rule.iif), ("oif", rule.oif)] where !name.isEmpty {
            if let problem = InterfaceName.mistake(in: name) { report(item, [.field(field)], value: name, problem) }
        }
        if rule.action == .lookup, rule.table == 0 {
            report(item, ["table"], "is missing; a LOOKUP rule needs the table to look in")
        } else if rule.action != .lookup, rule.table != 0 {
            report(item, ["table"], value: String(rule.table), "belongs to action LOOKUP only")
        }
    }
}

extension IPAddress.Family {
    /// The name in texts.
    var word: String { self == .v4 ? "IPv4" : "IPv6" }
}

extension Schema {
    /// The name of an enumeration's number; the number when it has none.
    func enumName(_ number: Int, of fullName: String) -> String {
        enums.first { $0.fullName == fullName }?.name(of: UInt64(bitPattern: Int64(number))) ?? String(number)
    }
}
