internal import Netlink

extension StaticRoute {
    /// In the words of ip-route(8): `default via 192.168.1.1 dev eth0 metric 100`.
    public var summary: String {
        var words = type == 1 ? [] : [Names.routeType(type)]
        words.append(["0.0.0.0/0", "::/0"].contains(destinationText) ? "default" : destinationText)
        for hop in hops {
            if hops.count > 1 { words.append("nexthop") }
            switch hop.gateway {
            case .literal(let gateway): words.append("via \(gateway.address)")
            case .allocated(let reference): words.append("via alloc:\(reference.id)/GW")
            case nil: break
            }
            words.append("dev \(hop.interface)")
            if hops.count > 1, hop.weight > 1 { words.append("weight \(hop.weight)") }
        }
        if let nextHop { words.append("nexthop \(nextHop)") }
        if metric != 0 { words.append("metric \(metric)") }
        if let table { words.append("table \(Names.table(table))") }
        return words.joined(separator: " ") + namespace.suffix
    }
}

extension Route {
    /// The number of its nexthop object, or its next hops.
    func wayText(_ state: NamespaceState) -> String { nextHopID == 0 ? hopText(state) : "nhid \(nextHopID)" }

    /// Its next hops, with names of interfaces.
    func hopText(_ state: NamespaceState) -> String {
        let texts = nextHops.map { hop in
            let device = "dev \(state.links[hop.linkIndex]?.link.name ?? "\(hop.linkIndex)")"
            let weight = nextHops.count > 1 && hop.weight > 1 ? " weight \(hop.weight)" : ""
            return (hop.gateway.map { "via \($0) " } ?? "") + device + weight
        }
        return texts.isEmpty ? "none" : texts.joined(separator: ", ")
    }
}
