public import Netlink

extension LinuxWorld {
    /// The link of a declared interface, by its logical name, as the kernel last told of it; nil: it is not there.
    public func declaredLink(_ name: String) -> Link? {
        guard let link = link(of: name)?.link, link.index > 0 else { return nil }
        return link
    }
}
