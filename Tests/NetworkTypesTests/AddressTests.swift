import NetworkTypes
import TestSupport
import Testing

@Suite struct AddressTests {
    @Test(
        "text of addresses survives a round trip in canonical form",
        arguments: [
            ("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
            ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fd00:0:0:1::2", "fd00:0:0:1::2"),
            ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"), ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"),
            ("fe80::a:b:c:d", "fe80::a:b:c:d"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
            ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ])
    func canonicalText(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(address.withNetworkOrderBytes { IPAddress(networkOrder: $0) } == address)
    }

    @Test(
        "what is not an address is refused",
        arguments: [
            "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1..3.4", "1.2.3.4 ", ":", ":::", "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::", "g::", "1:2:3:4:5:6:7:8::", "::1.2.3", "1.2.3.4::",
            "fe80::1%eth0", "1:",
        ])
    func refused(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(
        "prefixes",
        arguments: [
            ("10.1.2.3/24", "10.1.2.0/24"), ("10.1.2.3", "10.1.2.3/32"), ("fd00::ffff/65", "fd00::/65"),
            ("::1", "::1/128"), ("1.2.3.4/0", "0.0.0.0/0"),
        ])
    func prefixes(text: String, network: String) throws {
        #expect(try #require(IPPrefix(text)).network.description == network)
    }

    @Test(
        "bad prefixes are refused",
        arguments: ["10.0.0.1/33", "::/129", "10.0.0.1/", "10.0.0.1/01", "10.0.0.1/-1", "/24", "10.0.0.1/1/2"])
    func badPrefixes(text: String) {
        #expect(IPPrefix(text) == nil)
    }

    @Test("a prefix contains its own network only")
    func contains() throws {
        let prefix = try #require(IPPrefix("fd00:0:0:1::/64"))
        #expect(prefix.contains(try #require(IPAddress("fd00:0:0:1:ffff::1"))))
        #expect(!prefix.contains(try #require(IPAddress("fd00:0:0:2::1"))))
        #expect(!prefix.contains(try #require(IPAddress("10.0.0.1"))))
    }

    @Test("MAC addresses of either case")
    func mac() throws {
        #expect(try #require(MACAddress("02:00:AB:cd:00:01")).description == "02:00:ab:cd:00:01")
        #expect(MACAddress("02-00-ab-cd-00-01") == MACAddress("02:00:ab:cd:00:01"))
        for bad in [
            "", "02:00:ab:cd:00", "02:00:ab:cd:00:01:02", "02:00:ab:cd:00:0g", "0200.abcd.0001", "02:00-ab:cd:00:01",
        ] {
            #expect(MACAddress(bad) == nil)
        }
        // All digits, and what stands beside them among the characters.
        for digit in "0123456789abcdefABCDEF" {
            #expect(MACAddress("00:00:00:00:00:0\(digit)")?.bits == UInt64(String(digit), radix: 16))
        }
        for other in "/:@G`gé０" { #expect(MACAddress("00:00:00:00:00:0\(other)") == nil) }
    }

    @Test("interface names")
    func names() {
        for good in ["a", "eth0.100", "123456789012345"] { #expect(InterfaceName.mistake(in: good) == nil) }
        for bad in ["", ".", "..", "1234567890123456", "a/b", "a:b", "a b", "ä23456789012345"] {
            #expect(InterfaceName.mistake(in: bad) != nil)
        }
    }

    @Test("prefixes are merged into the fewest, and one address is taken out")
    func sets() throws {
        func merged(_ texts: String) -> [String] {
            IPPrefix.merged(texts.split(separator: " ").compactMap { IPPrefix(String($0)) }).map(\.description)
        }
        #expect(merged("") == [])
        #expect(merged("10.0.0.1 10.0.0.0 10.0.0.2 10.0.0.3 10.0.0.4") == ["10.0.0.0/30", "10.0.0.4/32"])
        // Neighbours that are not halves of one prefix stay apart.
        #expect(merged("10.0.0.1 10.0.0.2") == ["10.0.0.1/32", "10.0.0.2/32"])
        #expect(merged("10.0.0.5/8 10.1.0.0/16 11.0.0.0/8 fd00::/64 fd00:0:0:1::/64") == ["10.0.0.0/7", "fd00::/63"])
        #expect(merged("0.0.0.0/1 128.0.0.0/1 ::/0 ::1") == ["0.0.0.0/0", "::/0"])
        let prefix = try #require(IPPrefix("10.0.0.0/30"))
        let host = try #require(IPAddress("10.0.0.2"))
        #expect(prefix.without(host).map(\.description) == ["10.0.0.0/31", "10.0.0.3/32"])
        #expect(IPPrefix(host: host).without(host) == [])
        #expect(prefix.without(try #require(IPAddress("10.0.0.4"))) == [prefix])
        #expect(prefix.without(try #require(IPAddress("::"))) == [prefix])
    }

    @Test("a set that takes in and gives up addresses is the one that is made of what is left", arguments: 0..<20)
    func oneByOne(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        var (set, addresses) = (PrefixSet([]), Set<IPAddress>())
        for _ in 0..<300 {
            let number = Int.random(in: 0..<48, using: &random)
            let text = Bool.random(using: &random) ? "10.0.0.\(number)" : "fd00::\(String(number, radix: 16))"
            let address = try #require(IPAddress(text))
            if Int.random(in: 0..<5, using: &random) > 1 {
                set.insert(address)
                addresses.insert(address)
            } else {
                set.remove(address)
                addresses.remove(address)
            }
            #expect(set == PrefixSet(addresses.map { IPPrefix(host: $0) }))
        }
        for edge in ["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let address = try #require(IPAddress(edge))
            set.insert(address)
            #expect(set.contains(address))
        }
    }

    @Test("any set of addresses is merged without loss, and has none more", arguments: 0..<50)
    func anySet(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let addresses = (0..<Int.random(in: 1...60, using: &random)).compactMap { _ in
            IPAddress("10.0.0.\(Int.random(in: 0..<64, using: &random))")
        }
        let taken = addresses.randomElement(using: &random)
        var merged = IPPrefix.merged(addresses.map { IPPrefix(host: $0) })
        if let taken { merged = merged.flatMap { $0.without(taken) } }
        for number in 0..<70 {
            let address = try #require(IPAddress("10.0.0.\(number)"))
            #expect(merged.count { $0.contains(address) } == (addresses.contains(address) && address != taken ? 1 : 0))
        }
    }
}
