internal import CLinux
internal import Glibc

/// Moves bytes between a real socket, which carries descriptors, and the one that the transport reads.
///
/// Belongs to the thread of the ``RelayLoop``. Both sockets are watched for edges, so a side is tried until the kernel says
/// that it would block. Only then it is watched for room: otherwise each reading of the peer would wake us.
final class Relay {
    /// How one side stands.
    private struct Side {
        let fd: Int32
        /// What its events carry.
        let token: UInt64
        var mayRead = true
        var mayWrite = true
    }

    /// Bytes on their way in one direction.
    private struct Buffer {
        var bytes: UnsafeMutableRawBufferPointer
        var range = 0..<0
        /// The side they come from has ended.
        var isLast = false
    }

    private static let capacity = 65536
    /// How often one relay moves on before the others get their turn.
    private static let longestTurn = 16

    private var outer: Side
    private var inner: Side
    private var outbound: Buffer
    private var inbound: Buffer
    private let channel: DescriptorChannel
    /// Where the kernel puts the numbers of descriptors.
    private var numbers = [Int32](repeating: -1, count: Int(CL_MAX_DESCRIPTORS))

    private let epoll: Int32

    /// Takes ownership of both sockets.
    init(epoll: Int32, id: UInt64, outer: Int32, inner: Int32, channel: DescriptorChannel) {
        self.epoll = epoll
        self.outer = Side(fd: outer, token: id << 1 | 1)
        self.inner = Side(fd: inner, token: id << 1)
        self.channel = channel
        outbound = Buffer(bytes: .allocate(byteCount: Self.capacity, alignment: 16))
        inbound = Buffer(bytes: .allocate(byteCount: Self.capacity, alignment: 16))
    }

    deinit {
        close(outer.fd)
        close(inner.fd)
        outbound.bytes.deallocate()
        inbound.bytes.deallocate()
        channel.finish()
    }

    /// What a turn leaves.
    enum Outcome {
        /// Nothing can be done before the next edge.
        case idle
        /// There is more to do at once.
        case more
        /// The connection has ended.
        case ended
    }

    /// Begins to watch both sockets. Returns whether the kernel does.
    func watch() -> Bool {
        [outer, inner].allSatisfy { cl_epoll_add_edge(epoll, $0.fd, $0.token) == 0 }
    }

    /// Notes an edge.
    func edge(isOuter: Bool, events: UInt32) {
        if isOuter { note(events, &outer) } else { note(events, &inner) }
    }

    private func note(_ events: UInt32, _ side: inout Side) {
        if events & (CL_EPOLLIN | CL_EPOLLHUP | CL_EPOLLERR | CL_EPOLLRDHUP) != 0 { side.mayRead = true }
        if events & (CL_EPOLLOUT | CL_EPOLLHUP | CL_EPOLLERR) != 0, !side.mayWrite {
            side.mayWrite = true
            _ = cl_epoll_watch_writes(epoll, side.fd, side.token, false)
        }
    }

    /// Moves what can be moved.
    func turn() -> Outcome {
        for _ in 0..<Self.longestTurn {
            let out = moveOut()
            let into = moveIn()
            if out == .ended || into == .ended { return .ended }
            if out == .idle, into == .idle { return .idle }
        }
        return .more
    }

    // MARK: - Outwards

    private func moveOut() -> Outcome {
        if outbound.range.isEmpty {
            if outbound.isLast { return .ended }
            guard inner.mayRead else { return .idle }
            let count = recv(inner.fd, outbound.bytes.baseAddress, Self.capacity, Int32(MSG_DONTWAIT))
            if count == 0 { return .ended }
            if count < 0 {
                inner.mayRead = false
                return errno == EAGAIN ? .idle : .ended
            }
            outbound.range = 0..<count
        }
        guard outer.mayWrite else { return .idle }
        return sendOut()
    }

    private func sendOut() -> Outcome {
        guard let base = outbound.bytes.baseAddress else { return .ended }
        while !outbound.range.isEmpty, let descriptor = channel.takeOutgoing() {
            let result = cl_send_descriptor(outer.fd, base + outbound.range.lowerBound, descriptor.number)
            guard result > 0 else {
                channel.putBack(descriptor)
                return blocked(result, &outer)
            }
            outbound.range = (outbound.range.lowerBound + 1)..<outbound.range.upperBound
        }
        if outbound.range.isEmpty { return .more }
        let sent = cl_send(outer.fd, base + outbound.range.lowerBound, outbound.range.count)
        guard sent > 0 else { return blocked(Int32(sent), &outer) }
        outbound.range = (outbound.range.lowerBound + sent)..<outbound.range.upperBound
        return .more
    }

    // MARK: - Inwards

    private func moveIn() -> Outcome {
        if inbound.range.isEmpty {
            if inbound.isLast { return .idle }
            guard outer.mayRead else { return .idle }
            guard let result = receive() else { return .ended }
            if result < 0 { return .idle }
            if result == 0 {
                // The transport reads what is left and then closes its end, which ends the relay.
                inbound.isLast = true
                _ = cl_shutdown_write(inner.fd)
                return .idle
            }
            inbound.range = 0..<result
        }
        guard inner.mayWrite, let base = inbound.bytes.baseAddress else { return .idle }
        let sent = cl_send(inner.fd, base + inbound.range.lowerBound, inbound.range.count)
        guard sent > 0 else { return blocked(Int32(sent), &inner) }
        inbound.range = (inbound.range.lowerBound + sent)..<inbound.range.upperBound
        return .more
    }

    /// Number of bytes; negative when the socket would block; nil when it is broken. Descriptors are handed over before
    /// the bytes that came with them.
    private func receive() -> Int? {
        var count: Int32 = 0
        var truncated = false
        let received = cl_receive_descriptors(
            outer.fd, inbound.bytes.baseAddress, Self.capacity, &numbers, &count, &truncated)
        for number in numbers.prefix(Int(count)) {
            if let descriptor = try? Descriptor(owning: number) { channel.arrived(descriptor) }
        }
        if received >= 0 { return received }
        outer.mayRead = false
        return received == -Int(EAGAIN) ? -1 : nil
    }

    private func blocked(_ result: Int32, _ side: inout Side) -> Outcome {
        guard result == -EAGAIN || result == 0 else { return .ended }
        side.mayWrite = false
        // If there is room again by now, the kernel tells it at once.
        return cl_epoll_watch_writes(epoll, side.fd, side.token, true) == 0 ? .idle : .ended
    }
}
