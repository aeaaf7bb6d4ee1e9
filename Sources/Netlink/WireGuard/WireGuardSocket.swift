import CLinux
import CMnl
import Glibc

/// Reads and sets WireGuard links of one namespace, by generic netlink. Used by one thread.
///
/// Source: linux/wireguard.h, linux/genetlink.h.
public final class WireGuardSocket {
    private let channel: NetlinkChannel
    private var sequence: UInt32 = 0
    /// The number that the kernel gave to the family `wireguard`; 0: not asked for yet.
    private var family: UInt16 = 0

    /// Opens a socket in a namespace; nil: that of the calling thread.
    ///
    /// - Throws: `EPERM` when the thread may not enter the namespace; `EMFILE`; `ENOENT` when the kernel has no WireGuard.
    public init(in namespace: NetworkNamespace?) throws(KernelError) {
        channel = try NetlinkChannel(asking: NETLINK_GENERIC, in: namespace)
        try channel.enable(Int32(NETLINK_EXT_ACK))
        try channel.enable(Int32(NETLINK_CAP_ACK))
        family = try resolve()
    }

    /// What the link with an index has.
    ///
    /// - Throws: `ENODEV` when there is no such link; `EOPNOTSUPP` when it is none of WireGuard; `EBUSY` when others changed it
    ///   each of 10 times; `EPERM` without `CAP_NET_ADMIN` in the namespace.
    public func device(index: Int32) throws(KernelError) -> WireGuardDevice {
        for _ in 0..<RouteSocket.dumpAttempts {
            var device = WireGuardDevice()
            var isConsistent = true
            try withMemory { memory throws(KernelError) in
                let writer = MessageWriter(at: memory, type: family, flags: NLM_F_DUMP)
                writer.putStruct(genlmsghdr.self) { header in
                    header.cmd = UInt8(truncatingIfNeeded: WG_CMD_GET_DEVICE.rawValue)
                    header.version = UInt8(truncatingIfNeeded: WG_GENL_VERSION)
                }
                writer.put(WGDEVICE_A_IFINDEX.rawValue, i32: index)
                try exchange(writer) { message in
                    if message.isInterrupted { isConsistent = false }
                    device.takeIn(message.payload)
                }
            }
            if isConsistent { return device }
        }
        throw KernelError(code: EBUSY, message: "the dump was interrupted \(RouteSocket.dumpAttempts) times")
    }

    /// Changes the link with an index. What is long goes in several messages; after an error those before it hold.
    ///
    /// - Throws: what the kernel answers: `ENODEV`; `EADDRINUSE` when somebody else listens to the port; `EPERM`.
    public func set(_ change: WireGuardChange, index: Int32) throws(KernelError) {
        try withMemory { memory throws(KernelError) in
            // Keys are not left behind in memory that is free.
            defer { explicit_bzero(memory, WireGuardEncoder.limit) }
            var encoder = WireGuardEncoder(change, of: index, family: family)
            while let writer = encoder.next(at: memory) { try exchange(writer) { _ in } }
        }
    }

    private func withMemory<Result>(
        _ body: (UnsafeMutableRawPointer) throws(KernelError) -> Result
    ) throws(KernelError) -> Result {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: WireGuardEncoder.limit, alignment: 8)
        defer { memory.deallocate() }
        return try body(memory)
    }

    /// Asks for the number of the family, which also has the kernel load its module.
    private func resolve() throws(KernelError) -> UInt16 {
        var number: UInt16 = 0
        try withMemory { memory throws(KernelError) in
            let writer = MessageWriter(at: memory, type: GENL_ID_CTRL, flags: NLM_F_ACK)
            writer.putStruct(genlmsghdr.self) { header in
                header.cmd = UInt8(truncatingIfNeeded: CTRL_CMD_GETFAMILY)
                header.version = 1
            }
            writer.put(CTRL_ATTR_FAMILY_NAME, name: WG_GENL_NAME)
            try exchange(writer) { message in
                for attribute in AttributeReader(message.payload.after(MemoryLayout<genlmsghdr>.size))
                where attribute.type == Int(CTRL_ATTR_FAMILY_ID) { number = attribute.payload.u16 }
            }
        }
        guard number != 0 else { throw KernelError(code: ENOENT, message: "this kernel has no WireGuard") }
        return number
    }

    /// Sends a message and takes the answers up to the one that ends them.
    private func exchange(_ writer: MessageWriter, _ each: (Message) -> Void) throws(KernelError) {
        sequence &+= 1
        let number = sequence
        writer.header.pointee.nlmsg_seq = number
        try channel.send(UnsafeRawBufferPointer(start: writer.header, count: writer.count))
        try NetlinkChannel.withBuffer { buffer throws(KernelError) in
            // The kernel's answers hold keys, too.
            defer { if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) } }
            while true {
                let count = try channel.receive(into: buffer, timeout: RouteSocket.answerTimeout)
                let datagram = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                for message in MessageReader(datagram) where message.header.nlmsg_seq == number {
                    if message.isStatus {
                        if let error = message.error { throw error }
                        return
                    }
                    each(message)
                }
            }
        }
    }
}
