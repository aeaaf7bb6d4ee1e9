public import Reconciler

/// A setting of an interface below /proc/sys/net.
public struct SysctlSetting: Value {
    /// The word for settings in plans and status.
    public static let kind = "sysctl"
    /// Before memberships and addresses.
    public static let rank = 2

    let interface: String
    /// `ipv4` or `ipv6`.
    let family: String
    /// `conf` or `neigh`.
    let group: String
    let name: String
    let value: String

    /// - Throws: when the name or the value can't be one of an interface.
    init(interface: String, name: String, value: String) throws(InvalidValue) {
        self.interface = interface
        self.value = value
        var rest = Substring(name)
        if let dot = name.firstIndex(of: "."), ["ipv4", "ipv6"].contains(name[..<dot]) {
            family = String(name[..<dot])
            rest = name[name.index(after: dot)...]
        } else {
            family = SysctlNames.onlyV6.contains(name) ? "ipv6" : "ipv4"
        }
        self.name = String(rest)
        group = SysctlNames.neighbour.contains(self.name) ? "neigh" : "conf"
        guard
            rest.utf8.allSatisfy({
                UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 || $0 == UInt8(ascii: "_") || 48...57 ~= $0
            }),
            !rest.isEmpty
        else { throw InvalidValue("sysctls", text: "'\(name)' is not the name of an interface setting") }
        guard !value.isEmpty, value.utf8.count <= 64, value.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw InvalidValue("sysctls", text: "'\(value)' is not a value for \(name)")
        }
    }

    var key: Key { "linux/interface/\(interface)/sysctl/\(family).\(name)" }

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `ipv4.forwarding = 1 on veth1`
    public var summary: String { "\(family).\(name) = \(value) on \(interface)" }

    /// Compares with the file.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.interfaces[interface].flatMap(world.link(of:)) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let path = "net/\(family)/\(group)/\(link.link.name)/\(name)"
        let write = LinuxOperation(namespace: link.namespace.id, action: .sysctl(path: path, value: value))
        // A link that is only planned has no files yet.
        guard link.link.index > 0, link.namespace.handle != nil else { return Assessment(.create, operations: [write]) }
        guard let have = world.readSysctl(path, in: link.namespace) else {
            return Assessment(.blocked("this kernel has no /proc/sys/\(path)"))
        }
        if have == value { return .inPlace }
        return Assessment(.update, operations: [write], differences: [Difference(name, old: have, new: value)])
    }
}

/// Where an interface setting is, when its name does not say so.
enum SysctlNames {
    /// Names below neigh/ rather than conf/.
    static let neighbour: Set<String> = [
        "anycast_delay", "app_solicit", "base_reachable_time", "base_reachable_time_ms", "delay_first_probe_time",
        "gc_stale_time", "interval_probe_time_ms", "locktime", "mcast_resolicit", "mcast_solicit", "proxy_delay",
        "proxy_qlen", "retrans_time", "retrans_time_ms", "ucast_solicit", "unres_qlen", "unres_qlen_bytes",
    ]
    /// Names that only IPv6 has.
    static let onlyV6: Set<String> = [
        "accept_dad", "accept_ra", "accept_ra_defrtr", "accept_ra_from_local", "accept_ra_min_hop_limit",
        "accept_ra_mtu", "accept_ra_pinfo", "accept_ra_rt_info_max_plen", "accept_ra_rt_info_min_plen",
        "accept_ra_rtr_pref", "accept_untracked_na", "addr_gen_mode", "autoconf", "dad_transmits", "disable_ipv6",
        "drop_unsolicited_na", "enhanced_dad", "force_tllao", "hop_limit", "keep_addr_on_down", "max_addresses",
        "max_desync_factor", "mtu", "ndisc_notify", "ndisc_tclass", "optimistic_dad", "proxy_ndp", "ra_defrtr_metric",
        "regen_max_retry", "router_probe_interval", "router_solicitation_delay", "router_solicitation_interval",
        "router_solicitation_max_interval", "router_solicitations", "seg6_enabled", "suppress_frag_ndisc",
        "temp_prefered_lft", "temp_valid_lft", "use_oif_addrs_only", "use_optimistic", "use_tempaddr",
    ]
}
