internal import Model
internal import Netlink
internal import NetworkTypes

/// Neighbours, routes and rules.
extension Export {
    mutating func addNeighbours(of link: LinkState) {
        for entry in link.neighbours where entry.neighbour.proto == ownership.proto {
            var message = Ligato_Linux_L3_ARPEntry()
            message.interface = name(of: link)
            message.ipAddress = "\(entry.neighbour.destination)"
            message.proxy = entry.neighbour.flags & Neighbour.proxy != 0
            if !message.proxy { message.hwAddress = entry.neighbour.mac.map(\.description) ?? "" }
            others.append(.arp(message))
        }
    }

    mutating func addRoutes(of state: NamespaceState) throws(KernelError) {
        var routes = state.routes.values.map(\.route).filter { RouteID($0) != world.neighbourMarkID }
        if isEverything {
            for case .route(let route) in try world.routeSocket(state).dump(.routes(ignoringKernel: true))
            where Self.isStatic(route) && route.proto != ownership.proto { routes.append(route) }
        }
        routes.sort { ($0.destination, $0.table, $0.metric) < ($1.destination, $1.table, $1.metric) }
        for route in routes {
            if let message = message(for: route, in: state) { others.append(.route(message)) }
        }
    }

    /// Whether somebody wrote it down, and it is of a form that can be declared. What redirects (1), router
    /// advertisements (9), DHCP (16) and marks of other agents made goes as it came.
    private static func isStatic(_ route: Route) -> Bool {
        ![1, 9, 16].contains(route.proto) && [1, 6, 7, 8].contains(route.type) && route.tos == 0
            && route.nextHops.allSatisfy { $0.gateway.map { $0.family == route.destination.family } ?? true }
    }

    private mutating func message(for route: Route, in state: NamespaceState) -> Ligato_Linux_L3_Route? {
        var message = Ligato_Linux_L3_Route()
        message.dstNetwork = "\(route.destination)"
        message.metric = route.destination.family == .v6 && route.metric == 1024 ? 0 : route.metric
        message.type = [6: .blackhole, 7: .unreachable, 8: .prohibit][route.type] ?? .unicast
        message.srcAddr = route.source?.description ?? ""
        message.mtu = route.mtu
        var vrfTable: UInt32?
        for hop in route.nextHops {
            guard let link = state.links[hop.linkIndex] else { return nil }
            // What leads to the loopback interface of somebody else is the kernel's business.
            if link.link.flags & LinkFlags.loopback != 0, !ownership.owns(alias: link.link.alias) { return nil }
            if let master = state.links[link.link.master], case .vrf(let table) = master.link.kind { vrfTable = table }
            var part = Ligato_Linux_L3_NextHop()
            part.outgoingInterface = name(of: link)
            part.gwAddr = hop.gateway?.description ?? ""
            part.onlink = hop.onlink
            if hop.weight > 1 { part.weight = UInt32(hop.weight) }
            message.nextHops.append(part)
        }
        if route.table != vrfTable ?? 254 { message.table = route.table }
        if message.nextHops.isEmpty {
            if let reference = reference(to: state) { message.namespace = reference }
        } else if message.nextHops.count == 1 {
            let hop = message.nextHops.removeFirst()
            message.outgoingInterface = hop.outgoingInterface
            message.gwAddr = hop.gwAddr
            message.onlink = hop.onlink
        }
        if route.destination.family == .v4 { message.scope = Self.scope(route.scope, type: route.type) }
        return message
    }

    private static func scope(_ scope: UInt8, type: UInt8) -> Ligato_Linux_L3_Route.Scope {
        switch scope {
        case 0: type == 1 ? .global : .undefined
        case 200: .site
        case 253: .link
        case 254: .host
        default: .undefined
        }
    }

    mutating func addRules(of state: NamespaceState) throws(KernelError) {
        var rules = Array(state.rules.keys)
        if isEverything { rules += state.foreignRules }
        rules.sort { ($0.priority, "\($0)") < ($1.priority, "\($1)") }
        for rule in rules where [1, 6, 7, 8].contains(rule.action) {
            var message = Nsmagent_Linux_Rule()
            var name = "rule-\(rule.priority)"
            if rule.family == .v6 { name += "-v6" }
            if let reference = reference(to: state) {
                message.namespace = reference
                name += "-\(reference.reference)"
            }
            let first = name
            var number = 1
            while !usedRuleNames.insert(name).inserted {
                number += 1
                name = "\(first)-\(number)"
            }
            message.name = name
            message.priority = rule.priority
            message.from = rule.from?.description ?? ""
            message.to = rule.to?.description ?? ""
            message.iif = rule.inputInterface ?? ""
            message.oif = rule.outputInterface ?? ""
            message.fwmark = rule.mark
            if rule.mark == 0 || rule.mask != .max { message.fwmask = rule.mask }
            message.table = rule.table
            message.action = [6: .blackhole, 7: .unreachable, 8: .prohibit][rule.action] ?? .lookup
            if rule.from == nil, rule.to == nil, rule.family == .v6 { message.family = .ipv6 }
            message.invert = rule.invert
            others.append(.rule(message))
        }
    }
}
