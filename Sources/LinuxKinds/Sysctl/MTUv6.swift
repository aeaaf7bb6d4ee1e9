internal import Glibc
internal import Netlink
internal import Reconciler

/// The MTU of IPv6, which the kernel makes that of the link whenever the link gets another one or comes up: with its first
/// carrier, some time after the request that took it up. Source: `addrconf_notify`, net/ipv6/addrconf.c.
extension LinuxWorld {
    /// The declared ones that are as declared.
    func mtusV6InPlace() -> Set<Key> {
        if declarations.mtusV6.isEmpty { return [] }
        return Set(declarations.mtusV6.lazy.filter { self.isInPlace($0.value) }.map(\.key))
    }

    private func isInPlace(_ setting: SysctlSetting) -> Bool {
        guard let link = link(of: setting.interface), link.link.index > 0 else { return false }
        return readSysctl(setting.path(link: link.link.name), in: link.namespace) == setting.value
    }

    /// Writes again what the kernel changed by itself: of those that were in place before, and those that were just written.
    func keep(_ before: Set<Key>, after operations: [LinuxOperation], _ results: [OperationResult]) {
        if declarations.mtusV6.isEmpty { return }
        var written: Set<String> = []
        for (operation, result) in zip(operations, results) {
            guard case .sysctl(let path, _) = operation.action, case .done = result else { continue }
            written.insert("\(operation.namespace) \(path)")
        }
        for (key, setting) in declarations.mtusV6 {
            guard let link = link(of: setting.interface), link.namespace.handle != nil else { continue }
            let path = setting.path(link: link.link.name)
            guard before.contains(key) || written.contains("\(link.namespace.id) \(path)") else { continue }
            awaitCarrier(link)
            guard let have = readSysctl(path, in: link.namespace), have != setting.value else { continue }
            modifyingRequests += 1
            // What is refused is found by the next comparison.
            try? writeSysctl(path, setting.value, in: link.namespace)
        }
    }

    /// Waits until the kernel has told itself that a link has a carrier, for at most a second.
    private func awaitCarrier(_ link: LinkState) {
        let (up, operational) = (LinkFlags.up | LinkFlags.lowerUp, LinkFlags.running | LinkFlags.dormant)
        for _ in 0..<1000 {
            guard let now = try? routeSocket(link.namespace).link(name: link.link.name), now.flags & up == up,
                now.flags & operational == 0
            else { return }
            usleep(1000)
        }
    }
}
