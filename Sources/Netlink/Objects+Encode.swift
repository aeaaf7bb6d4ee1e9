import CLinux
import CMnl
import NetworkTypes

extension Address {
    /// Appends `struct ifaddrmsg` and attributes. Like ip-address(8) it sets no broadcast address.
    func write(_ writer: MessageWriter) -> MessageWriter {
        // What makes it deprecated is its lifetime.
        let flags = flags & ~Self.deprecated
        writer.putStruct(ifaddrmsg.self) { header in
            header.ifa_family = local.family.rawValue
            header.ifa_prefixlen = local.length
            header.ifa_flags = UInt8(exactly: flags) ?? 0
            header.ifa_scope = scope
            header.ifa_index = UInt32(bitPattern: linkIndex)
        }
        writer.put(IFA_LOCAL, local.address)
        writer.put(IFA_ADDRESS, peer ?? local.address)
        if let label { writer.put(IFA_LABEL, name: label) }
        if self.flags & Self.deprecated != 0 {
            // `struct ifa_cacheinfo`: preferred for 0 seconds, valid for ever.
            withUnsafeBytes(of: (UInt32(0), UInt32.max, UInt32(0), UInt32(0))) { writer.put(IFA_CACHEINFO, $0) }
        }
        // The header has room for the first eight flags only.
        if flags > 255 { writer.put(IFA_FLAGS, u32: flags) }
        if proto != 0 { writer.put(IFA_PROTO, u8: proto) }
        return writer
    }
}

extension Neighbour {
    /// Appends `struct ndmsg` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        // Without NUD_PERMANENT the kernel forgets a proxy entry when the link loses its carrier. It reports no state
        // for these entries, so one read back and sent again would lack it.
        writeHeader(writer, state: flags & Self.proxy != 0 ? Self.permanent : state)
        writer.put(NDA_DST, destination)
        if let mac { writer.put(NDA_LLADDR, mac) }
        if proto != 0 { writer.put(NDA_PROTOCOL, u8: proto) }
        return writer
    }

    /// Appends what names the entry; its state and link address don't select.
    func writeSelector(_ writer: MessageWriter) -> MessageWriter {
        writeHeader(writer, state: 0)
        writer.put(NDA_DST, destination)
        return writer
    }

    private func writeHeader(_ writer: MessageWriter, state: UInt16) {
        writer.putStruct(ndmsg.self) { header in
            header.ndm_family = destination.family.rawValue
            header.ndm_ifindex = linkIndex
            header.ndm_state = state
            header.ndm_flags = flags
        }
    }
}

extension Rule {
    /// Appends `struct fib_rule_hdr` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(fib_rule_hdr.self) { header in
            header.family = family.rawValue
            header.src_len = from?.length ?? 0
            header.dst_len = to?.length ?? 0
            header.tos = tos
            header.table = table < 256 ? UInt8(table) : 0
            header.action = action
            header.flags = invert ? UInt32(FIB_RULE_INVERT) : 0
        }
        if let from, from.length > 0 { writer.put(FRA_SRC, from.address) }
        if let to, to.length > 0 { writer.put(FRA_DST, to.address) }
        if let inputInterface { writer.put(FRA_IIFNAME, name: inputInterface) }
        if let outputInterface { writer.put(FRA_OIFNAME, name: outputInterface) }
        writer.put(FRA_PRIORITY, u32: priority)
        if mark != 0 || mask != 0 { writer.put(FRA_FWMARK, u32: mark) }
        // No mask: the kernel takes all ones.
        if mask != 0 { writer.put(FRA_FWMASK, u32: mask) }
        if table > 255 { writer.put(FRA_TABLE, u32: table) }
        if proto != 0 { writer.put(FRA_PROTOCOL, u8: proto) }
        if ipProtocol != 0 { writer.put(FRA_IP_PROTO, u8: ipProtocol) }
        if let sourcePorts { writer.put(FRA_SPORT_RANGE, sourcePorts) }
        if let destinationPorts { writer.put(FRA_DPORT_RANGE, destinationPorts) }
        if let users {
            withUnsafeBytes(of: (users.lowerBound, users.upperBound)) { writer.put(FRA_UID_RANGE, $0) }
        }
        if let suppressedLength { writer.put(FRA_SUPPRESS_PREFIXLEN, u32: suppressedLength) }
        if isOfVRF { writer.put(FRA_L3MDEV, u8: 1) }
        others.forEach { writer.put($0.type, $0.payload) }
        return writer
    }
}

extension MessageWriter {
    /// `struct fib_rule_port_range`: first and last, each of 16 bits in host byte order.
    fileprivate func put(_ type: Int, _ ports: ClosedRange<UInt16>) {
        withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 2) { range in
            range.initializeElement(at: 0, to: ports.lowerBound)
            range.initializeElement(at: 1, to: ports.upperBound)
            put(type, UnsafeRawBufferPointer(range))
        }
    }
}
