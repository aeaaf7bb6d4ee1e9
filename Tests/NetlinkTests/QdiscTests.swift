import Testing

@testable import Netlink

/// What tc(8) of iproute2 6.1 sends for a command; v0 is link 3.
struct QdiscGolden: Sendable, CustomTestStringConvertible {
    let command: String
    /// Without `TCA_TBF_RTAB`, 1028 bytes that the kernel does not look at since Linux 3.8.
    let bytes: [UInt8]
    let request: Request

    var testDescription: String { command }

    private static func qdisc(_ kind: Qdisc.Kind) -> Qdisc { Qdisc(linkIndex: 3, handle: 0x4e53_0000, kind: kind) }

    private init(_ command: String, _ hex: String, _ request: Request) {
        (self.command, bytes, self.request) = (command, decodeHex(hex), request)
    }

    static let all: [QdiscGolden] = [
        QdiscGolden(
            "tc qdisc add dev v0 handle 4e53: root tbf rate 10mbit burst 32k latency 50ms",
            """
            6000000024000506000000000000000000000000030000000000534effffffff00000000080001007462660034000200
            2800010003010000ffff0000d012130000000000000000000000000024740100f93f0600000000000800060000800000
            """, .addQdisc(qdisc(.tokenBucket(.init(rate: 1_250_000, burst: 32768, limit: 95268))))),
        QdiscGolden(
            "tc qdisc change dev v0 handle 4e53: root tbf rate 40gbit burst 1m limit 2m",
            """
            6c00000024000500000000000000000000000000030000000000534effffffff00000000080001007462660040000200
            2800010003010000ffff0000ffffffff00000000000000000000000000002000e40e0000000000000800060000001000
            0c00040000f2052a01000000
            """, .changeQdisc(qdisc(.tokenBucket(.init(rate: 5_000_000_000, burst: 1 << 20, limit: 2 << 20))))),
        QdiscGolden(
            "tc qdisc add dev v0 handle 4e53: root fq_codel limit 1000 target 4ms interval 80ms noecn memory_limit 16mb flows 512 quantum 1000",
            """
            7000000024000506000000000000000000000000030000000000534effffffff000000000d00010066715f636f64656c
            000000003c00020008000200e8030000080005000002000008000600e8030000080003008038010008000100a00f0000
            08000400000000000800090000000001
            """,
            .addQdisc(
                qdisc(
                    .fairQueue(
                        .init(
                            limit: 1000, flows: 512, quantum: 1000, target: 4000, interval: 80_000, marks: false,
                            memory: 16 << 20))))),
        QdiscGolden(
            "tc qdisc add dev v0 handle 4e53: root netem delay 10ms 2ms loss 0.5% duplicate 1% corrupt 0.1% reorder 25% limit 500 rate 5mbit",
            """
            7800000024000506000000000000000000000000030000000000534effffffff000000000a0001006e6574656d000000
            480002005a620200f401000014ae470101000000295c8f02127a00000c00030000000040000000000c00040037894100
            000000001400060068890900000000000000000000000000
            """,
            .addQdisc(
                qdisc(
                    .emulation(
                        .init(
                            delay: 10_000_000, jitter: 2_000_000, loss: 21_474_836, duplicate: 42_949_673,
                            corrupt: 4_294_967, reorder: 1 << 30, limit: 500, rate: 625_000))))),
        QdiscGolden(
            "tc qdisc del dev v0 root handle 4e53:",
            "2400000025000500000000000000000000000000030000000000534effffffff00000000",
            .deleteQdisc(qdisc(.tokenBucket(.init(rate: 1, burst: 1, limit: 1))))),
    ]
}

@Suite("qdiscs compared with tc(8)")
struct QdiscTests {
    @Test("the same header, flags and attributes", arguments: QdiscGolden.all)
    func encoding(_ golden: QdiscGolden) {
        let ours = golden.request.encoded(sequence: 0)
        #expect(AttributeTree(message: ours) == AttributeTree(message: golden.bytes))
    }

    @Test("a qdisc survives encoding and decoding", arguments: QdiscGolden.all)
    func decoding(_ golden: QdiscGolden) {
        let report = golden.bytes.withUnsafeBytes { Report.decode(message: $0) }
        switch (golden.request, report) {
        case (.addQdisc(let ours), .qdisc(let theirs)), (.changeQdisc(let ours), .qdisc(let theirs)):
            #expect(ours.isEquivalent(to: theirs))
            #expect(ours.handle == theirs.handle)
        // No kind selects one, as the kernel would compare it.
        case (.deleteQdisc, nil): break
        default: Issue.record("decoded as \(String(describing: report))")
        }
    }

