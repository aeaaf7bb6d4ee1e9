internal import Netlink

extension LinuxWorld {
    /// Text for an operation, in the kernel's words: `RTM_NEWADDR 10.0.0.1/24 dev eth0 in host1`.
    public func describe(_ operation: LinuxOperation) -> String {
        let state = states[operation.namespace]
        let place = state?.reference.suffix ?? " in a namespace that is gone"
        switch operation.action {
        case .request(let request): return words(request, state) + place
        case .createLink(let creation):
            let attributes = creation.attributes
            let target = states[creation.target]?.reference.suffix ?? " in a namespace that is gone"
            return "RTM_NEWLINK \(attributes.name ?? "") type \(attributes.kind?.name ?? "none")\(target)"
        case .createTUN(let name, _, _, _): return "TUNSETIFF \(name)\(place)"
        case .moveLink(let move):
            let target = states[move.target].map { "\($0.reference)" } ?? "another namespace"
            return "RTM_SETLINK \(device(move.index, state)) netns \(target) name \(move.name)\(place)"
        case .rename(_, let old, let new, _): return "RTM_SETLINK \(old) name \(new)\(place)"
        case .deleteLinks(let indexes, _):
            return "RTM_DELLINK \(indexes.map { device($0, state) }.joined(separator: ", "))\(place)"
        case .createNamespace(let name, _): return "create namespace \(name)"
        case .markNamespace(let name, _): return "mark namespace \(name)"
        case .removeNamespace(let name): return "remove namespace \(name)"
        case .sysctl(let path, let value): return "write \(value) to \(path)\(place)"
        case .desirable(let settings, _):
            return "write \(settings.map { "\($0.value) to \($0.path)" }.joined(separator: ", "))\(place)"
        case .load(let load): return load.summary + place
        case .wireGuard(let index, let change):
            return "WG_CMD_SET_DEVICE \(device(index, state))\(change.text)\(place)"
        case .offload(let index, _, _): return "SIOCETHTOOL \(device(index, state))\(place)"
        }
    }

    private func words(_ request: Request, _ state: NamespaceState?) -> String {
        switch request {
        case .createLink(let link, _): "RTM_NEWLINK \(link.name ?? "") type \(link.kind?.name ?? "none")"
        case .setLink(let link): "RTM_SETLINK \(device(link.index, state))"
        case .addAltNames(let names, let index):
            "RTM_NEWLINKPROP \(device(index, state)) altname \(names.joined(separator: " "))"
        case .deleteAltNames(let names, let index):
            "RTM_DELLINKPROP \(device(index, state)) altname \(names.joined(separator: " "))"
        case .deleteLink(let index): "RTM_DELLINK \(device(index, state))"
        case .deleteLinkGroup(let group): "RTM_DELLINK group \(group)"
        case .addAddress(let address, _): words("RTM_NEWADDR", .address(address), state)
        case .deleteAddress(let address): words("RTM_DELADDR", .address(address), state)
        case .addRoute(let route, _), .appendRoute(let route): words("RTM_NEWROUTE", .route(route), state)
        case .deleteRoute(let route): words("RTM_DELROUTE", .route(route), state)
        case .addNeighbour(let entry, _): words("RTM_NEWNEIGH", .neighbour(entry), state)
        case .deleteNeighbour(let entry): words("RTM_DELNEIGH", .neighbour(entry), state)
        case .addForwarding(let entry): words("RTM_NEWNEIGH", .forwarding(entry), state)
        case .deleteForwarding(let entry): words("RTM_DELNEIGH", .forwarding(entry), state)
        case .addVLANs(let vlans, let index, _): "RTM_SETLINK \(device(index, state)) vlan \(vlans.text)"
        case .deleteVLANs(let vlans, let index, _): "RTM_DELLINK \(device(index, state)) vlan \(vlans.text)"
        case .addQdisc(let qdisc), .changeQdisc(let qdisc): words("RTM_NEWQDISC", .qdisc(qdisc), state)
        case .addNextHop(let hop, _): words("RTM_NEWNEXTHOP", .nextHop(hop), state)
        case .deleteNextHop(let hop): words("RTM_DELNEXTHOP", .nextHop(hop), state)
        case .addFilter(let filter): words("RTM_NEWTFILTER", .filter(filter), state)
        case .deleteFilter(let filter): words("RTM_DELTFILTER", .filter(filter), state)
        case .deleteQdisc(let qdisc): words("RTM_DELQDISC", .qdisc(qdisc), state)
        case .addRule(let rule): words("RTM_NEWRULE", .rule(rule), state)
        case .deleteRule(let rule): words("RTM_DELRULE", .rule(rule), state)
        case .restore(let object): words("restore", object.report, state)
        }
    }

    private func words(_ verb: String, _ object: Report, _ state: NamespaceState?) -> String {
        switch object {
        case .address(let address): "\(verb) \(address.local) dev \(device(address.linkIndex, state))"
        case .route(let route):
            "\(verb) \(route.destination.length == 0 ? "default" : "\(route.destination)")"
                + route.nextHops.map { hop in
                    (hop.gateway.map { " via \($0)" } ?? "") + " dev \(device(hop.linkIndex, state))"
                }.joined()
                + " table \(Names.table(route.table))"
        case .neighbour(let entry): "\(verb) \(entry.destination) dev \(device(entry.linkIndex, state))"
        case .forwarding(let entry):
            "\(verb) \(entry.mac) dev \(device(entry.linkIndex, state))"
                + (entry.destination.map { " dst \($0)" } ?? "")
        case .qdisc(let qdisc): "\(verb) \(qdisc.kind.name) dev \(device(qdisc.linkIndex, state))"
        case .filter(let filter): "\(verb) police ingress dev \(device(filter.linkIndex, state))"
        case .nextHop(let hop): "\(verb) \(state.map(hop.text) ?? "id \(hop.id)")"
        case .rule(let rule): "\(verb) priority \(rule.priority) table \(Names.table(rule.table))"
        case .link, .linkRemoved, .addressRemoved, .routeRemoved, .neighbourRemoved, .ruleRemoved, .port,
            .forwardingRemoved, .qdiscRemoved, .filterRemoved, .nextHopRemoved, .settings:
            verb
        }
    }

    /// The name of a link, also of one that is planned.
    private func device(_ index: Int32, _ state: NamespaceState?) -> String {
        state?.links[index]?.link.name ?? state?.links[madeIndexes[index] ?? index]?.link.name ?? "if\(index)"
    }
}
