import CLinux
import CMnl
import Glibc
import NetworkTypes
import Synchronization

/// A route netlink socket, bound to the namespace it was opened in for as long as it lives.
///
/// Used by one thread at a time; any thread will do, since the namespace is the socket's and not the thread's.
public final class RouteSocket {
    /// Requests in one datagram. More bring nothing, and their answers have to fit the receive buffer.
    static let chunkLimit = 128
    /// Bytes in one datagram; the kernel copies it in one piece.
    static let chunkBytes = 48 << 10
    /// Answers are queued before sendmsg(2) returns, so this only bounds a kernel that breaks its word.
    static let answerTimeout: Int32 = 5000

    let channel: NetlinkChannel
    /// Bytes for the answers to a chunk of requests.
    private let receiveBuffer: Int32
    private var hasBuffers = false
    /// Shared by all sockets of the process. The reply to an echoed create goes to the namespace of the new link, where
    /// another socket of ours may have the same port number; a number of its own keeps it from being mistaken.
    private static let sequence = Atomic<UInt32>(0)

    /// Opens a socket in a namespace; nil: that of the calling thread.
    ///
    /// The calling thread moves there and back (about 20 µs): call it on a thread of one's own, see
    /// ``NetworkNamespace/run(_:)``.
    ///
    /// - Throws: `EPERM` when the thread may not enter the namespace; `EMFILE`; `ENOPROTOOPT` before Linux 4.20, which
    ///   can't filter dumps.
    public convenience init(in namespace: NetworkNamespace?) throws(KernelError) {
        try self.init(in: namespace, receiveBuffer: 2 << 20)
    }

    /// - Parameter receiveBuffer: bytes; the answers to one chunk have to fit.
    init(in namespace: NetworkNamespace?, receiveBuffer: Int32) throws(KernelError) {
        channel = try NetlinkChannel(asking: NETLINK_ROUTE, in: namespace)
        self.receiveBuffer = receiveBuffer
        try channel.enable(Int32(NETLINK_CAP_ACK))
        try channel.enable(Int32(NETLINK_EXT_ACK))
        try channel.enable(Int32(NETLINK_GET_STRICT_CHK))
        channel.expectShortAnswers()
    }

    /// The open descriptor, which is closed when this object goes.
    public var descriptor: Int32 { channel.descriptor }

    /// Sets the buffers that a batch of requests takes. A socket that only queries never needs them.
    func prepareForRequests() throws(KernelError) {
        if hasBuffers { return }
        try channel.setBuffers(receive: receiveBuffer, send: 1 << 20)
        _ = channel.expectLongAnswers()
        hasBuffers = true
    }

    /// Reserves `count` sequence numbers; the first one.
    func reserveSequence(_ count: Int = 1) -> UInt32 {
        Self.sequence.wrappingAdd(UInt32(truncatingIfNeeded: count), ordering: .relaxed).oldValue &+ 1
    }

    /// Asks again when an answer was longer than what this socket asks for at first.
    func askAgainIfLong<T>(_ ask: () throws(KernelError) -> T) throws(KernelError) -> T {
        do {
            return try ask()
        } catch {
            guard error.code == EMSGSIZE, channel.expectLongAnswers() else { throw error }
        }
        do {
            return try ask()
        } catch {
            // The kernel learns what it is asked for only as the answer is read.
            guard error.code == EMSGSIZE else { throw error }
            return try ask()
        }
    }

    /// Sends one message and calls `body` with each message that answers it, until `body` returns true.
    func exchange(_ writer: MessageWriter, _ body: (Message) throws(KernelError) -> Bool) throws(KernelError) {
        let number = reserveSequence()
        writer.header.pointee.nlmsg_seq = number
        try channel.send(UnsafeRawBufferPointer(start: writer.header, count: writer.count))
        try NetlinkChannel.withBuffer { buffer throws(KernelError) in
            while true {
                let count = try channel.receive(into: buffer, timeout: Self.answerTimeout)
                let datagram = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                for message in MessageReader(datagram) where message.header.nlmsg_seq == number {
                    if try body(message) { return }
                }
            }
        }
    }
}
