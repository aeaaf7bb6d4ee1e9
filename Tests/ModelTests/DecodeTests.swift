import Model
import Testing

@Suite struct DecodeTests {
    @Test("mistakes read as documented")
    func goldenTexts() {
        let text = """
            linuxConfig:
              interfaces:
                - name: veth1
                  type: VETH
                  ip_addresses: [10.0.0.1/33, 10.0.0.300/24, "fd00::1/129", 10.0.0.2]
                  veth: {peerIfName: veth2}
                - name: veth2
                  type: VETH
                  veth:
                    peerIfname: veth1
                - name: veth3
                  type: VEHT
                  enabled: yes
                  mtu: 99999
                  frobnicate: 1

            """
        #expect(
            mistakes(text) == [
                "f.yaml:5:22: linux.interfaces.interface 'veth1': ip_addresses[0] '10.0.0.1/33' is not an IP prefix (length 0–32)",
                "f.yaml:5:35: linux.interfaces.interface 'veth1': ip_addresses[1] '10.0.0.300/24' is not an IP address with "
                    + "prefix length, such as 10.0.0.1/24 or fd00::1/64",
                "f.yaml:5:50: linux.interfaces.interface 'veth1': ip_addresses[2] 'fd00::1/129' is not an IP prefix (length 0–128)",
                "f.yaml:10:9: unknown field 'peerIfname' in VethLink; did you mean 'peerIfName'?",
                "f.yaml:12:13: linux.interfaces.interface 'veth3': type 'VEHT' is not one of VETH, "
                    + "LOOPBACK, EXISTING, VRF_DEVICE, DUMMY, TAP, BRIDGE, VLAN, VXLAN, MACVLAN, IPVLAN, BOND, MACVTAP, GENEVE, GRE, GRETAP, IP6GRE, IP6GRETAP, IPIP, SIT, IP6TNL, WIREGUARD; did you mean 'VETH'?",
                "f.yaml:13:16: linux.interfaces.interface 'veth3': enabled 'yes' is not true or false",
                "f.yaml:14:12: linux.interfaces.interface 'veth3': mtu '99999' is out of range (0–65575)",
                "f.yaml:15:7: unknown field 'frobnicate' in Interface; its fields: nsm-agent explain linux.interfaces.interface",
            ])
    }

    @Test("texts of a value are looked at even if another of its fields has not the right shape")
    func mixed() {
        #expect(
            mistakes(
                interfaces(
                    "{name: a, type: VETH, enabled: yes, ipAddresses: [~, 10.0.0.1/33, [], 10.0.0.2/40], physAddress: x}"
                ))
                == [
                    "f.yaml:3:38: linux.interfaces.interface 'a': enabled 'yes' is not true or false",
                    "f.yaml:3:57: linux.interfaces.interface 'a': ip_addresses[0] is empty",
                    "f.yaml:3:60: linux.interfaces.interface 'a': ip_addresses[1] '10.0.0.1/33' is not an IP prefix (length 0–32)",
                    "f.yaml:3:73: linux.interfaces.interface 'a': ip_addresses[2] must be a text, not a list",
                    "f.yaml:3:77: linux.interfaces.interface 'a': ip_addresses[3] '10.0.0.2/40' is not an IP prefix (length 0–32)",
                    "f.yaml:3:104: linux.interfaces.interface 'a': phys_address 'x' is not a MAC address, such as 02:00:00:00:00:01",
                ])
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var value: String
        var text: String
        init(_ value: String, _ text: String) { (self.value, self.text) = (value, text) }
        var testDescription: String { value }
    }

    @Test(
        "every kind of field says what it takes",
        arguments: [
            Case("[a]", "10: linux.interfaces.interface: must be a mapping of fields to values"),
            Case("{name: [a]}", "17: linux.interfaces.interface: name must be a text, not a list"),
            Case(
                "{name: true}",
                "17: linux.interfaces.interface 'true': name 'true' reads as a truth value; put it in quotes if it is meant as text"
            ),
            Case(
                "{name: 0x1f}",
                "17: linux.interfaces.interface '0x1f': name '0x1f' reads as a number; put it in quotes if it is meant as text"
            ),
            Case(
                "{name: 010}",
                "17: linux.interfaces.interface '010': name '010' reads as a number; put it in quotes if it is meant as text"
            ),
            Case(
                "{name: 1.5}",
                "17: linux.interfaces.interface '1.5': name '1.5' reads as a number; put it in quotes if it is meant as text"
            ),
            Case(
                "{name: a, type: 77}",
                "26: linux.interfaces.interface 'a': type '77' is not one of UNDEFINED (0), VETH (1), TAP_TO_VPP (2), LOOPBACK (3), EXISTING (4), VRF_DEVICE (5), DUMMY (6), TAP (100), BRIDGE (101), VLAN (102), VXLAN (103), MACVLAN (104), IPVLAN (105), BOND (106), MACVTAP (107), GENEVE (108), GRE (109), GRETAP (110), IP6GRE (111), IP6GRETAP (112), IPIP (113), SIT (114), IP6TNL (115), WIREGUARD (116)"
            ),
            Case("{name: a, mtu: -1}", "25: linux.interfaces.interface 'a': mtu '-1' is out of range (0–65575)"),
            Case(
                "{name: a, mtu: 1.5}", "25: linux.interfaces.interface 'a': mtu '1.5' is not a whole number (0–65575)"),
            Case(
                "{name: a, mtu: big}", "25: linux.interfaces.interface 'a': mtu 'big' is not a whole number (0–65575)"),
            Case(
                "{name: a, enabled: 'true'}", "29: linux.interfaces.interface 'a': enabled 'true' is not true or false"),
            Case("{name: a, ipAddresses: 10.0.0.1}", "33: linux.interfaces.interface 'a': ip_addresses must be a list"),
            Case("{name: a, ipAddresses: [~]}", "34: linux.interfaces.interface 'a': ip_addresses[0] is empty"),
            Case(
                "{name: a, ipAddresses: [''], type: DUMMY}",
                "34: linux.interfaces.interface 'a': ip_addresses[0] '' is empty"),
            Case(
                "{name: a, sysctls: [1]}",
                "29: linux.interfaces.interface 'a': sysctls must be a mapping of names to values"),
            Case(
                "{name: a, sysctls: {rp_filter: true}}",
                "41: linux.interfaces.interface 'a': sysctls['rp_filter'] 'true' reads as a truth value; put it in quotes if it is meant as text"
            ),
            Case(
                "{name: a, veth: {peerIfName: b}, dummy: {}}",
                "43: unknown field 'dummy' in Interface; its fields: nsm-agent explain linux.interfaces.interface"),
            Case(
                "{name: a, veth: {peerIfName: b}, vrf_dev: {}}",
                "43: linux.interfaces.interface 'a': has both 'veth' and 'vrf_dev'; only one of them can be set"),
            Case(
                "{name: a, hostIfName: b, host_if_name: c}",
                "35: linux.interfaces.interface 'a': has both 'hostIfName' and 'host_if_name', which are one field"),
            Case(
                "{name: a, veth: {peer: b}}",
                "27: unknown field 'peer' in VethLink; it has peerIfName, rxChecksumOffloading, txChecksumOffloading"),
            Case(
                "{name: a, vxlan: {remote: 10.0.0.0/8}, type: VXLAN}",
                "36: linux.interfaces.interface 'a': vxlan.remote '10.0.0.0/8' is an address with a prefix length; write 10.0.0.0 alone"
            ),
            Case(
                "{name: a, vxlan: {remote: 'alloc:net'}, type: VXLAN}",
                "36: linux.interfaces.interface 'a': vxlan.remote 'alloc:net' refers to an allocation, which is not possible here"
            ),
            Case(
                "{name: \"a\\nb\", type: x}",
                "31: linux.interfaces.interface 'a\\u{a}b': type 'x' is not one of VETH, LOOPBACK, EXISTING, VRF_DEVICE, DUMMY, TAP, BRIDGE, VLAN, VXLAN, MACVLAN, IPVLAN, BOND, MACVTAP, GENEVE, GRE, GRETAP, IP6GRE, IP6GRETAP, IPIP, SIT, IP6TNL, WIREGUARD"
            ),
        ])
    func fieldTypes(test: Case) {
        let found = mistakes("linuxConfig:\n  interfaces:\n    -    \(test.value)\n")
        #expect(found == ["f.yaml:3:\(test.text)"])
    }

    @Test("both spellings, enumerations by number, numbers in quotes and empty values are read")
    func spellings() throws {
        let text = interfaces(
            "{name: a, type: 6, hostIfName: x, mtu: '1400', physAddress: , ip_addresses: ~}",
            "{name: b, type: DUMMY, host_if_name: y, mtu: 0x578, namespace: {type: PID, reference: 1234}}")
        let config = load(text)
        #expect(config.mistakes.isEmpty)
        let values = config.items.map(\.value)
        guard case .interface(let first) = values[0], case .interface(let second) = values[1] else {
            Issue.record("two interfaces were expected")
            return
        }
        #expect(first.type == .dummy && first.hostIfName == "x" && first.mtu == 1400 && first.ipAddresses.isEmpty)
        #expect(second.type == .dummy && second.hostIfName == "y" && second.mtu == 1400)
        #expect(second.namespace.reference == "1234")
    }

    @Test("optional fields keep the difference between absent and zero")
    func optional() {
        let config = load(interfaces("{name: a, type: TAP, tuntap: {owner: 0}}"))
        guard case .interface(let tap) = config.items.first?.value else {
            Issue.record("an interface was expected")
            return
        }
        #expect(tap.tuntap.hasOwner && tap.tuntap.owner == 0 && !tap.tuntap.hasGroup)
    }
}
