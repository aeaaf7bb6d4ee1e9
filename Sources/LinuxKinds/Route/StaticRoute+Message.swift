internal import Model

extension StaticRoute {
    /// Takes a checked route.
    init(_ spec: RouteSpec, isBrought: Bool = false) {
        self.isBrought = isBrought
        namespace = NamespaceReference(spec.namespace)
        destinationText = spec.destinationText
        destination = spec.destination
        type = Numbers.routeType[spec.type]
        metric = spec.metric
        table = spec.table
        mtu = spec.mtu
        advertisedMSS = spec.advertisedMSS
        initialCongestionWindow = spec.initialCongestionWindow
        initialReceiveWindow = spec.initialReceiveWindow
        preference = Numbers.preference[spec.preference]
        nextHop = spec.nextHop
        scope = spec.scope.map { Numbers.scope[$0] }
        source = spec.source
        hops = spec.hops.map {
            Hop(interface: $0.interface, gateway: $0.gateway, weight: $0.weight, onlink: $0.isOnLink)
        }
    }
}
