import CLinux
import CMnl
import Glibc

extension RouteSocket {
    /// The number by which this socket's namespace calls another, as in `IFLA_LINK_NETNSID`; nil when it has none.
    ///
    /// - Parameter descriptor: an open descriptor of the other namespace.
    public func namespaceID(of descriptor: Int32) throws(KernelError) -> Int32? {
        try withRequest { start throws(KernelError) in
            let writer = MessageWriter(at: start, type: RTM_GETNSID)
            writer.putStruct(rtgenmsg.self) { _ in }
            writer.put(NETNSA_FD, i32: descriptor)
            var result: Int32?
            try exchange(writer) { message throws(KernelError) in
                if message.isStatus {
                    if let error = message.error { throw error }
                    return true
                }
                for attribute in AttributeReader(message.payload.after(4)) where attribute.type == NETNSA_NSID {
                    result = attribute.payload.i32
                }
                return true
            }
            return result.flatMap { $0 >= 0 ? $0 : nil }
        }
    }

    /// Gives another namespace a number in this one, the kernel's choice, and returns it; the one it has if any.
    ///
    /// - Parameter descriptor: an open descriptor of the other namespace.
    public func assignNamespaceID(to descriptor: Int32) throws(KernelError) -> Int32 {
        if let number = try namespaceID(of: descriptor) { return number }
        try withRequest { start throws(KernelError) in
            let writer = MessageWriter(at: start, type: RTM_NEWNSID, flags: NLM_F_ACK)
            writer.putStruct(rtgenmsg.self) { _ in }
            writer.put(NETNSA_NSID, i32: -1)
            writer.put(NETNSA_FD, i32: descriptor)
            try exchange(writer) { message throws(KernelError) in
                // EEXIST: the kernel gave it one in between.
                if let error = message.error, error.code != EEXIST { throw error }
                return true
            }
        }
        guard let number = try namespaceID(of: descriptor) else { throw KernelError(code: ENOENT) }
        return number
    }
}
