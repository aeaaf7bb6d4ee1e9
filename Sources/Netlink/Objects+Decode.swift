import CLinux
import NetworkTypes

extension Address {
    /// Decodes `struct ifaddrmsg` and attributes.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: ifaddrmsg.self),
            let family = IPAddress.Family(rawValue: header.ifa_family)
        else { return nil }
        var local: IPAddress?
        var other: IPAddress?
        var flags = UInt32(header.ifa_flags)
        var proto: UInt8 = 0
        var label: String?
        var isDeprecated = false
        for attribute in AttributeReader(payload.after(MemoryLayout<ifaddrmsg>.size)) {
            switch attribute.type {
            case IFA_LOCAL: local = IPAddress(attribute.payload, family)
            case IFA_ADDRESS: other = IPAddress(attribute.payload, family)
            case IFA_FLAGS: flags = attribute.payload.u32
            case IFA_PROTO: proto = attribute.payload.u8
            // `struct ifa_cacheinfo`: preferred for 0 seconds, valid for ever.
            case IFA_CACHEINFO
            where attribute.payload.count >= 8 && attribute.payload.u32 == 0 && attribute.payload.after(4).u32 == .max:
                isDeprecated = true
            case IFA_LABEL where attribute.payload.contains(UInt8(ascii: ":")): label = attribute.payload.text
            default: break
            }
        }
        // IPv6 sends IFA_LOCAL for point-to-point addresses only.
        guard let own = local ?? other, let prefix = IPPrefix(own, length: header.ifa_prefixlen) else { return nil }
        self.init(
            linkIndex: Int32(bitPattern: header.ifa_index), local: prefix, peer: other == own ? nil : other,
            scope: header.ifa_scope, flags: flags, proto: proto)
        if isDeprecated { self.flags |= Self.deprecated }
        self.label = label
    }
}

extension Neighbour {
    /// Decodes `struct ndmsg` and attributes; nil for other families, such as a bridge's forwarding entries.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: ndmsg.self), let family = IPAddress.Family(rawValue: header.ndm_family)
        else { return nil }
        var destination: IPAddress?
        var mac: MACAddress?
        var proto: UInt8 = 0
        for attribute in AttributeReader(payload.after(MemoryLayout<ndmsg>.size)) {
            switch attribute.type {
            case NDA_DST: destination = IPAddress(attribute.payload, family)
            case NDA_LLADDR: mac = MACAddress(attribute.payload)
            case NDA_PROTOCOL: proto = attribute.payload.u8
            default: break
            }
        }
        guard let destination else { return nil }
        self.init(
            linkIndex: header.ndm_ifindex, destination: destination, mac: mac, state: header.ndm_state,
            flags: header.ndm_flags, proto: proto)
    }
}

extension Rule {
    /// Decodes `struct fib_rule_hdr` and attributes.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: fib_rule_hdr.self), let family = IPAddress.Family(rawValue: header.family)
        else { return nil }
        self.init(
            family: family, priority: 0, table: UInt32(header.table), action: header.action,
            invert: header.flags & UInt32(FIB_RULE_INVERT) != 0)
        tos = header.tos
        var source = IPAddress.unspecified(family)
        var destination = source
        for attribute in AttributeReader(payload.after(MemoryLayout<fib_rule_hdr>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case FRA_PRIORITY: priority = value.u32
            case FRA_SRC: source = IPAddress(value, family) ?? source
            case FRA_DST: destination = IPAddress(value, family) ?? destination
            case FRA_IIFNAME: inputInterface = value.text
            case FRA_OIFNAME: outputInterface = value.text
            case FRA_FWMARK: mark = value.u32
            case FRA_FWMASK: mask = value.u32
            case FRA_TABLE: table = value.u32
            case FRA_PROTOCOL: proto = value.u8
            case FRA_IP_PROTO: ipProtocol = value.u8
            case FRA_SPORT_RANGE: sourcePorts = value.portRange
            case FRA_DPORT_RANGE: destinationPorts = value.portRange
            // All ones: not set, but told.
            case FRA_SUPPRESS_PREFIXLEN: suppressedLength = value.u32 == .max ? nil : value.u32
            case FRA_UID_RANGE: users = value.numberRange
            case FRA_L3MDEV: isOfVRF = value.u8 != 0
            // FRA_SPORT_MASK and FRA_DPORT_MASK, which older headers lack: of a single port, all of it counts.
            case 28 where value.u16 == .max, 29 where value.u16 == .max: break
            case FRA_PAD: break
            default: others.append(attribute)
            }
        }
        if header.src_len > 0 { from = IPPrefix(source, length: header.src_len) }
        if header.dst_len > 0 { to = IPPrefix(destination, length: header.dst_len) }
    }

    /// Whether the kernel made a rule by itself (`RTPROT_KERNEL`), decided without decoding it.
    static func isKernels(_ payload: UnsafeRawBufferPointer) -> Bool {
        let attributes = AttributeReader(payload.after(MemoryLayout<fib_rule_hdr>.size))
        return attributes.contains { $0.type == FRA_PROTOCOL && Int32($0.payload.u8) == RTPROT_KERNEL }
    }
}

extension IPAddress {
    /// An address of the family its message announces; nil when the payload has another length.
    @inline(__always)
    init?(_ payload: UnsafeRawBufferPointer, _ family: Family) {
        guard payload.count == (family == .v4 ? 4 : 16) else { return nil }
        self.init(networkOrder: payload)
    }
}

extension UnsafeRawBufferPointer {
    /// `struct fib_rule_port_range`; nil when it is cut or its ends are the wrong way round.
    fileprivate var portRange: ClosedRange<UInt16>? {
        let last = after(2).u16
        return count >= 4 && u16 <= last ? u16...last : nil
    }

    /// `struct fib_rule_uid_range`; nil as above.
    fileprivate var numberRange: ClosedRange<UInt32>? {
        let last = after(4).u32
        return count >= 8 && u32 <= last ? u32...last : nil
    }
}
