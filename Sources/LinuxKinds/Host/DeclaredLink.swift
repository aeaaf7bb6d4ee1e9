public import Netlink

extension LinuxWorld {
    /// The link of a declared interface, by its logical name, as the kernel last reported it; nil: it is not there.
    public func declaredLink(_ name: String) -> Link? {
        guard let link = link(of: name)?.link, link.index > 0 else { return nil }
        return link
    }

    /// The namespace that a declared interface is to be in, by its logical name; nil: none is declared.
    public func declaredNamespace(of interface: String) -> NamespaceReference? {
        declarations.interfaces[interface]?.value.namespace
    }

    /// The namespace that a declared nexthop object is in; nil: it, or what it is a group of, is not declared.
    public func declaredNamespace(ofNextHop name: String) -> NamespaceReference? {
        guard let value = declarations.nextHop(name) else { return nil }
        switch value.form {
        case .way(let hop): return declaredNamespace(of: hop.interface) ?? value.namespace
        case .blackhole: return value.namespace
        case .group:
            // Groups have no groups.
            guard let first = value.members.first, let member = declarations.nextHop(first), member.members.isEmpty
            else { return nil }
            return declaredNamespace(ofNextHop: first)
        }
    }
}

extension LinuxWorld {
    /// What the link of a declared interface carried, by its logical name; nil: it is not there, or can't be asked.
    public func declaredTraffic(_ name: String) -> LinkTraffic? {
        guard let link = link(of: name), link.link.index > 0,
            let socket = try? routeSocket(link.namespace)
        else { return nil }
        return (try? socket.traffic(index: link.link.index)) ?? nil
    }
}
