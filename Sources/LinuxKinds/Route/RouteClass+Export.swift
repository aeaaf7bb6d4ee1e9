internal import Model
internal import Netlink
internal import NetworkTypes

/// Routes in an export.
extension RouteClass {
    static func export(_ state: NamespaceState, to export: inout Export) throws(KernelError) {
        var routes = state.routes.values.map(\.route).filter { RouteID($0) != export.world.neighbourMarkID }
        if export.isEverything {
            for case .route(let route) in try export.world.routeSocket(state).dump(.routes(ignoringKernel: true))
            where isStatic(route) && route.proto != export.ownership.proto { routes.append(route) }
        }
        routes.removeAll { route in
            let isByOther = route.nextHopID != 0 && state.nextHops[route.nextHopID] == nil
            if route.isDeclarable, !isByOther { return false }
            let what = [
                isByOther ? "nhid \(route.nextHopID)" : "", route.otherText, route.tos == 0 ? "" : "tos \(route.tos)",
            ].filter { !$0.isEmpty }
            export.omit(
                "route \(route.destination)\(state.reference.suffix)",
                "can't be declared\(what.isEmpty ? "" : ": it has \(what.joined(separator: ", "))")")
            return true
        }
        routes.sort { ($0.destination, $0.table, $0.metric) < ($1.destination, $1.table, $1.metric) }
        for route in routes {
            if let message = message(for: route, in: state, &export) { export.others.append(.route(message)) }
        }
    }

    /// Whether somebody wrote it down. What redirects (1), router
    /// advertisements (9), DHCP (16) and marks of other agents made goes as it came.
    private static func isStatic(_ route: Route) -> Bool {
        ![1, 9, 16].contains(route.proto)
    }

    private static func message(
        for route: Route, in state: NamespaceState, _ export: inout Export
    ) -> Ligato_Linux_L3_Route? {
        var message = Ligato_Linux_L3_Route()
        message.dstNetwork = "\(route.destination)"
        let isDefault = route.metric == RouteSpec.defaultMetric(of: route.destination.family)
        message.metric = isDefault ? 0 : route.metric
        let type = Numbers.routeType.word(route.type) ?? .unicast
        message.type = Ligato_Linux_L3_Route.TypeEnum(type)
        message.srcAddr = route.source?.description ?? ""
        message.mtu = route.mtu
        message.advmss = route.advertisedMSS
        message.initcwnd = route.initialCongestionWindow
        message.initrwnd = route.initialReceiveWindow
        message.pref = Ligato_Linux_L3_Route.Preference(Numbers.preference.word(route.preference) ?? .medium)
        if route.nextHopID != 0 {
            message.nexthop = NextHopKeys.name(route.nextHopID)
            if route.table != 254 { message.table = route.table }
            return message
        }
        var vrfTable: UInt32?
        for hop in route.nextHops {
            guard let link = state.links[hop.linkIndex] else { return nil }
            // What leads to the loopback interface of somebody else is the kernel's business.
            if link.link.flags & LinkFlags.loopback != 0, !export.ownership.owns(alias: link.link.alias) { return nil }
            if let table = link.vrfTable { vrfTable = table }
            var part = Ligato_Linux_L3_NextHop()
            part.outgoingInterface = export.name(of: link)
            part.gwAddr = hop.gateway?.description ?? ""
            part.onlink = hop.onlink
            if hop.weight > 1 { part.weight = UInt32(hop.weight) }
            message.nextHops.append(part)
        }
        if route.table != vrfTable ?? 254 { message.table = route.table }
        if message.nextHops.isEmpty {
            if let reference = export.reference(to: state) { message.namespace = reference }
        } else if message.nextHops.count == 1 {
            let hop = message.nextHops.removeFirst()
            message.outgoingInterface = hop.outgoingInterface
            message.gwAddr = hop.gwAddr
            message.onlink = hop.onlink
        }
        // A route that drops packets has the scope 0 without being asked to.
        if route.destination.family == .v4, let scope = Numbers.scope.word(route.scope),
            scope != .global || type == .unicast
        {
            message.scope = Ligato_Linux_L3_Route.Scope(scope)
        }
        return message
    }
}

extension Route {
    /// Whether it is of a form that the model has words for.
    fileprivate var isDeclarable: Bool {
        [1, 6, 7, 8].contains(type) && tos == 0 && others.isEmpty && !isForSomeSources
            && Numbers.preference.word(preference) != nil
            && nextHops.allSatisfy { $0.gateway.map { $0.family == destination.family || $0.family == .v6 } ?? true }
    }

    /// Whether it has what has no words here.
    var hasOthers: Bool { !others.isEmpty || isForSomeSources }

    /// Names of what the model has no words for. Source: `RTA_*`, linux/rtnetlink.h.
    var otherText: String {
        if !hasOthers { return "" }
        let names = [
            2: "from", 8: "metrics", 11: "realms", 19: "newdst", 20: "pref", 21: "encap type", 22: "encap",
            23: "expires",
            26: "ttl-propagate",
        ]
        let types = Set(others.types).sorted()
        return (types.map { names[$0] ?? "attribute \($0)" } + (isForSomeSources ? ["from"] : [])).joined(
            separator: " ")
    }
}
