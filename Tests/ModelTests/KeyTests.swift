import Model
import Testing

@Suite struct KeyTests {
    @Test("keys are those of the original agent")
    func keys() {
        let config = loadCorpus("upstream.yaml")
        #expect(config.mistakes.map(\.description) == [])
        #expect(
            config.items.map(\.key) == [
                "config/linux/interfaces/v2/interface/tap0", "config/linux/interfaces/v2/interface/vrf1",
                "config/linux/interfaces/v2/interface/d1", "config/linux/l3/v2/arp/tap0/192.168.100.1",
                "config/linux/l3/v2/route/80.80.80.0/24/tap0", "config/linux/l3/v2/route/10.1.2.0/24/d1",
                "config/linux/l3/v2/route/alloc:net1/tap0/d1", "config/linux/iptables/v2/rulechain/chain1",
                "config/netalloc/v1/ip/network/net1/interface/tap0", "config/cnf/nsm/v1/client/c1",
                "config/cnf/nsm/v1/endpoint/cnf-nat-example",
            ])
        #expect(
            config.warnings.map(\.description) == [
                "\(corpus("upstream.yaml")):9:7: interface 'vrf1' stays down; write 'enabled: true', or 'enabled: false' if that is meant",
                "\(corpus("upstream.yaml")):12:7: interface 'd1' stays down; write 'enabled: true', or 'enabled: false' if that is meant",
                "\(corpus("upstream.yaml")):35:1: 'vppConfig' is skipped: there is no VPP here",
            ])
    }

    @Test("our own kinds and fields have keys of their own")
    func ownKeys() {
        let config = loadCorpus("own.yaml")
        #expect(config.mistakes.map(\.description) == [])
        let keys = config.items.map(\.key).filter { !$0.contains("/interface/") }
        #expect(
            keys == [
                "config/nsmagent/linux/v1/namespace/blue", "config/linux/l3/v2/route/10.0.0.0/8/blackhole/table/100",
                "config/linux/l3/v2/route/0.0.0.0/0/ecmp", "config/linux/l3/v2/route/fd01::/64/up",
                "config/linux/l3/v2/route/fd01::/64/up/metric/20", "config/linux/l3/v2/arp/up/fe80::5",
                "config/nsmagent/linux/v1/rule/r1", "config/nsmagent/linux/v1/rule/r2",
            ])
    }

    @Test("details of key texts")
    func details() {
        var route = Ligato_Linux_L3_Route()
        route.dstNetwork = "nonsense"
        route.outgoingInterface = "eth0"
        #expect(ModelValue.route(route).name == "<invalid>/0/eth0")
        route.dstNetwork = "10.1.2.3"
        #expect(ModelValue.route(route).name == "10.1.2.3/32/eth0")
        route.namespace.type = .fd
        route.namespace.reference = "/proc/1/ns/net"
        #expect(ModelValue.route(route).name == "10.1.2.3/32/eth0/namespace/fd/proc/1/ns/net")
        var interface = Ligato_Linux_Interfaces_Interface()
        interface.name = "/a//b/./c/../d/"
        #expect(ModelValue.interface(interface).key == "config/linux/interfaces/v2/interface/a/b/d")
        #expect(ModelRegistry.model(forKey: ModelValue.interface(interface).key)?.kind == .interface)
        #expect(ModelRegistry.model(named: "linux.l3.arp")?.nameTemplate == "{{.Interface}}/{{.IpAddress}}")
    }

    @Test("which of several routes keeps the plain key does not depend on their order")
    func metrics() {
        let lines = (0..<3).map { "{dstNetwork: 10.0.0.0/8, outgoingInterface: e, metric: \([5, 0, 7][$0])}" }
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let text = "linuxConfig:\n  routes:\n" + order.map { "    - \(lines[$0])\n" }.joined()
            let keys = Dictionary(
                uniqueKeysWithValues: load(text).items.map { item -> (UInt32, String) in
                    guard case .route(let route) = item.value else { return (0, "") }
                    return (route.metric, item.key)
                })
            let plain = "config/linux/l3/v2/route/10.0.0.0/8/e"
            #expect(keys == [0: plain, 5: "\(plain)/metric/5", 7: "\(plain)/metric/7"])
        }
        // The kernel gives an IPv6 route without a metric 1024.
        let same = linux(
            "routes", "{dstNetwork: '::/0', outgoingInterface: e}",
            "{dstNetwork: '::/0', outgoingInterface: e, metric: 1024}")
        #expect(mistakes(same) == ["f.yaml:4:7: linux.l3.route '::/0/e': is declared twice; first at f.yaml:3:7"])
    }
}
