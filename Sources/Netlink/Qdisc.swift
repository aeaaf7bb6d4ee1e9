import CLinux
import CMnl
import Glibc

/// A queueing discipline of a link. Source: `struct tcmsg`, linux/rtnetlink.h; linux/pkt_sched.h.
public struct Qdisc: Hashable, Sendable {
    /// `tcm_ifindex`.
    public var linkIndex: Int32
    /// `tcm_handle`: its number, in the upper 16 bits; 0: the kernel made it, and replaces it without a word.
    public var handle: UInt32
    /// `tcm_parent`: ``root``, or a class of another one.
    public var parent: UInt32
    /// `TCA_KIND` and `TCA_OPTIONS`.
    public var kind: Kind
    /// Whether packets count by other lengths than their own: `TCA_STAB`.
    public internal(set) var hasSizeTable = false

    /// Which one it is, with its settings.
    public enum Kind: Hashable, Sendable {
        /// `tbf`
        case tokenBucket(TokenBucket)
        /// `fq_codel`
        case fairQueue(FairQueue)
        /// `netem`
        case emulation(Emulation)
        /// One of which nothing but the name is known here.
        case other(String)

        /// Its name in the kernel.
        public var name: String {
            switch self {
            case .tokenBucket: TokenBucket.name
            case .fairQueue: FairQueue.name
            case .emulation: Emulation.name
            case .other(let name): name
            }
        }
    }

    /// Makes one.
    public init(linkIndex: Int32, handle: UInt32, parent: UInt32 = Qdisc.root, kind: Kind) {
        self.linkIndex = linkIndex
        self.handle = handle
        self.parent = parent
        self.kind = kind
    }

    /// `TC_H_ROOT`: what leaves by the link passes it.
    public static let root: UInt32 = 0xffff_ffff

    /// A token bucket. Source: `struct tc_tbf_qopt` and `TCA_TBF_*`.
    public struct TokenBucket: Hashable, Sendable {
        static let name = "tbf"
        /// Bytes per second.
        public var rate: UInt64
        /// Bytes that may leave at once. The kernel keeps the time that they take, in steps of 64 ns.
        public var burst: UInt32
        /// Bytes that may wait.
        public var limit: UInt32
        /// Bytes per second of a burst; 0: any.
        public var peakRate: UInt64 = 0

        /// Makes one without a peak rate.
        public init(rate: UInt64, burst: UInt32, limit: UInt32) {
            (self.rate, self.burst, self.limit) = (rate, burst, limit)
        }

        /// Whether another one is the same but for what the kernel rounds.
        func isEquivalent(to other: TokenBucket) -> Bool {
            let step = rate / (1_000_000_000 / UInt64(Ticks.nanoseconds)) + 2
            return rate == other.rate && limit == other.limit && peakRate == other.peakRate
                && UInt64(max(burst, other.burst) - min(burst, other.burst)) <= step
        }
    }

    /// Flows that take turns. Source: `TCA_FQ_CODEL_*`.
    public struct FairQueue: Hashable, Sendable {
        static let name = "fq_codel"
        /// Packets that may wait.
        public var limit: UInt32
        /// Queues for flows, which only a new one gets.
        public var flows: UInt32
        /// Bytes that a flow may send in its turn; nil: what the kernel chose.
        public var quantum: UInt32?
        /// How long packets may wait, microseconds.
        public var target: UInt32
        /// The time in which that is measured, microseconds.
        public var interval: UInt32
        /// Whether packets are marked where the ends know ECN.
        public var marks: Bool
        /// Bytes of memory.
        public var memory: UInt32
        /// `TCA_FQ_CODEL_CE_THRESHOLD`, microseconds; nil: none.
        public var markThreshold: UInt32?
        /// Whether it has more: how many packets are dropped at once.
        public internal(set) var hasMore = false

        /// Makes one.
        public init(
            limit: UInt32, flows: UInt32, quantum: UInt32?, target: UInt32, interval: UInt32, marks: Bool,
            memory: UInt32
        ) {
            (self.limit, self.flows, self.quantum, self.target) = (limit, flows, quantum, target)
            (self.interval, self.marks, self.memory) = (interval, marks, memory)
        }

