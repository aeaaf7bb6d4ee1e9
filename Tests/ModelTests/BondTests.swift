import Model
import Testing

@Suite("bonds in files") struct BondTests {
    private func mistakes(_ bond: String, _ others: String...) -> [String] {
        let lines = ["{name: bd, type: BOND, bond: {\(bond)}}"] + others
        let text = "linuxConfig:\n  interfaces:\n" + lines.map { "    - \($0)\n" }.joined()
        return ConfigLoader.load(bytes: Array(text.utf8), name: "f").mistakes.map { mistake in
            mistake.text.replacing("linux.interfaces.interface ", with: "")
        }
    }

    private static let uplink = "{name: up, type: EXISTING}"

    @Test(
        "what is right",
        arguments: [
            "", "mode: 802.3ad, lacpRate: fast", "mode: IEEE_802_3AD, ad_select: BANDWIDTH, min_links: 2", "mode: 4",
            "mode: active-backup, ports: [up], primary: up, miimon: 50, updelay: 150", "miimon: 0",
            "mode: balance-xor, xmitHashPolicy: vlan+srcmac",
        ])
    func right(_ bond: String) { #expect(mistakes(bond, Self.uplink) == []) }

    @Test(
        "what conflicts",
        arguments: [
            (
                "mode: lacp",
                "bond.mode 'lacp' is not one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb"
            ),
            (
                "mode: 802.3da",
                "bond.mode '802.3da' is not one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb; did you mean '802.3ad'?"
            ),
            ("lacpRate: fast", "bond.lacp_rate is only for mode 802.3ad"),
            ("adSelect: count", "bond.ad_select is only for mode 802.3ad"),
            ("minLinks: 2", "bond.min_links '2' is only for mode 802.3ad"),
            ("mode: balance-alb, miimon: 0", "bond.miimon '0' is not possible in mode balance-alb"),
            ("updelay: 250", "bond.updelay '250' is not a multiple of miimon (100)"),
            ("miimon: 0, downdelay: 100", "bond.downdelay '100' needs miimon, which is 0"),
            (
                "xmitHashPolicy: layer2+3",
                "bond.xmit_hash_policy is only for the modes balance-xor, 802.3ad and balance-tlb"
            ),
            (
                "ports: [up], primary: up",
                "bond.primary 'up' is only for the modes active-backup, balance-tlb and balance-alb"
            ),
            ("mode: active-backup, primary: up", "bond.primary 'up' is not among the ports"),
        ])
    func wrong(_ bond: String, _ expected: String) { #expect(mistakes(bond, Self.uplink) == ["'bd': \(expected)"]) }

    @Test("its ports")
    func ports() {
        #expect(
            mistakes(
                "ports: [bd, b2, br, up, up, no, a, m]", Self.uplink, "{name: b2, type: BOND, bond: {ports: [up]}}",
                "{name: br, type: BRIDGE}", "{name: a, type: EXISTING, ipAddresses: [10.0.0.1/24]}",
                "{name: m, type: EXISTING, mtu: 9000}")
                == [
                    "'bd': bond.ports[0] 'bd' is the bond itself",
                    "'bd': bond.ports[1] 'b2' is a BOND, which can't be a port (f:5:7)",
                    "'bd': bond.ports[2] 'br' is a BRIDGE, which can't be a port (f:6:7)",
                    "'bd': bond.ports[4] 'up' is there twice", "'bd': bond.ports[5] 'no' is not declared",
                    "'bd': bond.ports[6] 'a' has addresses, which a port of a bond can't use; give them to the bond (f:7:7)",
                    "'bd': bond.ports[7] 'm' has the MTU 9000, but a port has that of the bond, 1500 (f:8:7)",
                    "'b2': bond.ports[0] 'up' is a port of bond 'bd' already",
                ])
    }
}