    /// What tc(8) says beyond what a value can: the settings, without and with it.
    private static let unsayable: [(command: String, plain: String, more: String)] = [
        (
            "netem delay 10ms loss 1% ecn",
            "1c0002005a620200e8030000295c8f02000000000000000000000000",
            "240002005a620200e8030000295c8f020000000000000000000000000800070001000000"
        ),
        (
            "netem delay 10ms loss 1% slot 1ms 2ms",
            "1c0002005a620200e8030000295c8f02000000000000000000000000",
            """
            480002005a620200e8030000295c8f020000000000000000000000002c000c0040420f000000000080841e0000000000
            000000000000000000000000000000000000000000000000
            """
        ),
        (
            "fq_codel limit 1000 drop_batch 32", "1400020008000200e80300000800080040000000",
            "1400020008000200e80300000800080020000000"
        ),
        (
            "stab overhead 20 linklayer ethernet fq_codel limit 1000", "0c00020008000200e8030000",
            "0c00020008000200e8030000200008001c000100000000001400000001000000000000000000000000000000"
        ),
    ]

    @Test("what no value can say makes a difference", arguments: unsayable.indices)
    func more(_ index: Int) throws {
        let golden = Self.unsayable[index]
        let isNetem = golden.command.hasPrefix("netem")
        let kind = isNetem ? "0a0001006e6574656d000000" : "0d00010066715f636f64656c00000000"
        func decoded(_ options: String) throws -> Qdisc {
            let body = decodeHex("24000500000000000000000000000000030000000000534effffffff00000000" + kind + options)
            let bytes = withUnsafeBytes(of: UInt32(body.count + 4).littleEndian, Array.init) + body
            let report = bytes.withUnsafeBytes { Report.decode(message: $0) }
            guard case .qdisc(let qdisc) = report else {
                Issue.record("decoded as \(String(describing: report))")
                throw CancellationError()
            }
            return qdisc
        }
        let (plain, more) = (try decoded(golden.plain), try decoded(golden.more))
        #expect(plain.isEquivalent(to: plain) && plain.canFollow(plain))
        #expect(!plain.isEquivalent(to: more), "\(golden.command)")
        // A request that does not name a size table takes it away; the rest would stay.
        #expect(plain.canFollow(more) == more.hasSizeTable)
    }

    @Test("what the kernel rounds makes no difference, anything else does")
    func equivalence() {
        func bucket(_ rate: UInt64, _ burst: UInt32, limit: UInt32 = 9) -> Qdisc {
            Qdisc(linkIndex: 3, handle: 1, kind: .tokenBucket(.init(rate: rate, burst: burst, limit: limit)))
        }
        // At 10 Gbit/s a unit of time is 80 bytes long.
        #expect(bucket(1_250_000_000, 1_048_576).isEquivalent(to: bucket(1_250_000_000, 1_048_500)))
        #expect(!bucket(1_250_000_000, 1_048_576).isEquivalent(to: bucket(1_250_000_000, 1_048_400)))
        #expect(!bucket(1000, 2000).isEquivalent(to: bucket(1000, 2003)))
        #expect(!bucket(1000, 2000).isEquivalent(to: bucket(1001, 2000)))
        #expect(!bucket(1000, 2000).isEquivalent(to: bucket(1000, 2000, limit: 10)))
        func queue(_ target: UInt32, flows: UInt32 = 1024) -> Qdisc {
            let queue = Qdisc.FairQueue(
                limit: 1, flows: flows, quantum: nil, target: target, interval: 100_000, marks: true, memory: 1)
            return Qdisc(linkIndex: 3, handle: 1, kind: .fairQueue(queue))
        }
        // The kernel tells 4999 for 5000.
        #expect(queue(5000).isEquivalent(to: queue(4999)))
        #expect(!queue(5000).isEquivalent(to: queue(4990)))
        // What is read can be given back, and the kernel tells the same again.
        func told(_ time: UInt32) -> UInt32 { UInt32(UInt64(time) * 1000 / 1024 * 1024 / 1000) }
        for time in (UInt32(0)...6000).map({ $0 }) + [100_000, 1_000_000, 60_000_000] {
            let given = Qdisc.FairQueue.given(asTold: told(time))
            #expect(told(given) == told(time), "\(time)")
            #expect(queue(time).isEquivalent(to: queue(given)), "\(time) \(given)")
        }
        #expect(queue(5000).canFollow(queue(1000)))
        #expect(!queue(5000).canFollow(queue(5000, flows: 1)))
        #expect(!queue(5000).canFollow(bucket(1, 1)))
        func queue(quantum: UInt32?) -> Qdisc {
            let queue = Qdisc.FairQueue(
                limit: 1, flows: 1, quantum: quantum, target: 5000, interval: 100_000, marks: true, memory: 1)
            return Qdisc(linkIndex: 3, handle: 1, kind: .fairQueue(queue))
        }
        // Of Ethernet, of a link without a header; of others.
        #expect([nil, 1514, 1500].allSatisfy { !queue(quantum: $0).hasOwnQuantum(mtu: 1500) })
        #expect([700, 1499, 9014].allSatisfy { queue(quantum: $0).hasOwnQuantum(mtu: 1500) })
    }
}
