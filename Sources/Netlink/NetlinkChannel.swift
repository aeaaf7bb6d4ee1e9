import CLinux
import CMnl
import Glibc

/// A netlink socket of libmnl with an owner: open, bound, non-blocking, close-on-exec.
final class NetlinkChannel {
    /// Bytes for one datagram. The kernel makes those of a dump up to 32 KiB long, others up to a few pages; below
    /// glibc's `M_MMAP_THRESHOLD` the memory comes and goes without a system call.
    private static let bufferSize = 64 << 10
    /// Bytes that are asked for where answers are short. The kernel makes the messages of a dump as large as what it was ever
    /// asked for, and takes memory of up to 8 KiB, its own header included, from what it has at hand.
    private static let shortSize = 7 << 10

    private let socket: OpaquePointer
    /// Bytes that are asked for at a time.
    private var size = bufferSize

    /// Opens a socket in a namespace, nil: the calling thread's, and joins the groups of a bit mask (`RTMGRP_*`).
    init(
        in namespace: NetworkNamespace?, bus: Int32 = NETLINK_ROUTE, groups: UInt32, receiveBuffer: Int32
    ) throws(KernelError) {
        socket = try Self.open(in: namespace, bus)
        try setBuffers(receive: receiveBuffer)
        guard mnl_socket_bind(socket, groups, MNL_SOCKET_AUTOPID) == 0 else { throw KernelError(errno: errno) }
    }

    /// Bytes that the kernel may queue for us, and that we may send in one piece; nil: the system's default.
    func setBuffers(receive: Int32, send: Int32? = nil) throws(KernelError) {
        let result = cl_set_receive_buffer(descriptor, receive)
        guard result == 0 else { throw KernelError(errno: result) }
        if let send { _ = cl_set_send_buffer(descriptor, send) }
    }

    /// Opens a socket for a few questions: the kernel gives it a number with the first of them, and its buffers suffice for
    /// answers that are taken one after the other.
    init(asking bus: Int32, in namespace: NetworkNamespace?) throws(KernelError) {
        socket = try Self.open(in: namespace, bus)
    }

    deinit { mnl_socket_close(socket) }

    private static func open(in namespace: NetworkNamespace?, _ bus: Int32) throws(KernelError) -> OpaquePointer {
        let origin = try namespace?.enter()
        defer { if let origin { NetworkNamespace.leave(to: origin) } }
        guard let socket = mnl_socket_open2(bus, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)) else {
            throw KernelError(errno: errno)
        }
        return socket
    }

    /// Joins the groups of a bit mask and leaves all others.
    func join(groups: UInt32) throws(KernelError) {
        let port = pid_t(bitPattern: mnl_socket_get_portid(socket))
        guard mnl_socket_bind(socket, groups, port) == 0 else { throw KernelError(errno: errno) }
    }

    var descriptor: Int32 { mnl_socket_get_fd(socket) }

    /// Switches a boolean option of `SOL_NETLINK` on.
    func enable(_ option: Int32) throws(KernelError) {
        var on: Int32 = 1
        guard mnl_socket_setsockopt(socket, option, &on, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
            throw KernelError(errno: errno)
        }
    }

    /// Sends one datagram to the kernel, which has carried it out when this returns.
    func send(_ bytes: UnsafeRawBufferPointer) throws(KernelError) {
        while mnl_socket_sendto(socket, bytes.baseAddress, bytes.count) < 0 {
            guard errno == EINTR else { throw KernelError(errno: errno) }
        }
    }

    /// Lends memory for received datagrams. Sockets are many and read seldom, so none keeps its own.
    static func withBuffer<T, Failure>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> T
    ) throws(Failure) -> T {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferSize, alignment: 8)
        defer { buffer.deallocate() }
        return try body(buffer)
    }

    /// Asks for little at a time, until answers prove to be long.
    func expectShortAnswers() { size = Self.shortSize }

    /// Asks for much at a time from now on. Returns whether it did not before.
    func expectLongAnswers() -> Bool {
        defer { size = Self.bufferSize }
        return size < Self.bufferSize
    }

    /// Receives one datagram if one is queued: its length or -errno, `-EAGAIN` when none is.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = cl_netlink_receive(descriptor, buffer.baseAddress, min(buffer.count, size))
        // What fills half of it is one part of many.
        if count >= Self.shortSize / 2 { size = Self.bufferSize }
        return count
    }

    /// Receives one datagram that has to come.
    ///
    /// - Parameter timeout: milliseconds.
    /// - Throws: `ENOBUFS` when the kernel dropped answers, `EMSGSIZE` when one is longer than what was asked for, after the
    ///   others have been thrown away; `ETIMEDOUT`.
    func receive(into buffer: UnsafeMutableRawBufferPointer, timeout: Int32) throws(KernelError) -> Int {
        var waits = 0
        while true {
            let count = receive(into: buffer)
            if count >= 0 { return count }
            if count == -Int(EAGAIN), waits < 3 {
                waits += 1
                if cl_wait_readable(descriptor, timeout) == 0 { waits = 3 }
                continue
            }
            drain(buffer)
            if count == -Int(EAGAIN) { throw KernelError(code: ETIMEDOUT, message: "the kernel did not answer") }
            throw KernelError(errno: Int32(truncatingIfNeeded: count))
        }
    }

    private func drain(_ buffer: UnsafeMutableRawBufferPointer) {
        // Not for ever: each turn takes one of the answers that are queued, or one error.
        for _ in 0..<100_000 where receive(into: buffer) == -Int(EAGAIN) { return }
    }
}
