/// A kernel setting of one interface: a file of /proc/sys/net/FAMILY/FOLDER/INTERFACE.
public struct InterfaceSysctl: Hashable, Sendable {
    /// `ipv4` or `ipv6`.
    public let family: String
    /// `conf` or `neigh`.
    public let folder: String
    /// The file, such as `rp_filter`.
    public let name: String

    private init(_ family: String, _ folder: String, _ name: String) {
        self.family = family
        self.folder = folder
        self.name = name
    }

    /// Reads `FAMILY.NAME`, or a `NAME` that only one family has; nil when the kernel has no such setting.
    public init?(_ key: String) {
        guard let setting = Self.known[key] else { return nil }
        self = setting
    }

    /// The file for an interface.
    public func path(interface: String) -> String { "/proc/sys/net/\(family)/\(folder)/\(interface)/\(name)" }

    /// Each of them once, without those that show in another unit what is in another one.
    public static let all: [InterfaceSysctl] = Set(known.values).filter { !aliases.contains($0.name) }
        .sorted { ($0.family, $0.folder, $0.name) < ($1.family, $1.folder, $1.name) }

    private static let aliases: Set<String> = ["base_reachable_time", "retrans_time", "unres_qlen"]

    /// Whether both families have a setting of this name.
    static func isAmbiguous(_ name: String) -> Bool { known["ipv4.\(name)"] != nil && known["ipv6.\(name)"] != nil }

    /// Every setting by each of its accepted names.
    static let known: [String: InterfaceSysctl] = {
        var table: [String: InterfaceSysctl] = [:]
        for (family, names) in [("ipv4", ipv4), ("ipv6", ipv6)] {
            for name in names { table["\(family).\(name)"] = InterfaceSysctl(family, "conf", name) }
            for name in neighbour { table["\(family).\(name)"] = InterfaceSysctl(family, "neigh", name) }
        }
        for setting in table.values {
            let other = setting.family == "ipv4" ? "ipv6" : "ipv4"
            if table["\(other).\(setting.name)"] == nil { table[setting.name] = setting }
        }
        return table
    }()

    /// Source: `devinet_sysctl`, net/ipv4/devinet.c.
    private static let ipv4: [String] = [
        "accept_local", "accept_redirects", "accept_source_route", "arp_accept", "arp_announce", "arp_evict_nocarrier",
        "arp_filter", "arp_ignore", "arp_notify", "bc_forwarding", "bootp_relay", "disable_policy", "disable_xfrm",
        "drop_gratuitous_arp", "drop_unicast_in_l2_multicast", "force_igmp_version", "forwarding",
        "igmpv2_unsolicited_report_interval", "igmpv3_unsolicited_report_interval", "ignore_routes_with_linkdown",
        "log_martians", "medium_id", "promote_secondaries", "proxy_arp", "proxy_arp_pvlan", "route_localnet",
        "rp_filter", "secure_redirects", "send_redirects", "shared_media", "src_valid_mark", "tag",
    ]

    /// Source: `addrconf_sysctl`, net/ipv6/addrconf.c. `stable_secret` is not a number; `mc_forwarding` is read-only.
    private static let ipv6: [String] = [
        "accept_dad", "accept_ra", "accept_ra_defrtr", "accept_ra_from_local", "accept_ra_min_hop_limit",
        "accept_ra_min_lft", "accept_ra_mtu", "accept_ra_pinfo", "accept_ra_rt_info_max_plen",
        "accept_ra_rt_info_min_plen", "accept_ra_rtr_pref", "accept_redirects", "accept_source_route",
        "accept_untracked_na", "addr_gen_mode", "autoconf", "dad_transmits", "disable_ipv6", "disable_policy",
        "drop_unicast_in_l2_multicast", "drop_unsolicited_na", "enhanced_dad", "force_mld_version", "force_tllao",
        "forwarding", "hop_limit", "ignore_routes_with_linkdown", "ioam6_enabled", "ioam6_id", "ioam6_id_wide",
        "keep_addr_on_down", "max_addresses", "max_desync_factor", "mldv1_unsolicited_report_interval",
        "mldv2_unsolicited_report_interval", "mtu", "ndisc_evict_nocarrier", "ndisc_notify", "ndisc_tclass",
        "optimistic_dad", "proxy_ndp", "ra_defrtr_metric", "ra_honor_pio_life", "ra_honor_pio_pflag",
        "regen_max_retry", "regen_min_advance", "router_probe_interval", "router_solicitation_delay",
        "router_solicitation_interval", "router_solicitation_max_interval", "router_solicitations", "rpl_seg_enabled",
        "seg6_enabled", "seg6_require_hmac", "suppress_frag_ndisc", "temp_prefered_lft", "temp_valid_lft",
        "use_oif_addrs_only", "use_optimistic", "use_tempaddr",
    ]

    /// Source: `neigh_sysctl_template`, net/core/neighbour.c; the table-wide `gc_*` are not per interface.
    private static let neighbour: [String] = [
        "anycast_delay", "app_solicit", "base_reachable_time", "base_reachable_time_ms", "delay_first_probe_time",
        "gc_stale_time", "interval_probe_time_ms", "locktime", "mcast_resolicit", "mcast_solicit", "proxy_delay",
        "proxy_qlen", "retrans_time", "retrans_time_ms", "ucast_solicit", "unres_qlen", "unres_qlen_bytes",
    ]
}
