import CLinux
public import NetworkTypes

/// A route that the kernel makes with an address, to what is then on the link: less than a ``Route``, and read faster.
public struct ConnectedRoute: Hashable, Sendable {
    /// `RTA_OIF`: the link.
    public var linkIndex: Int32
    /// `RTA_TABLE`.
    public var table: UInt32
    /// `RTA_DST`, `rtm_dst_len`.
    public var destination: IPPrefix

    /// Describes a route.
    public init(linkIndex: Int32, table: UInt32, destination: IPPrefix) {
        self.linkIndex = linkIndex
        self.table = table
        self.destination = destination
    }

    /// Decodes `struct rtmsg` and attributes. nil for what the kernel did not make, that is no unicast route, or that leaves by
    /// several links.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: rtmsg.self), Int32(header.rtm_protocol) == RTPROT_KERNEL,
            Int(header.rtm_type) == RTN_UNICAST, let family = IPAddress.Family(rawValue: header.rtm_family)
        else { return nil }
        var (index, table): (Int32, UInt32) = (0, UInt32(header.rtm_table))
        var address = IPAddress.unspecified(family)
        for attribute in AttributeReader(payload.after(MemoryLayout<rtmsg>.size)) {
            switch attribute.type {
            case Int(RTA_DST.rawValue): address = IPAddress(attribute.payload, family) ?? address
            case Int(RTA_TABLE.rawValue): table = attribute.payload.u32
            case Int(RTA_OIF.rawValue): index = attribute.payload.i32
            default: break
            }
        }
        guard index != 0, let destination = IPPrefix(address, length: header.rtm_dst_len) else { return nil }
        self.init(linkIndex: index, table: table, destination: destination)
    }
}
