import CLinux
import CMnl
import NetworkTypes

extension Route {
    /// Appends `struct rtmsg` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        writeHeader(writer, scope: scope)
        writeDestination(writer)
        if let source { writer.put(RTA_PREFSRC.rawValue, source) }
        let metrics = [
            (RTAX_MTU, mtu), (RTAX_ADVMSS, advertisedMSS), (RTAX_INITCWND, initialCongestionWindow),
            (RTAX_INITRWND, initialReceiveWindow),
        ]
        if metrics.contains(where: { $0.1 != 0 }) {
            writer.nest(RTA_METRICS.rawValue) {
                for (type, value) in metrics where value != 0 { writer.put(type, u32: value) }
            }
        }
        if preference != 0 { writer.put(RTA_PREF.rawValue, u8: preference) }
        writeNextHops(writer)
        return writer
    }

    /// Appends what names the route: scope, preferred source and MTU don't select.
    ///
    /// The kernel takes metric 0 of an IPv4 route for "any", and then removes the best of those that match.
    func writeSelector(_ writer: MessageWriter) -> MessageWriter {
        writeHeader(writer, scope: UInt8(RT_SCOPE_NOWHERE.rawValue))
        writeDestination(writer)
        writeNextHops(writer)
        return writer
    }

    private func writeHeader(_ writer: MessageWriter, scope: UInt8) {
        writer.putStruct(rtmsg.self) { header in
            header.rtm_family = destination.family.rawValue
            header.rtm_dst_len = destination.length
            header.rtm_tos = tos
            header.rtm_table = table < 256 ? UInt8(table) : 0
            header.rtm_protocol = proto
            header.rtm_scope = scope
            header.rtm_type = type
            if nextHopID == 0, nextHops.count == 1, nextHops[0].onlink { header.rtm_flags = UInt32(RTNH_F_ONLINK) }
        }
    }

    private func writeDestination(_ writer: MessageWriter) {
        if destination.length > 0 { writer.put(RTA_DST.rawValue, destination.address) }
        if table > 255 { writer.put(RTA_TABLE.rawValue, u32: table) }
        if metric != 0 { writer.put(RTA_PRIORITY.rawValue, u32: metric) }
    }

    private func writeNextHops(_ writer: MessageWriter) {
        if nextHopID != 0 {
            writer.put(RTA_NH_ID.rawValue, u32: nextHopID)
        } else if nextHops.count == 1 {
            let hop = nextHops[0]
            if let gateway = hop.gateway { write(gateway: gateway, writer) }
            if hop.linkIndex != 0 { writer.put(RTA_OIF.rawValue, i32: hop.linkIndex) }
        } else if nextHops.count > 1 {
            // The kernel parses this attribute by hand and iproute2 sends it without the nested flag.
            writer.nest(RTA_MULTIPATH.rawValue, flagged: false) {
                for hop in nextHops { write(hop, writer) }
            }
        }
    }

    private func write(_ hop: NextHop, _ writer: MessageWriter) {
        let start = writer.count
        writer.putStruct(rtnexthop.self) { header in
            header.rtnh_ifindex = hop.linkIndex
            header.rtnh_flags = hop.onlink ? UInt8(RTNH_F_ONLINK) : 0
            header.rtnh_hops = UInt8(clamping: Int(hop.weight) - 1)
        }
        if let gateway = hop.gateway { write(gateway: gateway, writer) }
        let place = UnsafeMutableRawPointer(writer.header) + start
        place.storeBytes(of: UInt16(truncatingIfNeeded: writer.count - start), as: UInt16.self)
    }

    /// A gateway of the other family goes into `RTA_VIA`: `struct rtvia`, family and address.
    private func write(gateway: IPAddress, _ writer: MessageWriter) {
        guard gateway.family != destination.family else {
            writer.put(RTA_GATEWAY.rawValue, gateway)
            return
        }
        gateway.withNetworkOrderBytes { address in
            withUnsafeTemporaryAllocation(byteCount: 2 + address.count, alignment: 2) { via in
                via.storeBytes(of: UInt16(gateway.family.rawValue), as: UInt16.self)
                UnsafeMutableRawBufferPointer(rebasing: via[2...]).copyMemory(from: address)
                writer.put(RTA_VIA.rawValue, UnsafeRawBufferPointer(via))
            }
        }
    }
}
