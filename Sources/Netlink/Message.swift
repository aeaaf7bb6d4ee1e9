import CLinux
import CMnl
import Glibc

/// One message of a received datagram.
struct Message {
    let header: nlmsghdr
    /// What follows the header.
    let payload: UnsafeRawBufferPointer

    var type: Int { Int(header.nlmsg_type) }
    /// Whether the dump it belongs to was not consistent (`NLM_F_DUMP_INTR`).
    var isInterrupted: Bool { Int32(header.nlmsg_flags) & NLM_F_DUMP_INTR != 0 }
    /// Whether this is an answer without an object: an acknowledgement, an error, or the end of a dump.
    var isStatus: Bool { type == Int(NLMSG_ERROR) || type == Int(NLMSG_DONE) }

    /// The error in an `NLMSG_ERROR` or `NLMSG_DONE`; nil for a plain acknowledgement.
    var error: KernelError? {
        guard let code = payload.value(as: Int32.self), code != 0 else { return nil }
        return KernelError(errno: code, message: extendedText)
    }

    /// `NLMSGERR_ATTR_MSG`. The attributes stand behind the error code and, in an error, behind a copy of the
    /// request: of its header alone when the kernel cut it (`NLM_F_CAPPED`).
    private var extendedText: String? {
        guard Int32(header.nlmsg_flags) & NLM_F_ACK_TLVS != 0 else { return nil }
        var offset = MemoryLayout<Int32>.size
        if type == Int(NLMSG_ERROR) {
            guard let request = payload.after(offset).value(as: nlmsghdr.self) else { return nil }
            let isCapped = Int32(header.nlmsg_flags) & NLM_F_CAPPED != 0
            offset += isCapped ? MemoryLayout<nlmsghdr>.size : (Int(request.nlmsg_len) + 3) & ~3
        }
        for attribute in AttributeReader(payload.after(offset)) where attribute.type == Int(NLMSGERR_ATTR_MSG.rawValue)
        {
            return attribute.payload.text
        }
        return nil
    }
}

/// Walks the messages of a datagram. Whatever the bytes are, it stays inside them and ends.
struct MessageReader: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    mutating func next() -> Message? {
        guard let header = rest.value(as: nlmsghdr.self), let start = rest.baseAddress else { return nil }
        let length = Int(header.nlmsg_len)
        let headerLength = MemoryLayout<nlmsghdr>.size
        guard length >= headerLength, length <= rest.count else { return nil }
        let payload = UnsafeRawBufferPointer(start: start + headerLength, count: length - headerLength)
        rest = rest.after((length + 3) & ~3)
        return Message(header: header, payload: payload)
    }
}
