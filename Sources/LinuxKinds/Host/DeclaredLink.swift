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
