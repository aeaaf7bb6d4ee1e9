import CLinux
import CMnl
import Glibc

/// Receives the kernel's notifications of one namespace.
///
/// Used by one thread. Put ``descriptor`` into an ``EventLoop`` and call ``drain(_:)`` when it is readable.
public final class EventSocket {
    /// The notifications to receive.
    public struct Groups: OptionSet, Sendable {
        /// `RTMGRP_*` bits: bit n-1 for group n.
        public let rawValue: UInt32

        /// Makes a set from `RTMGRP_*` bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        private init(_ group: rtnetlink_groups) { rawValue = 1 << (group.rawValue - 1) }

        /// `RTNLGRP_LINK`.
        public static let links = Groups(RTNLGRP_LINK)
        /// `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`.
        public static let addresses: Groups = [Groups(RTNLGRP_IPV4_IFADDR), Groups(RTNLGRP_IPV6_IFADDR)]
        /// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE`.
        public static let routes: Groups = [Groups(RTNLGRP_IPV4_ROUTE), Groups(RTNLGRP_IPV6_ROUTE)]
        /// `RTNLGRP_NEIGH`.
        public static let neighbours = Groups(RTNLGRP_NEIGH)
        /// `RTNLGRP_IPV4_RULE` and `RTNLGRP_IPV6_RULE`.
        public static let rules: Groups = [Groups(RTNLGRP_IPV4_RULE), Groups(RTNLGRP_IPV6_RULE)]
        /// `RTNLGRP_IPV4_NETCONF` and `RTNLGRP_IPV6_NETCONF`: settings of links, as far as the kernel reports them.
        public static let settings: Groups = [Groups(RTNLGRP_IPV4_NETCONF), Groups(RTNLGRP_IPV6_NETCONF)]
        /// `RTNLGRP_NEXTHOP`: nexthop objects.
        public static let nextHops = Groups(RTNLGRP_NEXTHOP)
        /// `RTNLGRP_TC`: qdiscs, their classes and filters.
        public static let trafficControl = Groups(RTNLGRP_TC)
        /// All that concern objects, so all but ``settings``.
        public static let all: Groups = [.links, .addresses, .routes, .neighbours, .rules, .trafficControl, .nextHops]
    }

    /// Whether a drain saw everything.
    public enum Drained: Hashable, Sendable {
        /// Every notification was delivered.
        case complete
        /// The kernel dropped notifications, as the buffer was full (`ENOBUFS`): read the state again.
        case overrun
    }

    /// Datagrams taken in one ``EventSocket/drain(_:)``, so that a flood on one socket doesn't starve the others.
    private static let drainLimit = 4096

    private let channel: NetlinkChannel
    private var isOverrun = false

    /// Opens a socket in a namespace, nil: the calling thread's, and joins the groups.
    ///
    /// The calling thread moves there and back, see ``NetworkNamespace/run(_:)``.
    ///
    /// - Parameter receiveBuffer: bytes of notifications the kernel may queue; a notification takes up about 1 KiB
    ///   of it. Above `net.core.rmem_max` it needs `CAP_NET_ADMIN`.
    public init(
        in namespace: NetworkNamespace?, groups: Groups = .all, receiveBuffer: Int32 = 1 << 20
    ) throws(KernelError) {
        channel = try NetlinkChannel(in: namespace, groups: groups.rawValue, receiveBuffer: receiveBuffer)
    }

    /// Joins these groups and leaves all others, at the cost of one system call.
    ///
    /// Every notification of any namespace passes every socket on the machine that is in any group, inside the system
    /// call that caused it: about 5 ns for each socket. With a thousand sockets a new veth pair takes twice as
    /// long. So leave all groups (`[]`) for changes by the thousand, and read the state again after joining.
    public func subscribe(to groups: Groups) throws(KernelError) {
        try channel.join(groups: groups.rawValue)
    }

    /// For epoll(7): readable when notifications wait. Non-blocking; owned by this object.
    public var descriptor: Int32 { channel.descriptor }

    /// Whether notifications wait, or some were lost. Costs one system call.
    public var isWaiting: Bool {
        var entry = pollfd(fd: channel.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) != 0
    }

    /// Delivers the notifications that wait. Never blocks.
    ///
    /// After an overrun every call returns `.overrun` until the queue was seen empty, because the kernel drops
    /// silently till then. The state must be read after the call that returned `.overrun`.
    public func drain(_ each: (Report) -> Void) -> Drained {
        NetlinkChannel.withBuffer { drain($0, each) }
    }

    private func drain(_ buffer: UnsafeMutableRawBufferPointer, _ each: (Report) -> Void) -> Drained {
        for _ in 0..<Self.drainLimit {
            let count = channel.receive(into: buffer)
            if count == -Int(EAGAIN) {
                defer { isOverrun = false }
                return isOverrun ? .overrun : .complete
            }
            guard count >= 0 else {
                // ENOBUFS; or EMSGSIZE, a notification longer than the buffer: lost as well.
                isOverrun = true
                continue
            }
            for message in MessageReader(UnsafeRawBufferPointer(rebasing: buffer[..<count])) {
                if let report = Report.decode(type: message.type, payload: message.payload) { each(report) }
            }
        }
        return isOverrun ? .overrun : .complete
    }
}
