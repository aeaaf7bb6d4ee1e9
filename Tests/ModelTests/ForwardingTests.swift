import Testing

@testable import Model

@Suite("forwarding entries in files")
struct ForwardingTests {
    private func entry(_ set: (inout Nsmagent_Linux_ForwardingEntry) -> Void) -> ModelValue {
        var message = Nsmagent_Linux_ForwardingEntry()
        (message.interface, message.mac) = ("v", "02:00:00:00:00:05")
        set(&message)
        return .forwarding(message)
    }

    private func findings(_ value: ModelValue) -> [String] { value.checked().findings.map(\.description) }

    @Test("what can't be said of an entry is told")
    func mistakes() {
        #expect(findings(entry { $0.dst = "10.0.0.1" }) == [])
        #expect(findings(entry { $0.vlan = 7 }) == [])
        #expect(findings(entry { $0.interface = "" }) == ["interface is missing; give it the name of an interface"])
        #expect(findings(entry { $0.mac = "" }) == ["mac is missing"])
        #expect(
            findings(entry { $0.mac = "x" }) == ["mac 'x' is not a MAC address, such as 02:00:00:00:00:01"])
        #expect(
            findings(entry { $0.mac = "00:00:00:00:00:00" }) == [
                "mac '00:00:00:00:00:00' is all zeros, which only a VXLAN's entries may have; they need dst"
            ])
        #expect(
            findings(entry { ($0.mac, $0.dst) = ("00:00:00:00:00:00", "fd00::1") }) == [])
        #expect(
            findings(entry { ($0.port, $0.vni) = (4790, 0) }) == [
                "port '4790' needs dst, the other end", "vni '0' needs dst, the other end",
            ])
        #expect(
            findings(entry { ($0.vlan, $0.dst) = (7, "10.0.0.1") }) == [
                "vlan '7' belongs to a bridge's entries, which have no dst"
            ])
    }

    @Test("entries that the kernel keeps apart have keys of their own")
    func keys() {
        let prefix = "config/nsmagent/linux/v1/fdb/v/"
        #expect(entry { _ in }.key == prefix + "02:00:00:00:00:05")
        #expect(entry { $0.vlan = 7 }.key == prefix + "02:00:00:00:00:05/vlan/7")
        // With another end it is the same entry.
        #expect(entry { $0.dst = "10.0.0.1" }.key == prefix + "02:00:00:00:00:05/dst")
        #expect(entry { $0.dst = "10.0.0.2" }.key == prefix + "02:00:00:00:00:05/dst")
        let zero = "00:00:00:00:00:00"
        #expect(entry { ($0.mac, $0.dst) = (zero, "10.0.0.1") }.key == prefix + "\(zero)/dst/10.0.0.1")
        #expect(
            entry { ($0.mac, $0.dst, $0.port, $0.vni) = (zero, "10.0.0.1", 1, 2) }.key
                == prefix + "\(zero)/dst/10.0.0.1/port/1/vni/2")
    }

    @Test("several other ends of a VXLAN")
    func remotes() {
        func findings(_ remotes: [String], _ set: (inout Ligato_Linux_Interfaces_VxlanLink) -> Void = { _ in })
            -> [String]
        {
            var message = Ligato_Linux_Interfaces_Interface()
            (message.name, message.type, message.vxlan.remotes) = ("v", .vxlan, remotes)
            set(&message.vxlan)
            return self.findings(.interface(message))
        }
        #expect(findings(["10.0.0.1", "10.0.0.2"]) == [])
        #expect(findings(["10.0.0.1", "10.0.0.1"]) == ["vxlan.remotes[1] '10.0.0.1' is there twice"])
        #expect(
            findings(["10.0.0.1", "fd00::1"]) == ["vxlan.remotes[1] 'fd00::1' is not of the same family as 10.0.0.1"])
        #expect(findings(["239.0.0.1"]) == ["vxlan.remotes[0] '239.0.0.1' is not the address of another end"])
        #expect(
            findings(["10.0.0.1"]) { $0.remote = "10.0.0.2" } == [
                "vxlan.remotes can't be set together with remote or group"
            ])
    }
}
