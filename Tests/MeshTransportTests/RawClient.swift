import CLinux
import Glibc

@testable import MeshTransport

/// A peer below gRPC and TLS, whose bytes are made by hand.
final class RawClient {
    /// How long to wait for bytes, in milliseconds: other tests may keep all threads busy meanwhile.
    static let patience: Int32 = 60_000

    let socket: Int32
    /// Whether the other side was seen to close.
    private(set) var isClosed = false

    init(_ address: MeshTransport.SocketAddress) throws {
        guard case .unix(let path) = address else { throw TransportError("no Unix socket") }
        socket = cl_unix_connect(path)
        guard socket >= 0 else { throw DescriptorError("connect", code: -socket) }
    }

    /// The other side: of a connection that a listener has taken.
    init(accepted listener: ServerListener) throws {
        var poller = pollfd(fd: listener.socket, events: Int16(POLLIN), revents: 0)
        poll(&poller, 1, RawClient.patience)
        socket = cl_accept(listener.socket)
        guard socket >= 0 else { throw DescriptorError("accept", code: -socket) }
    }

    deinit { close(socket) }

    /// Sends as much as goes without waiting for longer than `limit` milliseconds; how much that was.
    @discardableResult
    func send(_ bytes: [UInt8], limit: Int32 = RawClient.patience) -> Int {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { cl_send(socket, $0.baseAddress.map { $0 + sent }, bytes.count - sent) }
            if count > 0 {
                sent += count
                continue
            }
            var poller = pollfd(fd: socket, events: Int16(POLLOUT), revents: 0)
            guard count == -Int(EAGAIN), poll(&poller, 1, limit) > 0 else { break }
        }
        return sent
    }

    /// What came until the other side was done, or until `isEnough`; at most `limit` milliseconds after the last byte.
    func receive(limit: Int32 = RawClient.patience, until isEnough: ([UInt8]) -> Bool = { _ in false }) -> [UInt8] {
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while !isEnough(received) {
            var poller = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, limit) > 0 else { break }
            let count = read(socket, &buffer, buffer.count)
            guard count > 0 else {
                isClosed = true
                break
            }
            received += buffer.prefix(count)
        }
        return received
    }
}

/// Frames by hand. Source: RFC 9113, section 4.1 for frames; RFC 7541, section 6.2.2 for headers.
enum Frames {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static var start: [UInt8] { preface + frame(4) }

    static func frame(_ kind: UInt8, _ payload: [UInt8] = [], flags: UInt8 = 0, stream: UInt32 = 0) -> [UInt8] {
        let size = payload.count
        return [UInt8(size >> 16 & 0xff), UInt8(size >> 8 & 0xff), UInt8(size & 0xff), kind, flags] + bytes(stream)
            + payload
    }

    static func bytes(_ number: UInt32) -> [UInt8] {
        [UInt8(number >> 24), UInt8(number >> 16 & 0xff), UInt8(number >> 8 & 0xff), UInt8(number & 0xff)]
    }

    static func ping(_ number: UInt64 = 7, isAnswer: Bool = false) -> [UInt8] {
        frame(6, bytes(UInt32(number >> 32)) + bytes(UInt32(truncatingIfNeeded: number)), flags: isAnswer ? 1 : 0)
    }

    /// A header as it is.
    static func field(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }

    /// A call of the echo.
    static func headers(_ method: String = "test.Echo/Call", stream: UInt32 = 1) -> [UInt8] {
        var block: [UInt8] = []
        for (name, value) in [
            (":method", "POST"), (":scheme", "http"), (":path", "/\(method)"), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ] {
            block += field(name, value)
        }
        return frame(1, block, flags: 4, stream: stream)
    }

    /// A message, whole, or with a length that is not its own.
    static func message(_ bytes: [UInt8], stream: UInt32 = 1, isLast: Bool = true, length: Int? = nil) -> [UInt8] {
        frame(0, [0] + Self.bytes(UInt32(length ?? bytes.count)) + bytes, flags: isLast ? 1 : 0, stream: stream)
    }

    struct Frame {
        let kind: UInt8
        let flags: UInt8
        let stream: UInt32
        let payload: ArraySlice<UInt8>
        /// The code of a GOAWAY.
        var goAway: UInt32? {
            guard kind == 7, payload.count >= 8 else { return nil }
            return payload.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
        }
    }

    static func parse(_ bytes: [UInt8]) -> [Frame] {
        var frames: [Frame] = []
        var rest = bytes[...]
        while rest.count >= 9 {
            let start = rest.startIndex
            let size = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
            guard rest.count >= 9 + size else { break }
            let stream = rest[(start + 5)..<(start + 9)].reduce(0) { $0 << 8 | UInt32($1) }
            frames.append(
                Frame(
                    kind: rest[start + 3], flags: rest[start + 4], stream: stream,
                    payload: rest[(start + 9)..<(start + 9 + size)]))
            rest = rest[(start + 9 + size)...]
        }
        return frames
    }
}

/// Runs what blocks, on a thread of its own.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        let job = Job { continuation.resume(with: Swift.Result { try body() }) }
        var thread = pthread_t()
        guard pthread_create(&thread, nil, runJob, Unmanaged.passRetained(job).toOpaque()) == 0 else {
            return continuation.resume(throwing: TransportError("no thread"))
        }
        pthread_detach(thread)
    }
}

private final class Job: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

private func runJob(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<Job>.fromOpaque(context).takeRetainedValue().body() }
    return nil
}

/// Reads frames one after another.
final class FrameReader {
    private let client: RawClient
    private var bytes: [UInt8] = []
    private var start = 0

    init(_ client: RawClient) { self.client = client }

    /// The next frame; nil when none comes for a minute.
    func next() -> Frames.Frame? {
        while true {
            if bytes.count - start >= 9 {
                let size = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
                if bytes.count - start >= 9 + size {
                    defer { start += 9 + size }
                    return Frames.parse(Array(bytes[start..<(start + 9 + size)])).first
                }
            }
            bytes.removeFirst(start)
            start = 0
            var buffer = [UInt8](repeating: 0, count: 65536)
            var poller = pollfd(fd: client.socket, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, RawClient.patience) > 0 else { return nil }
            let count = read(client.socket, &buffer, buffer.count)
            guard count > 0 else { return nil }
            bytes += buffer.prefix(count)
        }
    }
}
