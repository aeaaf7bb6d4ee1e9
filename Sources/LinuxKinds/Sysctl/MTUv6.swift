internal import Concurrency
internal import Glibc
internal import Netlink
internal import Reconciler

/// The MTU of IPv6, which the kernel makes that of the link whenever the link gets another one or comes up: with its first
/// carrier, some time after the request that took it up. Source: `addrconf_notify`, net/ipv6/addrconf.c.
extension LinuxWorld {
    /// The declared ones that are as declared, on links that operations may change.
    func mtusV6InPlace(before operations: [LinuxOperation]) -> Set<Key> {
        if declarations.mtusV6.isEmpty { return [] }
        let namespaces = operations.namespacesOfLinks
        if namespaces.isEmpty { return [] }
        return Set(
            declarations.mtusV6.lazy.filter { self.isOn($0.value, namespaces) && self.isInPlace($0.value) }.map(\.key))
    }

    /// Whether its link, or the other end of that, is in one of the namespaces.
    private func isOn(_ setting: SysctlSetting, _ namespaces: Set<Int>) -> Bool {
        guard let link = link(of: setting.interface) else { return false }
        return namespaces.contains(link.namespace.id)
            || peer(of: link).map { namespaces.contains($0.namespace.id) } ?? false
    }

    private func isInPlace(_ setting: SysctlSetting) -> Bool {
        guard let link = link(of: setting.interface), link.link.index > 0 else { return false }
        return readSysctl(setting.path(link: link.link.name), in: link.namespace) == setting.value
    }

    /// Writes again what the kernel changed by itself: of those that were in place before, and those that were just written.
    func keep(_ before: Set<Key>, after operations: [LinuxOperation], _ results: [OperationResult]) {
        var wanted: [Int: [String: String]] = [:]
        for key in before {
            guard let setting = declarations.mtusV6[key], let link = link(of: setting.interface) else { continue }
            wanted[link.namespace.id, default: [:]][link.link.name] = setting.value
        }
        // What is written now counts more than what is declared: an undo writes what was there before.
        for (operation, result) in zip(operations, results) {
            guard case .sysctl(let path, let value) = operation.action, case .done = result,
                let state = states[operation.namespace], path.hasSuffix("/mtu")
            else { continue }
            let file = SettingFile(path: path, in: state)
            if file.isMTUv6, let link = state.links[file.link] {
                wanted[state.id, default: [:]][link.link.name] = value
            }
        }
        let deadline = SteadyClock.monotonic + Self.carrierPatience
        for (id, values) in wanted {
            guard let state = states[id], state.handle != nil else { continue }
            for (name, value) in values {
                guard let link = state.linksByName[name] else { continue }
                let path = "/proc/sys/net/ipv6/conf/\(name)/mtu"
                awaitCarrier(link, until: deadline)
                guard let have = readSysctl(path, in: state), have != value else { continue }
                modifyingRequests += 1
                // What is refused is found by the next comparison.
                try? writeSysctl(path, value, in: state)
            }
        }
    }

    /// How long a transaction waits for carriers, nanoseconds.
    private static var carrierPatience: Int64 { 1_000_000_000 }

    /// Waits until the kernel has told itself that a link has a carrier.
    private func awaitCarrier(_ link: LinkState, until deadline: Int64) {
        let (up, operational) = (LinkFlags.up | LinkFlags.lowerUp, LinkFlags.running | LinkFlags.dormant)
        while SteadyClock.monotonic < deadline {
            guard let now = try? routeSocket(link.namespace).link(name: link.link.name), now.flags & up == up,
                now.flags & operational == 0
            else { return }
            usleep(1000)
        }
    }
}

extension [LinuxOperation] {
    /// Numbers of the namespaces in which links are made, changed or removed.
    var namespacesOfLinks: Set<Int> {
        var result: Set<Int> = []
        for operation in self {
            switch operation.action {
            case .createLink(let creation):
                result.insert(creation.target)
                if let peer = creation.peer { result.insert(peer.target) }
            case .moveLink(let move): result.formUnion([operation.namespace, move.target])
            case .createTUN, .rename, .deleteLinks: result.insert(operation.namespace)
            case .request(let request): if request.changesLinks { result.insert(operation.namespace) }
            case .createNamespace, .markNamespace, .removeNamespace, .sysctl, .desirable, .offload, .wireGuard,
                .load:
                break
            }
        }
        return result
    }
}

extension Request {
    fileprivate var changesLinks: Bool {
        switch self {
        case .createLink, .setLink, .deleteLink, .deleteLinkGroup: true
        case .addAltNames, .deleteAltNames, .addAddress, .deleteAddress, .addRoute, .appendRoute, .deleteRoute,
            .addNeighbour, .deleteNeighbour, .addRule, .deleteRule, .addForwarding, .deleteForwarding, .addVLANs,
            .deleteVLANs, .addQdisc, .changeQdisc, .deleteQdisc, .addFilter, .deleteFilter, .addNextHop, .deleteNextHop,
            .restore:
            false
        }
    }
}
