internal import Netlink
internal import Reconciler

/// A file that the kernel hands on to all links of the namespace when it is written: whether packets are forwarded.
///
/// Source: `inet_forward_change`, net/ipv4/devinet.c; `addrconf_fixup_forwarding`, net/ipv6/addrconf.c.
struct SweepingSetting: Hashable {
    /// `ipv4` or `ipv6`.
    let family: String

    init?(path: String) {
        switch path {
        case "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/all/forwarding": family = "ipv4"
        case "/proc/sys/net/ipv6/conf/all/forwarding": family = "ipv6"
        default: return nil
        }
    }

    /// The file of a link, or of those that are still to come: `default`.
    func path(link name: String) -> String { "/proc/sys/net/\(family)/conf/\(name)/forwarding" }

    /// Hosts that forward take no redirects. Only of IPv4 the kernel sees to that.
    var redirects: String? { family == "ipv4" ? "/proc/sys/net/ipv4/conf/all/accept_redirects" : nil }

    /// What another file holds when this one was written; nil: the kernel leaves it alone.
    func content(of path: String, afterWriting value: String) -> String? {
        if path == redirects { return value == "0" ? "1" : "0" }
        let isLinks = path.hasPrefix("/proc/sys/net/\(family)/conf/") && path.hasSuffix("/forwarding")
        return isLinks && SweepingSetting(path: path) == nil ? value : nil
    }
}

extension SettingClass {
    /// What the kernel is about to change along with a file.
    static func rememberSwept(by path: String, in state: NamespaceState, _ world: LinuxWorld) {
        guard world.journals.isAnyKept, state.handle != nil, let sweeping = SweepingSetting(path: path) else { return }
        let links = state.links.values.map(\.link).filter { $0.index > 0 }.map(\.name).sorted()
        let paths = (["default"] + links).map(sweeping.path) + [sweeping.redirects].compactMap { $0 }
        for path in paths { remember(SettingFile(path: path, in: state), in: state, world) }
    }
}

extension NamespaceSetting {
    /// What puts back declared settings of links that the kernel changes when it is written, and the others, for people.
    func swept(
        in state: NamespaceState, _ world: LinuxWorld
    ) -> (operations: [LinuxOperation], differences: [Difference]) {
        guard let sweeping = SweepingSetting(path: path) else { return ([], []) }
        let declared = declaredValues(sweeping, in: state, world)
        var operations: [LinuxOperation] = []
        var changed: [String: [String]] = [:]
        for link in state.links.values.sorted(by: { $0.link.name < $1.link.name }) {
            let file = sweeping.path(link: link.link.name)
            if let wanted = declared[link.link.name] {
                if wanted != value { operations.append(LinuxOperation(state, .sysctl(path: file, value: wanted))) }
            } else if link.link.index > 0, let have = world.readSysctl(file, in: state), have != value {
                changed[have, default: []].append(link.link.name)
            }
        }
        let differences = changed.sorted { $0.key < $1.key }.map { have, names in
            let more = names.count > 3 ? " and \(names.count - 3) more" : ""
            return Difference(
                "\(sweeping.family).forwarding of \(names.prefix(3).joined(separator: ", "))\(more)", old: have,
                new: value)
        }
        return (operations, differences)
    }

    /// What is declared for links of the namespace, by their names.
    private func declaredValues(
        _ sweeping: SweepingSetting, in state: NamespaceState, _ world: LinuxWorld
    ) -> [String: String] {
        var values: [String: String] = [:]
        for interface in state.references.flatMap(world.declarations.interfaces(in:)) where !interface.sysctls.isEmpty {
            guard let link = world.link(of: interface.name), link.namespace === state else { continue }
            let path = sweeping.path(link: link.link.name)
            for setting in interface.sysctls where setting.path(link: link.link.name) == path {
                values[link.link.name] = setting.value
            }
        }
        return values
    }
}
