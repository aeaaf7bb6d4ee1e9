import Glibc
import TestSupport
import Testing

@testable import Netlink

@Suite("decoding anything")
struct FuzzTests {
    /// Bytes that end where a page without any access begins: reading past them kills the test.
    private final class GuardedBuffer {
        private let base: UnsafeMutableRawPointer
        private let page = Int(getpagesize())
        private let size: Int

        init(pages: Int) throws {
            size = (pages + 1) * page
            let address = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            base = try #require(address != MAP_FAILED ? address : nil)
            try #require(mprotect(base + pages * page, page, PROT_NONE) == 0)
        }

        deinit { munmap(base, size) }

        func place(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
            let start = base + (size - page - bytes.count)
            start.copyMemory(from: bytes, byteCount: bytes.count)
            return UnsafeRawBufferPointer(start: start, count: bytes.count)
        }
    }

    private func mutate(_ message: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = message
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let position = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[position] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2: bytes[position] = [0, 1, 3, 4, 5, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
            case 3: bytes.removeLast(bytes.count - position)
            case 4: bytes.removeSubrange(position..<min(bytes.count, position + 4))
            case 5: bytes.insert(contentsOf: [UInt8](repeating: 0, count: 4), at: position)
            default: bytes.insert(contentsOf: bytes[position..<min(bytes.count, position + 24)], at: position)
            }
        }
        // Half of them with a length that fits, so that the attributes are reached.
        if Bool.random(using: &random), bytes.count >= 16 {
            withUnsafeBytes(of: UInt32(bytes.count).littleEndian) { bytes.replaceSubrange(0..<4, with: $0) }
        }
        return bytes
    }

    @Test("mutated messages are decoded or refused, and nothing is read behind them", .timeLimit(.minutes(20)))
    func mutations() async throws {
        let corpus = Corpus.messages
        let buffer = try GuardedBuffer(pages: 4)
        var (decoded, all) = (0, 0)
        for seed in Seeds("netlink messages", usual: 200, long: 5000, step: 1000) {
            await Task.yield()
            var random = SeededGenerator(seed: seed)
            for _ in 0..<1000 {
                all += 1
                let bytes = buffer.place(mutate(corpus[all % corpus.count], &random))
                if let report = Report.decode(message: bytes) {
                    decoded += 1
                    // Whatever was decoded can be encoded.
                    if let request = report.request { _ = request.encoded(sequence: 1) }
                }
                for message in MessageReader(bytes) where message.isStatus { _ = message.error?.description }
            }
        }
        // Most survive in part; else the mutations would not reach the attributes.
        #expect(decoded > all / 4)
    }

    @Test("every prefix of a message is refused or decoded", arguments: Corpus.messages)
    func prefixes(message: [UInt8]) throws {
        let buffer = try GuardedBuffer(pages: 4)
        for count in 0...message.count {
            var cut = Array(message[..<count])
            #expect(count >= message.count || Report.decode(message: buffer.place(cut)) == nil)
            guard count >= 16 else { continue }
            withUnsafeBytes(of: UInt32(count).littleEndian) { cut.replaceSubrange(0..<4, with: $0) }
            _ = Report.decode(message: buffer.place(cut))
        }
    }
}

extension Report {
    /// A request that would make what is reported.
    var request: Request? {
        switch self {
        case .address(let address): .addAddress(address, replace: false)
        case .addressRemoved(let address): .deleteAddress(address)
        case .route(let route): .addRoute(route, replace: true)
        case .routeRemoved(let route): .deleteRoute(route)
        case .neighbour(let entry): .addNeighbour(entry, replace: false)
        case .neighbourRemoved(let entry): .deleteNeighbour(entry)
        case .forwarding(let entry): .addForwarding(entry)
        case .forwardingRemoved(let entry): .deleteForwarding(entry)
        case .qdisc(let qdisc): .changeQdisc(qdisc)
        case .qdiscRemoved(let qdisc): .deleteQdisc(qdisc)
        case .filter(let filter): .addFilter(filter)
        case .filterRemoved(let filter): .deleteFilter(filter)
        case .nextHop(let hop): .addNextHop(hop, replace: true)
        case .nextHopRemoved(let hop): .deleteNextHop(hop)
        case .rule(let rule): .addRule(rule)
        case .ruleRemoved(let rule): .deleteRule(rule)
        case .settings(let index): .deleteLink(index: index)
        case .port(let index, let port?, _): .setLink(LinkAttributes(index: index).with(port))
        case .port(let index, nil, let vlans): .addVLANs(vlans ?? BridgeVLANs(), linkIndex: index, isPort: true)
        case .link(let link):
            .createLink(
                LinkAttributes(index: link.index, name: link.name).with(kind: link.kind, alias: link.alias),
                echo: true)
        case .linkRemoved(let link): .deleteLink(index: link.index)
        }
    }
}

extension LinkAttributes {
    fileprivate func with(kind: LinkKind, alias: String?) -> LinkAttributes {
        var copy = self
        copy.kind = kind
        copy.alias = alias
        return copy
    }

    fileprivate func with(_ port: BridgePort) -> LinkAttributes {
        var copy = self
        copy.port = port
        return copy
    }
}
