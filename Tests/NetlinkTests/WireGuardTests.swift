import CLinux
import NetworkTypes
import TestSupport
import Testing

@testable import Netlink

@Suite("requests to WireGuard")
struct WireGuardTests {
    private static func key(_ text: String) -> WireGuardKey {
        guard let key = WireGuardKey(text) else { preconditionFailure("\(text) is no key") }
        return key
    }

    private static func secret(_ text: String) -> WireGuardSecret {
        guard let key = WireGuardSecret(base64: text.utf8) else { preconditionFailure("no key") }
        return key
    }

    private static func peer(
        _ number: Int, _ verb: WireGuardChange.Peer.Verb = .put, _ set: (inout WireGuardChange.Peer) -> Void = { _ in }
    ) -> WireGuardChange.Peer {
        let bytes = (0..<32).map { UInt8(truncatingIfNeeded: $0 == 0 ? number : $0 == 1 ? number >> 8 : $0) }
        guard let key = bytes.withUnsafeBytes({ WireGuardKey($0) }) else { preconditionFailure("no key") }
        var peer = WireGuardChange.Peer(key, verb)
        set(&peer)
        return peer
    }

    /// The messages of a change, one after the other, as they leave.
    private static func messages(_ change: WireGuardChange, index: Int32 = 7) -> [[UInt8]] {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: WireGuardEncoder.limit, alignment: 8)
        defer { memory.deallocate() }
        var encoder = WireGuardEncoder(change, of: index, family: 0x1c)
        var messages: [[UInt8]] = []
        while let writer = encoder.next(at: memory) {
            messages.append(Array(UnsafeRawBufferPointer(start: writer.header, count: writer.count)))
        }
        return messages
    }

    /// What messages make of a device, read by the decoder: both use the same attributes.
    private static func device(_ messages: [[UInt8]]) -> WireGuardDevice {
        var device = WireGuardDevice()
        for message in messages {
            message.withUnsafeBytes { device.takeIn(UnsafeRawBufferPointer(rebasing: $0[16...])) }
        }
        return device
    }

    private static let own = key("se19BmIZ096vj0p13JTyRvgq3JfVqHsXvkxc0yCXDn8=")
    private static let other = key("X0KTBM/WHFN4z2QDT5ylG6s/sg6dpiPZ8KiTymq+7wQ=")

    /// A change of one peer.
    private static func change(_ verb: WireGuardChange.Peer.Verb, _ set: (inout WireGuardChange.Peer) -> Void)
        -> WireGuardChange
    {
        var (change, peer) = (WireGuardChange(), WireGuardChange.Peer(own, verb))
        set(&peer)
        change.peers = [peer]
        return change
    }

    /// What wg(8) 1.0.20210914 sends, caught on its way; sequence numbers cleared. It names the link, we its index.
    private static let goldens: [(command: String, hex: String, change: WireGuardChange)] = [
        (
            "wg set wg0 private-key k listen-port 51820 fwmark 5",
            """
            500000001c000500000000000000000001010000\
            0800020077673000240003009841d911ed6b5db1e0696e19087a8d462057dde40c5845b59897d480f6a7ab6c\
            060006006cca00000800070005000000
            """,
            {
                var change = WireGuardChange()
                change.privateKey = secret("mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=")
                (change.listenPort, change.firewallMark) = (51820, 5)
                return change
            }()
        ),
        (
            "wg set wg0 peer … preshared-key p endpoint 192.0.2.2:7 persistent-keepalive 25 allowed-ips 10.1.0.0/16,fd01::/64",
            """
            d80000001c0005000000000000000000010100000800020077673000bc000880b800008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f24000200\
            bcfd86bdf34e950a65f0f2350042cdeb8baa0252f89d4d6be1c3092b6f4bc098\
            1400040002000007c000020200000000000000000600050019000000080003000200000048000980\
            1c0000800600010002000000080002000a0100000500030010000000\
            28000080060001000a00000014000200fd0100000000000000000000000000000500030040000000
            """,
            change(.put) { peer in
                peer.presharedKey = secret("vP2GvfNOlQpl8PI1AELN64uqAlL4nU1r4cMJK29LwJg=")
                peer.endpoint = IPEndpoint(ip("192.0.2.2"), port: 7)
                peer.keepalive = 25
                peer.allowedIPs = [prefix("10.1.0.0/16"), prefix("fd01::/64")]
            }
        ),
        (
            "wg set wg0 peer … endpoint [2001:db8::2]:7",
            """
            680000001c00050000000000000000000101000008000200776730004c0008804800008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f\
            200004000a0000070000000020010db800000000000000000000000200000000
            """, change(.put) { $0.endpoint = IPEndpoint(ip("2001:db8::2"), port: 7) }
        ),
        (
            "wg set wg0 peer … allowed-ips ''",
            """
            500000001c0005000000000000000000010100000800020077673000340008803000008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f0800030002000000
            """, change(.put) { $0.allowedIPs = [] }
        ),
        (
            "wg set wg0 peer … remove peer … persistent-keepalive off",
            """
            800000001c0005000000000000000000010100000800020077673000640008803000008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f0800030001000000\
            30000080240001005f429304cfd61c5378cf64034f9ca51bab3fb20e9da623d9f0a893ca6abeef040600050000000000
            """,
            {
                var change = Self.change(.remove) { _ in }
                var last = WireGuardChange.Peer(other, .put)
                last.keepalive = 0
                change.peers.append(last)
                return change
            }()
        ),
    ]

    /// The same message with the index of the link in the place of its name, which takes as many bytes.
    private static func indexed(_ hex: String) -> [UInt8] {
        decodeHex(hex.replacing("0800020077673000", with: "0800010007000000", maxReplacements: 1))
    }

    @Test("the same bytes as wg(8)", arguments: goldens.indices)
    func golden(_ index: Int) {
        let golden = Self.goldens[index]
        #expect(Self.messages(golden.change) == [Self.indexed(golden.hex)], "\(golden.command)")
    }

    @Test("wg(8) goes on with a long list where we do")
    func longList() {
        let messages = Self.messages(
            Self.change(.put) { peer in
                peer.allowedIPs = (0..<200).map { prefix("10.0.\($0 / 256).\($0 % 256)/32") }
            })
        let starts = [
            """
            f80f00001c0005000000000000000000010100000800020077673000dc0f0880d80f008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f0800030002000000a80f09801c000080
            """,
            """
            880600001c00050000000000000000000101000008000200776730006c0608806806008024000100\
            b1ed7d066219d3deaf8f4a75dc94f246f82adc97d5a87b17be4c5cd320970e7f400609801c0000800600010002000000\
            080002000a00008f05000300
            """,
        ].map(Self.indexed)
        #expect(messages.map(\.count) == [4088, 1672])
        #expect(zip(messages, starts).allSatisfy { Array($0.prefix($1.count)) == $1 })
    }

    @Test("short changes take one message, which says what changes and nothing else")
    func short() {
        var change = WireGuardChange()
        change.listenPort = 51820
        #expect(
            Self.messages(change) == [
                decodeHex("240000001c0005000000000000000000" + "01010000" + "0800010007000000" + "060006006cca0000")
            ])
        change = WireGuardChange()
        change.peers = [Self.peer(1, .remove)]
        let removal = Self.messages(change)
        #expect(removal.count == 1)
        // Public key, and WGPEER_F_REMOVE_ME.
        #expect(removal[0].count == 16 + 4 + 8 + 4 + 4 + 36 + 8)
        #expect(removal[0].suffix(8) == [8, 0, 3, 0, 1, 0, 0, 0])
        change.peers = [Self.peer(1, .change) { $0.keepalive = 25 }]
        #expect(Self.messages(change)[0].suffix(16) == [6, 0, 5, 0, 25, 0, 0, 0, 8, 0, 3, 0, 4, 0, 0, 0])
    }

    @Test("what is long takes several messages of a page each, and arrives whole", arguments: [0, 1, 57, 1024])
    func split(_ networks: Int) {
        var change = WireGuardChange()
        change.privateKey = Self.secret("mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=")
        change.listenPort = 1
        change.firewallMark = 0xffff_ffff
        change.peers = (0..<60).map { number in
            Self.peer(number) { peer in
                peer.presharedKey = Self.secret("vP2GvfNOlQpl8PI1AELN64uqAlL4nU1r4cMJK29LwJg=")
                peer.endpoint = IPEndpoint(ip(number % 2 == 0 ? "192.0.2.1" : "2001:db8::1"), port: UInt16(number + 1))
                peer.keepalive = UInt16(number)
                peer.allowedIPs = (0..<networks).map { index in
                    number % 2 == 0
                        ? prefix("10.\(number).\(index / 256).\(index % 256)/32")
                        : prefix("fd\(10 + number):\(index)::/64")
                }
            }
        }
        let messages = Self.messages(change)
        #expect(messages.allSatisfy { $0.count <= WireGuardEncoder.limit && $0.count % 4 == 0 })
        #expect(messages.count > 1)
        var expected = WireGuardDevice()
        expected.apply(change)
        #expect(Self.device(messages) == expected)
        // The networks of a peer are replaced by the first of its messages only.
        var replacing: [WireGuardKey: Int] = [:]
        for message in messages {
            message.withUnsafeBytes { bytes in
                let attributes = AttributeReader(UnsafeRawBufferPointer(rebasing: bytes[20...]))
                for list in attributes where list.type == 8 {
                    for peer in AttributeReader(list.payload) {
                        let parts = Array(AttributeReader(peer.payload))
                        let key = parts.first { $0.type == 1 }.flatMap { WireGuardKey($0.payload) }
                        let flags = parts.first { $0.type == 3 }?.payload.u32 ?? 0
                        if let key { replacing[key, default: 0] += Int(flags >> 1 & 1) }
                    }
                }
            }
        }
        #expect(replacing.count == 60 && replacing.values.allSatisfy { $0 == 1 })
    }

    @Test("a change leads from one state to another, and back")
    func changes() {
        var change = WireGuardChange()
        change.listenPort = 7
        change.peers = [
            Self.peer(1) { $0.allowedIPs = [prefix("10.0.0.0/8"), prefix("fd00::/8")] },
            Self.peer(2) { $0.keepalive = 9 },
        ]
        var first = WireGuardDevice()
        first.apply(change)
        var second = first
        change = WireGuardChange()
        change.privateKey = Self.secret("mEHZEe1rXbHgaW4ZCHqNRiBX3eQMWEW1mJfUgPanq2w=")
        change.peers = [
            Self.peer(3) { $0.allowedIPs = [prefix("10.0.0.0/8")] }, Self.peer(2, .remove),
            Self.peer(4, .change) { $0.keepalive = 1 },
        ]
        second.apply(change)
        // A network is behind one peer; what changes a peer that is not there makes none.
        #expect(second.peers[Self.peer(1).key]?.allowedIPs == [prefix("fd00::/8")])
        #expect(second.peers.count == 2)
        for (old, new) in [(first, second), (second, first), (WireGuardDevice(), second)] {
            var state = old
            if let change = new.change(from: old) { state.apply(change) }
            #expect(state == new)
            #expect(new.change(from: new) == nil)
        }
        // No description shows a key.
        #expect(!"\(second)".contains("mEHZ") && "\(second)".contains("(hidden)"))
    }

    @Test("broken answers are taken in without harm")
    func fuzz() {
        var change = WireGuardChange()
        change.listenPort = 1
        change.peers = (0..<4).map { number in
            Self.peer(number) { peer in
                peer.endpoint = IPEndpoint(ip("2001:db8::1"), port: 7)
                peer.allowedIPs = [prefix("10.\(number).0.0/16"), prefix("fd0\(number)::/64")]
            }
        }
        let message = Self.messages(change)[0]
        var random = SeededGenerator(seed: 0x7767)
        for _ in 0..<20_000 {
            var bytes = message
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 16..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes.removeLast(Int.random(in: 0..<(bytes.count - 16), using: &random))
            #expect(Self.device([bytes]).peers.count <= 5)
        }
    }
}
