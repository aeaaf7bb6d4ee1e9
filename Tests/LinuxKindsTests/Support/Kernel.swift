import Testing

/// Which kinds of links this kernel has.
enum Kernel {
    static let hasDummy = has("dummy")
    static let hasVRF = has("vrf table 10")
    static let hasVLAN = has("vlan id 10", parent: true)
    static let filtersVLANs = has("bridge vlan_filtering 1")
    static let hasIPVLAN = has("ipvlan", parent: true)
    static let hasBond = has("bond")
    static let hasMACVTAP = has("macvtap", parent: true)
    static let hasWireGuard = has("wireguard")
    static let hasTunnels = [
        "geneve id 5 remote 10.0.0.1", "gre remote 10.0.0.2", "gretap remote 10.0.0.2", "ip6gre remote fd00::2",
        "ip6gretap remote fd00::2", "ipip remote 10.0.0.2", "sit remote 10.0.0.2", "ip6tnl remote fd00::2",
    ].allSatisfy { has($0) }

    static let hasTBF = hasQdisc("tbf rate 1mbit burst 10k limit 20k")
    static let hasFairQueue = hasQdisc("fq_codel")
    static let hasPolice = hasFilter("matchall action police rate 1mbit burst 10k")
    static let hasNetem = hasQdisc("netem delay 1ms")

    static let reason: Comment =
        "this kernel has no such links; scripts/test --kernels runs these tests with one that has"

    private static func hasQdisc(_ kind: String) -> Bool {
        guard Sandbox.isAvailable else { return false }
        let answer = try? Sandbox.run { host in
            try host.ip("link add probe type veth peer name other")
            _ = try host.command("tc qdisc add dev probe root \(kind)")
            return true
        }
        return answer ?? false
    }

    private static func hasFilter(_ filter: String) -> Bool {
        guard Sandbox.isAvailable else { return false }
        let answer = try? Sandbox.run { host in
            try host.ip("link add probe type veth peer name other")
            try host.command("tc qdisc add dev probe ingress")
            try host.command("tc filter add dev probe ingress \(filter)")
            return true
        }
        return answer ?? false
    }

    private static func has(_ type: String, parent: Bool = false) -> Bool {
        guard Sandbox.isAvailable else { return false }
        let answer = try? Sandbox.run { host in
            if parent { try host.ip("link add below type veth peer name other") }
            try host.ip("link add \(parent ? "link below " : "")name probe type \(type)")
            return true
        }
        return answer ?? false
    }
}
