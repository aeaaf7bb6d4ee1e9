import CLinux
import NetworkTypes

extension Route {
    /// Decodes `struct rtmsg` and attributes.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: rtmsg.self), let family = IPAddress.Family(rawValue: header.rtm_family)
        else { return nil }
        self.init(
            destination: .any(family), table: UInt32(header.rtm_table), proto: header.rtm_protocol,
            scope: header.rtm_scope, type: header.rtm_type, tos: header.rtm_tos)
        var address = IPAddress.unspecified(family)
        var hop = NextHop(onlink: header.rtm_flags & UInt32(RTNH_F_ONLINK) != 0)
        var several = UnsafeRawBufferPointer(start: nil, count: 0)
        for attribute in AttributeReader(payload.after(MemoryLayout<rtmsg>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case RTA_DST: address = IPAddress(value, family) ?? address
            case RTA_TABLE: table = value.u32
            case RTA_PRIORITY: metric = value.u32
            case RTA_PREFSRC: source = IPAddress(value, family)
            case RTA_OIF: hop.linkIndex = value.i32
            case RTA_GATEWAY: hop.gateway = IPAddress(value, family)
            case RTA_VIA: hop.gateway = IPAddress(via: value)
            case RTA_METRICS:
                if !takeMetrics(value) { others.append(attribute) }
            case RTA_MULTIPATH: several = value
            case RTA_SRC: isForSomeSources = header.rtm_src_len > 0
            case RTA_CACHEINFO:
                // The time that is left would make it another at each look.
                if value.count >= 12, value.after(8).u32 != 0 {
                    others.append(Attribute(type: Int(RTA_EXPIRES.rawValue), payload: value.after(value.count)))
                }
            case RTA_NH_ID: nextHopID = value.u32
            case RTA_PREF: preference = value.u8
            case RTA_PAD, RTA_MARK, RTA_UID, RTA_IIF, RTA_EXPIRES, RTA_MFC_STATS: break
            default: others.append(attribute)
            }
        }
        guard let prefix = IPPrefix(address, length: header.rtm_dst_len) else { return nil }
        destination = prefix
        // The route itself is not of the type that it is told by an object that drops packets.
        if nextHopID != 0, Self.leadsNowhere(header.rtm_type) {
            type = UInt8(RTN_UNICAST)
            return
        }
        // IPv6 reports `lo` as the device of routes that lead nowhere.
        guard !Self.leadsNowhere(header.rtm_type) else { return }
        if several.count > 0 {
            nextHops = NextHop.decode(several, family, &others)
        } else if hop.linkIndex != 0 || hop.gateway != nil {
            nextHops = [hop]
        }
    }

    /// Whether the kernel made this route by itself, seen from the header alone: `RTPROT_KERNEL`, local, broadcast,
    /// anycast and multicast routes, and cached copies (`RTM_F_CLONED`).
    static func isKernels(_ payload: UnsafeRawBufferPointer) -> Bool {
        guard let header = payload.value(as: rtmsg.self) else { return false }
        return Int32(header.rtm_protocol) == RTPROT_KERNEL || (2...5).contains(header.rtm_type)
            || header.rtm_flags & UInt32(RTM_F_CLONED) != 0
    }

    private static func leadsNowhere(_ type: UInt8) -> Bool {
        (RTN_BLACKHOLE...RTN_THROW).contains(Int(type))
    }

    /// Returns false when there are metrics that are not known here.
    private mutating func takeMetrics(_ metrics: UnsafeRawBufferPointer) -> Bool {
        var isAll = true
        for attribute in AttributeReader(metrics) {
            switch attribute.type {
            case RTAX_MTU: mtu = attribute.payload.u32
            case RTAX_ADVMSS: advertisedMSS = attribute.payload.u32
            case RTAX_INITCWND: initialCongestionWindow = attribute.payload.u32
            case RTAX_INITRWND: initialReceiveWindow = attribute.payload.u32
            default: isAll = false
            }
        }
        return isAll
    }
}

extension NextHop {
    /// Decodes `RTA_MULTIPATH`: a run of `struct rtnexthop`, each with attributes of its own.
    fileprivate static func decode(
        _ bytes: UnsafeRawBufferPointer, _ family: IPAddress.Family, _ others: inout UnknownAttributes
    ) -> [NextHop] {
        var hops: [NextHop] = []
        var rest = bytes
        while let header = rest.value(as: rtnexthop.self) {
            let length = Int(header.rtnh_len)
            guard length >= MemoryLayout<rtnexthop>.size, length <= rest.count else { break }
            var hop = NextHop(
                linkIndex: header.rtnh_ifindex, weight: UInt16(header.rtnh_hops) + 1,
                onlink: Int32(header.rtnh_flags) & RTNH_F_ONLINK != 0)
            let attributes = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<rtnexthop>.size..<length])
            for attribute in AttributeReader(attributes) {
                switch attribute.type {
                case RTA_GATEWAY: hop.gateway = IPAddress(attribute.payload, family)
                case RTA_VIA: hop.gateway = IPAddress(via: attribute.payload)
                default: others.append(attribute)
                }
            }
            hops.append(hop)
            rest = rest.after((length + 3) & ~3)
        }
        return hops
    }
}

extension IPAddress {
    /// Decodes `struct rtvia`: a 16-bit family and an address.
    fileprivate init?(via bytes: UnsafeRawBufferPointer) {
        guard let family = Family(rawValue: UInt8(clamping: bytes.u16)), bytes.u16 == UInt16(family.rawValue) else {
            return nil
        }
        self.init(bytes.after(2), family)
    }
}

/// `RTA_*` is the one attribute enumeration that C gives a name, and so Swift a type.
@inline(__always)
private func ~= (pattern: rtattr_type_t, type: Int) -> Bool { Int(pattern.rawValue) == type }