        /// Whether another one is the same but for what the kernel rounds.
        func isEquivalent(to other: FairQueue) -> Bool {
            limit == other.limit && flows == other.flows && marks == other.marks && memory == other.memory
                && (quantum == nil || other.quantum == nil || quantum == other.quantum)
                && Self.isSame(target, other.target) && Self.isSame(interval, other.interval)
                && markThreshold == other.markThreshold && hasMore == other.hasMore
        }

        /// What the kernel tells of a time that it was given, microseconds. CoDel counts by 1024 ns, and rounds down both ways.
        /// Source: `codel_time_t`, net/codel.h.
        private static func told(_ time: UInt32) -> UInt64 { (UInt64(time) * 1000 & ~1023) / 1000 }

        /// A time that makes the kernel tell this one: what it tells, given back as it is, would come out shorter.
        static func given(asTold time: UInt32) -> UInt32 {
            told(time) == UInt64(time) || time == .max ? time : time + 1
        }

        private static func isSame(_ left: UInt32, _ right: UInt32) -> Bool {
            left == right || told(left) == UInt64(right) || UInt64(left) == told(right) || told(left) == told(right)
        }
    }

    /// A bad line. Shares are of 4294967295 parts. Source: `struct tc_netem_qopt` and `TCA_NETEM_*`.
    public struct Emulation: Hashable, Sendable {
        static let name = "netem"
        /// How long packets are held back, nanoseconds.
        public var delay: UInt64
        /// How much that varies, nanoseconds.
        public var jitter: UInt64
        /// Share that is lost.
        public var loss: UInt32
        /// Share that arrives twice.
        public var duplicate: UInt32
        /// Share that is damaged.
        public var corrupt: UInt32
        /// Share that is not held back.
        public var reorder: UInt32
        /// Packets that may wait.
        public var limit: UInt32
        /// Bytes per second; 0: no limit.
        public var rate: UInt64
        /// Whether it has more: correlations, distributions, models of loss, marks instead of losses, slots.
        public internal(set) var hasMore = false

        /// Makes one.
        public init(
            delay: UInt64, jitter: UInt64, loss: UInt32, duplicate: UInt32, corrupt: UInt32, reorder: UInt32,
            limit: UInt32, rate: UInt64
        ) {
            (self.delay, self.jitter, self.loss, self.duplicate) = (delay, jitter, loss, duplicate)
            (self.corrupt, self.reorder, self.limit, self.rate) = (corrupt, reorder, limit, rate)
        }
    }

    /// Whether packets are treated alike, whatever the kernel rounds.
    public func isEquivalent(to other: Qdisc) -> Bool {
        guard linkIndex == other.linkIndex, parent == other.parent, hasSizeTable == other.hasSizeTable else {
            return false
        }
        switch (kind, other.kind) {
        case (.tokenBucket(let left), .tokenBucket(let right)): return left.isEquivalent(to: right)
        case (.fairQueue(let left), .fairQueue(let right)): return left.isEquivalent(to: right)
        case (.emulation(let left), .emulation(let right)): return left == right
        case (.other(let left), .other(let right)): return left == right
        case (.tokenBucket, _), (.fairQueue, _), (.emulation, _), (.other, _): return false
        }
    }

    /// Whether it has a quantum that the kernel would not choose for a link with this MTU: that and the link's own header.
    ///
    /// Headers of links are up to 128 bytes long (`LL_MAX_HEADER`, linux/netdevice.h), some tunnels add their own.
    public func hasOwnQuantum(mtu: UInt32) -> Bool {
        guard case .fairQueue(let queue) = kind, let quantum = queue.quantum else { return false }
        return quantum < mtu || quantum - mtu > 256
    }

    /// Whether a request can make this of another one that is there; otherwise that has to go first.
    public func canFollow(_ other: Qdisc) -> Bool {
        guard handle == other.handle else { return false }
        switch (kind, other.kind) {
        case (.tokenBucket, .tokenBucket): return true
        case (.fairQueue(let new), .fairQueue(let old)):
            return new.flows == old.flows && old.markThreshold == nil && !old.hasMore
        // A table of a distribution and the like stay.
        case (.emulation, .emulation(let old)): return !old.hasMore
        case (.tokenBucket, _), (.fairQueue, _), (.emulation, _), (.other, _): return false
        }
    }
}

/// The kernel's unit of time for packets: 64 ns, as /proc/net/psched says. Source: `PSCHED_SHIFT`, net/pkt_sched.h.
enum Ticks {
    static let nanoseconds: UInt32 = 64
}
