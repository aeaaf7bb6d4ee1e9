import Glibc
import TestSupport
import Testing

@testable import MeshTransport

/// Random frames: whoever sends them harms nobody but himself.
@Suite("Random frames", .serialized)
struct FrameFuzzTests {
    /// Frames of a client that mostly have a meaning.
    private static func frames(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = random.chance(95) ? Frames.start : []
        for _ in 0...random.below(12) {
            let stream = random.pick([0, 1, 1, 3, 3, 5, 2, UInt32(random.below(1000)), 0x7fff_ffff, .max])
            switch random.below(14) {
            case 0...2: bytes += Frames.headers(stream: stream)
            case 3, 4:
                let size = random.pick([nil, nil, 0, 1, 5, 1 << 20, Int(UInt32.max)])
                bytes += Frames.message(random.bytes(upTo: 60), stream: stream, isLast: random.chance(60), length: size)
            case 5: bytes += Frames.frame(3, random.bytes(upTo: 8), stream: stream)
            case 6: bytes += Frames.frame(4, random.bytes(upTo: 36), flags: UInt8(random.below(2)))
            case 7: bytes += Frames.ping(UInt64(random.below(100)), isAnswer: random.chance(30))
            case 8:
                let step = random.pick([0, 1, 0x7fff_ffff, 0x8000_0000, UInt32.max])
                bytes += Frames.frame(8, Frames.bytes(step), stream: stream)
            case 9: bytes += Frames.frame(7, random.bytes(upTo: 30))
            case 10: bytes += Frames.frame(9, random.bytes(upTo: 30), flags: UInt8(random.below(8)), stream: stream)
            case 11:
                let block = random.mutated(Array(Frames.headers(stream: 1).dropFirst(9)))
                bytes += Frames.frame(1, block, flags: random.pick([4, 5, 0, 0x2d]), stream: stream)
            case 12:
                bytes += Frames.frame(
                    UInt8(random.below(256)), random.bytes(upTo: 64), flags: UInt8(random.below(256)), stream: stream)
            default:
                // A call of another kind than the service has.
                let method = random.pick([
                    "", "test.Echo", "test.Echo/Other", "a/b/c", String(repeating: "x", count: 200),
                ])
                bytes += Frames.headers(method, stream: stream)
            }
        }
        return random.chance(40) ? random.mutated(bytes) : bytes
    }

    @Test("a server that is sent anything goes on to serve others", .timeLimit(.minutes(30)))
    func server() async throws {
        try await TransportTests().withServer(.insecure) { address, connect in
            let honest = try await connect()
            let running = Task { await honest.run() }
            #expect(try await call(honest, "x") == "x")
            let before = Self.openFiles()
            var count = 0
            for seed in Seeds("frames to a server", usual: 400, long: 40_000, step: 5000) {
                try await onThread {
                    var random = SeededGenerator(seed: seed)
                    let bytes = Self.frames(&random)
                    let client = try RawClient(address)
                    var start = 0
                    while start < bytes.count {
                        let size = random.chance(70) ? bytes.count - start : 1 + random.below(40)
                        guard client.send(Array(bytes[start..<min(start + size, bytes.count)]), limit: 1000) > 0 else {
                            break
                        }
                        start += size
                    }
                    // Who hangs up at once is as welcome as who waits for the answer.
                    if random.chance(70) { _ = client.receive(limit: 5) }
                }
                count += 1
                if count % 100 == 0 { #expect(try await call(honest, "still") == "still", "seed \(seed)") }
            }
            #expect(try await call(honest, "y") == "y")
            let fresh = try await connect()
            let next = Task { await fresh.run() }
            #expect(try await call(fresh, "z") == "z")
            fresh.closeNow()
            await next.value
            // Nothing is left of those who have gone.
            for _ in 0..<3000 where Self.openFiles() > before + Self.ofOthers {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(Self.openFiles() <= before + Self.ofOthers)
            honest.closeNow()
            await running.value
        }
    }

    /// What tests beside this one may have open in the process; each connection has three.
    private static let ofOthers = 600

    private static func openFiles() -> Int {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count
    }

    /// What a server may answer to a call on the first stream, in part.
    private static func answers(_ random: inout SeededGenerator) -> [UInt8] {
        var bytes = random.chance(90) ? Frames.frame(4) + Frames.frame(4, flags: 1) : []
        let head: [UInt8] = [0x88] + Frames.field("content-type", "application/grpc")
        let trailers = Frames.field("grpc-status", random.pick(["0", "0", "13", "99", "-1", "x", ""]))
        for _ in 0...random.below(6) {
            let stream = random.pick([1, 1, 1, 3, 0, 2, UInt32.max])
            switch random.below(9) {
            case 0, 1: bytes += Frames.frame(1, head, flags: 4, stream: stream)
            case 2, 3:
                let size = random.pick([nil, nil, 0, 9, Int(UInt32.max)])
                bytes += Frames.message(random.bytes(upTo: 30), stream: stream, isLast: random.chance(20), length: size)
            case 4, 5: bytes += Frames.frame(1, trailers, flags: 5, stream: stream)
            case 6: bytes += Frames.frame(random.pick([3, 7, 8, 5, 9]), random.bytes(upTo: 20), stream: stream)
            case 7: bytes += Frames.ping()
            default: bytes += Frames.frame(UInt8(random.below(256)), random.bytes(upTo: 40), stream: stream)
            }
        }
        return random.chance(40) ? random.mutated(bytes) : bytes
    }

    @Test("a client that is answered anything gets an answer or an error", .timeLimit(.minutes(30)))
    func client() async throws {
        let listener = try ServerListener(.unix(TransportTests.path()))
        for seed in Seeds("frames to a client", usual: 200, long: 10_000, step: 1000) {
            let peer = Task {
                try await onThread {
                    var random = SeededGenerator(seed: seed)
                    let peer = try RawClient(accepted: listener)
                    if random.chance(70) { _ = peer.receive(limit: 20) { $0.count > 60 } }
                    peer.send(Self.answers(&random), limit: 1000)
                    _ = peer.receive(limit: 5)
                }
            }
            let connection = try? await ClientConnection.connect(
                to: listener.address, security: .insecure, timeout: .seconds(60), logger: TransportTests.quiet)
            if let connection {
                let running = Task { await connection.run() }
                // It ends, whatever came: the peer hangs up behind it.
                _ = try? await connection.whileOpen { try await call(connection, "x") }
                connection.closeNow()
                await running.value
            }
            try await peer.value
        }
    }

    @Test("places of the Workload API and addresses are read or refused, whatever they say")
    func places() {
        let forms = [
            "unix:///run/spire/agent.sock", "unix:@spire", "unix-abstract:a%20b", "tcp://127.0.0.1:8000",
            "tcp://[::1]:1",
        ]
        for seed in Seeds("places", usual: 5000, long: 300_000, step: 100_000) {
            var random = SeededGenerator(seed: seed)
            let text = String(decoding: random.mutated(Array(random.pick(forms).utf8)), as: UTF8.self)
            _ = SocketAddress(url: text)
            _ = Inode(url: text)
            guard let endpoint = try? WorkloadEndpoint(text) else { continue }
            switch endpoint.socket {
            case .path(let path): #expect(path.hasPrefix("/") && !path.utf8.contains(0), "seed \(seed): \(text)")
            case .abstract(let name): #expect((1...107).contains(name.utf8.count), "seed \(seed): \(text)")
            case .tcp(_, let port): #expect((1...65535).contains(port), "seed \(seed): \(text)")
            }
        }
    }
}
