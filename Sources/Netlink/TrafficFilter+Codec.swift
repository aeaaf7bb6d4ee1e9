import CLinux
import CMnl
import Glibc

extension TrafficFilter {
    /// Where filters of what arrives are: `ffff:fff2`, which both `ingress` and `clsact` take.
    static let parent: UInt32 = 0xffff_fff2
    /// Where those of what leaves are, with `clsact`.
    private static let egress: UInt32 = 0xffff_fff3

    /// Decodes `struct tcmsg` and attributes; nil for filters elsewhere.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: tcmsg.self), header.tcm_parent >> 16 == Self.parent >> 16,
            header.tcm_parent != Self.egress
        else { return nil }
        self.init(
            linkIndex: header.tcm_ifindex, handle: header.tcm_handle,
            preference: UInt16(truncatingIfNeeded: header.tcm_info >> 16), police: nil)
        var kind: String?
        var options = UnsafeRawBufferPointer(start: nil, count: 0)
        for attribute in AttributeReader(payload.after(MemoryLayout<tcmsg>.size)) {
            switch attribute.type {
            case TCA_KIND: kind = attribute.payload.text
            case TCA_OPTIONS: options = attribute.payload
            case TCA_CHAIN: chain = attribute.payload.u32
            default: break
            }
        }
        if kind == Self.kind, UInt16(truncatingIfNeeded: header.tcm_info) == Self.allProtocols {
            police = Police(options)
        }
    }

    /// `ETH_P_ALL`, in network order.
    private static let allProtocols = UInt16(ETH_P_ALL).bigEndian

    /// Appends `struct tcmsg` and attributes.
    func write(_ writer: MessageWriter) -> MessageWriter {
        _ = writeSelector(writer)
        if let police { writer.nest(TCA_OPTIONS, flagged: false) { police.write(writer) } }
        return writer
    }

    /// Appends what names it.
    func writeSelector(_ writer: MessageWriter) -> MessageWriter {
        writer.putStruct(tcmsg.self) { header in
            header.tcm_ifindex = linkIndex
            header.tcm_handle = handle
            header.tcm_parent = Self.parent
            header.tcm_info = UInt32(preference) << 16 | UInt32(Self.allProtocols)
        }
        writer.put(TCA_KIND, name: Self.kind)
        if chain != 0 { writer.put(TCA_CHAIN, u32: chain) }
        return writer
    }
}

extension TrafficFilter.Police {
    /// What becomes of a packet below the rate: the next filter sees it, `TC_ACT_UNSPEC`.
    private static let goesOn = UInt32(bitPattern: TC_ACT_UNSPEC)

    /// `TCA_CLS_FLAGS_SKIP_HW` and `TCA_CLS_FLAGS_SKIP_SW`. The others say what the kernel made of it.
    private static let places: UInt32 = 3

    /// Takes the options of a filter with one action, this one.
    fileprivate init?(_ options: UnsafeRawBufferPointer) {
        var police: Self?
        for attribute in AttributeReader(options) {
            // Left to the card alone, or kept from it.
            let isHeld = attribute.type == TCA_MATCHALL_FLAGS && attribute.payload.u32 & Self.places != 0
            if isHeld { return nil }
            guard attribute.type == TCA_MATCHALL_ACT else { continue }
            for action in AttributeReader(attribute.payload) {
                // Another action beside it makes something else of it.
                guard police == nil, let only = Self(action: action.payload) else { return nil }
                police = only
            }
        }
        guard let police else { return nil }
        self = police
    }

    private init?(action: UnsafeRawBufferPointer) {
        var name: String?
        var parameters: tc_police?
        var (rate, result): (UInt64?, UInt32) = (nil, 0)
        for attribute in AttributeReader(action) {
            switch attribute.type {
            case TCA_ACT_KIND: name = attribute.payload.text
            case TCA_ACT_OPTIONS:
                for option in AttributeReader(attribute.payload) {
                    switch option.type {
                    case TCA_POLICE_TBF: parameters = option.payload.value(as: tc_police.self)
                    case TCA_POLICE_RATE64: rate = option.payload.value(as: UInt64.self)
                    case TCA_POLICE_RESULT: result = option.payload.u32
                    // Other limits beside it.
                    case TCA_POLICE_PEAKRATE64, TCA_POLICE_PKTRATE64, TCA_POLICE_AVRATE: return nil
                    default: break
                    }
                }
            default: break
            }
        }
        guard name == TrafficFilter.action, let parameters, parameters.action == TC_ACT_SHOT, result == Self.goesOn,
            parameters.peakrate.rate == 0, parameters.rate.overhead == 0, parameters.rate.mpu == 0
        else { return nil }
        self.init(rate: rate ?? UInt64(parameters.rate.rate), time: parameters.burst, longest: parameters.mtu)
    }

    fileprivate func write(_ writer: MessageWriter) {
        writer.nest(TCA_MATCHALL_ACT, flagged: false) {
            // The first, and only, action.
            writer.nest(1, flagged: false) {
                writer.put(TCA_ACT_KIND, name: TrafficFilter.action)
                writer.nest(TCA_ACT_OPTIONS) { writeOptions(writer) }
            }
        }
    }

    private func writeOptions(_ writer: MessageWriter) {
        writer.put(TCA_POLICE_TBF, structure: tc_police.self) { parameters in
            parameters.action = TC_ACT_SHOT
            parameters.burst = time
            parameters.mtu = longest
            parameters.rate = tc_ratespec(bytes: rate)
            parameters.rate.cell_log = cellBits
        }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { table in
            for cell in 0..<256 { table.initializeElement(at: cell, to: cellTime(cell)) }
            writer.put(TCA_POLICE_RATE, UnsafeRawBufferPointer(table))
        }
        if rate > UInt64(UInt32.max) { writer.put(TCA_POLICE_RATE64, u64: rate) }
        writer.put(TCA_POLICE_RESULT, u32: Self.goesOn)
    }

    /// By how many bits lengths of packets are shifted to places of the table of times.
    private var cellBits: UInt8 { UInt8(max(0, UInt32.bitWidth - longest.leadingZeroBitCount - 8)) }

    /// The time of a packet of the length of a cell, by whole microseconds as tc(8) has it. The kernel wants the table, and
    /// calculates by itself.
    private func cellTime(_ cell: Int) -> UInt32 {
        let microseconds = (UInt64(cell + 1) << UInt64(cellBits)) * 1_000_000 / max(rate, 1)
        let (time, isTooLong) = microseconds.multipliedReportingOverflow(by: 1000)
        return UInt32(clamping: (isTooLong ? .max : time) / UInt64(Ticks.nanoseconds))
    }
}
