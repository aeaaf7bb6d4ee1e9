import CLinux
import NetworkTypes

extension Report {
    /// Decodes one netlink message, header included.
    ///
    /// Safe for any bytes: reads inside `bytes` only and never traps. Alignment does not matter. A message may be
    /// followed by others; those are not looked at.
    ///
    /// - Returns: nil for messages of other types or families, cut ones, and those that lack what identifies the
    ///   object.
    public static func decode(message bytes: UnsafeRawBufferPointer) -> Report? {
        guard let header = bytes.value(as: nlmsghdr.self) else { return nil }
        let length = Int(header.nlmsg_len)
        guard length >= MemoryLayout<nlmsghdr>.size, length <= bytes.count else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: bytes[MemoryLayout<nlmsghdr>.size..<length])
        return decode(type: Int(header.nlmsg_type), payload: payload)
    }

    /// Decodes what follows the netlink header.
    static func decode(type: Int, payload: UnsafeRawBufferPointer) -> Report? {
        switch type {
        case RTM_NEWLINK: Link(payload: payload).map { .link($0) } ?? BridgePort.report(payload)
        case RTM_DELLINK: Link(payload: payload).map { .linkRemoved($0) }
        case RTM_NEWADDR: Address(payload: payload).map { .address($0) }
        case RTM_DELADDR: Address(payload: payload).map { .addressRemoved($0) }
        case RTM_NEWROUTE: Route(payload: payload).map { .route($0) }
        case RTM_DELROUTE: Route(payload: payload).map { .routeRemoved($0) }
        case RTM_NEWNEIGH:
            Neighbour(payload: payload).map { .neighbour($0) }
                ?? ForwardingEntry(payload: payload).map { .forwarding($0) }
        case RTM_DELNEIGH:
            Neighbour(payload: payload).map { .neighbourRemoved($0) }
                ?? ForwardingEntry(payload: payload).map { .forwardingRemoved($0) }
        case RTM_NEWRULE: Rule(payload: payload).map { .rule($0) }
        case RTM_DELRULE: Rule(payload: payload).map { .ruleRemoved($0) }
        case RTM_NEWQDISC: Qdisc(payload: payload).map { .qdisc($0) }
        case RTM_DELQDISC: Qdisc(payload: payload).map { .qdiscRemoved($0) }
        case RTM_NEWTFILTER: TrafficFilter(payload: payload).map { .filter($0) }
        case RTM_DELTFILTER: TrafficFilter(payload: payload).map { .filterRemoved($0) }
        case RTM_NEWNEXTHOP: NextHopObject(payload: payload).map { .nextHop($0) }
        case RTM_DELNEXTHOP: NextHopObject(payload: payload).map { .nextHopRemoved($0) }
        case RTM_NEWNETCONF: settings(payload)
        default: nil
        }
    }

    /// `struct netconfmsg` is padded to 4 bytes; the link is in `NETCONFA_IFINDEX`, negative for "all" and "default".
    private static func settings(_ payload: UnsafeRawBufferPointer) -> Report? {
        guard payload.count > 4 else { return nil }
        for attribute in AttributeReader(UnsafeRawBufferPointer(rebasing: payload[4...]))
        where attribute.type == NETCONFA_IFINDEX {
            return attribute.payload.value(as: Int32.self).flatMap { $0 > 0 ? .settings(linkIndex: $0) : nil }
        }
        return nil
    }
}
