import CLinux
import CMnl

/// A filter of what arrives by a link, at its qdisc `ingress` or `clsact`. Source: `struct tcmsg`, linux/pkt_cls.h.
public struct TrafficFilter: Hashable, Sendable {
    /// `tcm_ifindex`.
    public var linkIndex: Int32
    /// `tcm_handle`: its number among those of one preference; 0 where all of them went.
    public var handle: UInt32
    /// The upper half of `tcm_info`: where it stands among others; the lowest is asked first.
    public var preference: UInt16
    /// `TCA_CHAIN`: the chain that it is in. Packets start in chain 0.
    public internal(set) var chain: UInt32 = 0
    /// The rate that it limits, if it is of the kind `matchall` and does nothing else; nil: anything else.
    public var police: Police?

    /// Makes one in chain 0.
    public init(linkIndex: Int32, handle: UInt32, preference: UInt16, police: Police?) {
        (self.linkIndex, self.handle, self.preference, self.police) = (linkIndex, handle, preference, police)
    }

    /// What the kernel lets exist once at a link.
    public var id: ID { ID(chain: chain, preference: preference, handle: handle) }

    /// What tells it from other filters of a link.
    public struct ID: Hashable, Sendable {
        /// The chain.
        public let chain: UInt32
        /// The preference.
        public let preference: UInt16
        /// The handle.
        public let handle: UInt32

        /// Whether the removal of this one takes the other along: without a handle, all of a preference go.
        public func covers(_ other: ID) -> Bool {
            chain == other.chain && preference == other.preference && (handle == 0 || handle == other.handle)
        }
    }

    /// A limit of the rate: what is above it is dropped, what is below goes on to the next filter. Source: `struct tc_police`.
    public struct Police: Hashable, Sendable {
        /// Bytes per second.
        public var rate: UInt64
        /// The time that a burst takes, in steps of 64 ns.
        public var time: UInt32
        /// Bytes of the longest packet that passes.
        public var longest: UInt32

        /// Makes one for a rate in bytes per second and a burst in bytes.
        ///
        /// No packet is longer than the burst. It has to be said: the kernel would take 2040 bytes, and drop what the card has
        /// put together from several packets.
        public init(rate: UInt64, burst: UInt32) {
            let time = UInt64(burst) * 1_000_000_000 / max(rate, 1) / UInt64(Ticks.nanoseconds)
            (self.rate, self.time, longest) = (rate, UInt32(clamping: time), max(burst, 2047))
        }

        init(rate: UInt64, time: UInt32, longest: UInt32) {
            (self.rate, self.time, self.longest) = (rate, time, longest)
        }

        /// Bytes that may arrive at once.
        public var burst: UInt32 {
            if Police(rate: rate, burst: longest).time == time { return longest }
            let (high, low) = rate.multipliedFullWidth(by: UInt64(time) * UInt64(Ticks.nanoseconds))
            let second: UInt64 = 1_000_000_000
            guard high < second else { return .max }
            // The shortest one that takes so long, as times were rounded down.
            let (whole, rest) = second.dividingFullWidth((high, low))
            return UInt32(clamping: rest == 0 || whole == .max ? whole : whole + 1)
        }
    }

    static let kind = "matchall"
    static let action = "police"
}

extension Qdisc {
    /// `TC_H_INGRESS`: what arrives by the link passes it.
    public static let ingress: UInt32 = 0xffff_fff1

    /// The qdisc `ingress` of a link, which takes filters.
    public static func ingress(ofLink index: Int32) -> Qdisc {
        Qdisc(linkIndex: index, handle: 0xffff_0000, parent: ingress, kind: .other("ingress"))
    }
}
