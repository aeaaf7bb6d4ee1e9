internal import CLinux
internal import Glibc

/// Moves bytes between a real socket, which carries descriptors, and the one that the transport reads.
///
/// Belongs to the thread of the ``RelayLoop``. Both sockets are watched for edges, so a side is tried until the kernel says
/// that it would block. Only then it is watched for room: otherwise each reading of the peer would wake us. Bytes are kept
/// only when they found no room: a connection that is idle, or whose ends read, has no buffer.
final class Relay {
    /// How one side stands.
    private struct Side {
        let fd: Int32
        /// What its events carry.
        let token: UInt64
        var mayRead = true
        var mayWrite = true
    }

    /// Bytes that found no room.
    private struct Rest {
        private var bytes: [UInt8] = []
        private var sent = 0
        var isEmpty: Bool { bytes.isEmpty }

        mutating func keep(_ rest: UnsafeRawBufferPointer) {
            bytes = Array(rest)
            sent = 0
        }

        /// Sends what it can of itself; what `send` returns is how much that was, or why there was nothing.
        mutating func send(_ send: (UnsafeRawBufferPointer) -> Int) -> Int {
            let count = bytes.withUnsafeBytes { send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            if count > 0 { sent += count }
            if sent == bytes.count { self = Rest() }
            return count
        }
    }

    /// Bytes that one reading takes.
    static let chunk = 65536
    /// How often one relay moves on before the others get their turn.
    private static let longestTurn = 2

    private var outer: Side
    private var inner: Side
    private var outbound = Rest()
    private var inbound = Rest()
    /// The peer has nothing more to say.
    private var hasOuterEnded = false
    /// The transport takes nothing more. What it said before still goes out.
    private var hasInnerClosed = false
    private let channel: DescriptorChannel
    private let epoll: Int32

    /// Takes ownership of both sockets.
    init(epoll: Int32, id: UInt64, outer: Int32, inner: Int32, channel: DescriptorChannel) {
        self.epoll = epoll
        self.outer = Side(fd: outer, token: id << 1 | 1)
        self.inner = Side(fd: inner, token: id << 1)
        self.channel = channel
    }

    deinit {
        close(outer.fd)
        close(inner.fd)
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

    /// Whether it lives only for the last words of the transport, which the peer may never read.
    var isLeaving: Bool { hasInnerClosed }

    /// Begins to watch both sockets. Returns whether the kernel does.
    func watch() -> Bool {
        [outer, inner].allSatisfy { cl_epoll_add_edge(epoll, $0.fd, $0.token) == 0 }
    }

    /// Notes an edge.
    func edge(isOuter: Bool, events: UInt32) {
        if isOuter { return note(events, &outer) }
        note(events, &inner)
        if events & CL_EPOLLHUP != 0 { hasInnerClosed = true }
    }

    private func note(_ events: UInt32, _ side: inout Side) {
        if events & (CL_EPOLLIN | CL_EPOLLHUP | CL_EPOLLERR | CL_EPOLLRDHUP) != 0 { side.mayRead = true }
        if events & (CL_EPOLLOUT | CL_EPOLLHUP | CL_EPOLLERR) != 0, !side.mayWrite {
            side.mayWrite = true
            _ = cl_epoll_watch_writes(epoll, side.fd, side.token, false)
        }
    }

    /// Moves what can be moved, by way of `scratch`.
    func turn(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        for _ in 0..<Self.longestTurn {
            let out = moveOut(scratch)
            let into = moveIn(scratch)
            if out == .ended || into == .ended { return .ended }
            if out == .idle, into == .idle { return .idle }
        }
        return .more
    }

    // MARK: - Outwards

    private func moveOut(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        if !outbound.isEmpty {
            guard outer.mayWrite else { return .idle }
            let sent = outbound.send(sendOut)
            return sent > 0 ? .more : blocked(sent, &outer)
        }
        guard inner.mayRead, outer.mayWrite else { return .idle }
        let count = recv(inner.fd, scratch.baseAddress, scratch.count, Int32(MSG_DONTWAIT))
        if count == 0 { return .ended }
        if count < 0 {
            inner.mayRead = false
            return errno == EAGAIN ? .idle : .ended
        }
        let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<count])
        let sent = sendOut(bytes)
        if sent < count { outbound.keep(UnsafeRawBufferPointer(rebasing: bytes[max(sent, 0)...])) }
        return sent > 0 ? .more : blocked(sent, &outer)
    }

