import CLinux
import Glibc

/// What a link carried since it was made: the fields of `struct rtnl_link_stats64` that a reader asks for first.
public struct LinkTraffic: Hashable, Sendable {
    /// `rx_packets`
    public var receivedPackets: UInt64 = 0
    /// `tx_packets`
    public var sentPackets: UInt64 = 0
    /// `rx_bytes`
    public var receivedBytes: UInt64 = 0
    /// `tx_bytes`
    public var sentBytes: UInt64 = 0
    /// `rx_errors`
    public var receiveErrors: UInt64 = 0
    /// `tx_errors`
    public var sendErrors: UInt64 = 0
    /// `rx_dropped`
    public var receiveDrops: UInt64 = 0
    /// `tx_dropped`
    public var sendDrops: UInt64 = 0

    /// Decodes the attribute; nil when it is too short.
    init?(_ value: UnsafeRawBufferPointer) {
        guard value.count >= 64 else { return nil }
        // They are its first eight members, in this order. Source: linux/if_link.h.
        func member(_ index: Int) -> UInt64 { value.loadUnaligned(fromByteOffset: 8 * index, as: UInt64.self) }
        (receivedPackets, sentPackets, receivedBytes, sentBytes) = (member(0), member(1), member(2), member(3))
        (receiveErrors, sendErrors, receiveDrops, sendDrops) = (member(4), member(5), member(6), member(7))
    }
}

extension RouteSocket {
    /// What the link with an index carried; nil when there is none.
    public func traffic(index: Int32) throws(KernelError) -> LinkTraffic? {
        guard index > 0 else { return nil }
        return try object(RTM_GETLINK, unless: ENODEV) { writer in
            writer.putStruct(ifinfomsg.self) { $0.ifi_index = index }
        } decode: { payload in
            for attribute in AttributeReader(payload.after(MemoryLayout<ifinfomsg>.size))
            where attribute.type == IFLA_STATS64 { return LinkTraffic(attribute.payload) }
            return nil
        }
    }
}
