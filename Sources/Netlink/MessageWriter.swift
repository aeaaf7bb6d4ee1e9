import CLinux
import CMnl
import NetworkTypes

/// Writes one netlink message with libmnl into memory that the caller has made large enough.
///
/// ``Request/capacity`` says how large; nothing here checks again.
struct MessageWriter {
    let header: UnsafeMutablePointer<nlmsghdr>

    /// Starts a message: header with `NLM_F_REQUEST` and the given flags, no payload.
    init(at start: UnsafeMutableRawPointer, type: some BinaryInteger, flags: Int32 = 0) {
        header = mnl_nlmsg_put_header(start)
        header.pointee.nlmsg_type = UInt16(truncatingIfNeeded: type)
        header.pointee.nlmsg_flags = UInt16(truncatingIfNeeded: NLM_F_REQUEST | flags)
    }

    /// Bytes so far, header included.
    var count: Int { Int(header.pointee.nlmsg_len) }

    /// Appends a zeroed family header, or a struct within a nest, and fills it in.
    func putStruct<T>(_ type: T.Type, _ fill: (inout T) -> Void) {
        guard let place = mnl_nlmsg_put_extra_header(header, MemoryLayout<T>.size) else { return }
        fill(&place.assumingMemoryBound(to: T.self).pointee)
    }

    /// A flag: an attribute that only has to be there.
    func put(_ type: some BinaryInteger) {
        mnl_attr_put(header, UInt16(truncatingIfNeeded: type), 0, nil)
    }

    func put(_ type: some BinaryInteger, u8 value: UInt8) {
        mnl_attr_put_u8(header, UInt16(truncatingIfNeeded: type), value)
    }

    func put(_ type: some BinaryInteger, u16 value: UInt16) {
        mnl_attr_put_u16(header, UInt16(truncatingIfNeeded: type), value)
    }

    func put(_ type: some BinaryInteger, u32 value: UInt32) {
        mnl_attr_put_u32(header, UInt16(truncatingIfNeeded: type), value)
    }

    func put(_ type: some BinaryInteger, i32 value: Int32) {
        mnl_attr_put_u32(header, UInt16(truncatingIfNeeded: type), UInt32(bitPattern: value))
    }

    /// With a terminating NUL, as the kernel wants names.
    func put(_ type: some BinaryInteger, name: String) {
        mnl_attr_put_strz(header, UInt16(truncatingIfNeeded: type), name)
    }

    /// Without a NUL, as the kernel wants `IFLA_IFALIAS` and `IFLA_INFO_KIND`.
    func put(_ type: some BinaryInteger, text: String) {
        mnl_attr_put_str(header, UInt16(truncatingIfNeeded: type), text)
    }

    func put(_ type: some BinaryInteger, _ bytes: UnsafeRawBufferPointer) {
        mnl_attr_put(header, UInt16(truncatingIfNeeded: type), bytes.count, bytes.baseAddress)
    }

    func put(_ type: some BinaryInteger, _ address: IPAddress) {
        address.withNetworkOrderBytes { put(type, $0) }
    }

    func put(_ type: some BinaryInteger, _ address: MACAddress) {
        address.withBytes { put(type, $0) }
    }

    /// Appends an attribute that holds what `body` writes.
    func nest(_ type: some BinaryInteger, flagged: Bool = true, _ body: () -> Void) {
        guard let start = mnl_attr_nest_start(header, UInt16(truncatingIfNeeded: type)) else { return }
        if !flagged { start.pointee.nla_type &= CL_NLA_TYPE_MASK }
        body()
        mnl_attr_nest_end(header, start)
    }
}