    /// Sends bytes, and the descriptors that wait with the first of them; how many, or why none.
    private func sendOut(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var done = 0
        while done < bytes.count, let descriptor = channel.takeOutgoing() {
            let result = cl_send_descriptor(outer.fd, base + done, descriptor.number)
            guard result > 0 else {
                channel.putBack(descriptor)
                return done > 0 ? done : Int(result)
            }
            done += 1
        }
        guard done < bytes.count else { return done }
        let sent = cl_send(outer.fd, base + done, bytes.count - done)
        return sent > 0 ? done + sent : done > 0 ? done : sent
    }

    // MARK: - Inwards

    private func moveIn(_ scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        if hasInnerClosed { return .idle }
        if !inbound.isEmpty {
            guard inner.mayWrite else { return .idle }
            let sent = inbound.send(sendIn)
            if sent <= 0 { return innerBlocked(sent) }
            if inbound.isEmpty, hasOuterEnded { endInner() }
            return .more
        }
        guard !hasOuterEnded, outer.mayRead, inner.mayWrite else { return .idle }
        guard let count = receive(scratch) else { return .ended }
        if count < 0 { return .idle }
        if count == 0 {
            hasOuterEnded = true
            endInner()
            return .idle
        }
        let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<count])
        let sent = sendIn(bytes)
        if sent < count { inbound.keep(UnsafeRawBufferPointer(rebasing: bytes[max(sent, 0)...])) }
        return sent > 0 ? .more : innerBlocked(sent)
    }

    private func sendIn(_ bytes: UnsafeRawBufferPointer) -> Int { cl_send(inner.fd, bytes.baseAddress, bytes.count) }

    /// The transport reads what is left and then closes its end, which ends the relay.
    private func endInner() { _ = cl_shutdown_write(inner.fd) }

    private func innerBlocked(_ result: Int) -> Outcome {
        if blocked(result, &inner) == .ended { hasInnerClosed = true }
        return .idle
    }

    /// Number of bytes; negative when the socket would block; nil when it is broken. Descriptors are handed over before
    /// the bytes that came with them.
    private func receive(_ scratch: UnsafeMutableRawBufferPointer) -> Int? {
        let received: Int
        if channel.isTaking {
            received = receiveWithDescriptors(scratch)
        } else {
            // Without a place for them the kernel closes them, and they never are in this process.
            let count = recv(outer.fd, scratch.baseAddress, scratch.count, Int32(MSG_DONTWAIT))
            received = count < 0 ? -Int(errno) : count
        }
        if received >= 0 { return received }
        outer.mayRead = false
        return received == -Int(EAGAIN) ? -1 : nil
    }

    private func receiveWithDescriptors(_ scratch: UnsafeMutableRawBufferPointer) -> Int {
        var count: Int32 = 0
        var truncated = false
        return withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CL_MAX_DESCRIPTORS)) { numbers in
            let received = cl_receive_descriptors(
                outer.fd, scratch.baseAddress, scratch.count, numbers.baseAddress, &count, &truncated)
            for number in numbers.prefix(Int(count)) {
                if let descriptor = try? Descriptor(owning: number) { channel.arrived(descriptor) }
            }
            return received
        }
    }

    private func blocked(_ result: Int, _ side: inout Side) -> Outcome {
        guard result == -Int(EAGAIN) || result == 0 else { return .ended }
        side.mayWrite = false
        // If there is room again by now, the kernel tells it at once.
        return cl_epoll_watch_writes(epoll, side.fd, side.token, true) == 0 ? .idle : .ended
    }
}
