import CLinux
import CMnl
import Glibc

extension Qdisc {
    /// Decodes `struct tcmsg` and attributes; nil without a kind.
    init?(payload: UnsafeRawBufferPointer) {
        guard let header = payload.value(as: tcmsg.self) else { return nil }
        var name: String?
        var options = UnsafeRawBufferPointer(start: nil, count: 0)
        var hasSizeTable = false
        for attribute in AttributeReader(payload.after(MemoryLayout<tcmsg>.size)) {
            switch attribute.type {
            case TCA_KIND: name = attribute.payload.text
            case TCA_OPTIONS: options = attribute.payload
            case TCA_STAB: hasSizeTable = true
            default: break
            }
        }
        guard let name else { return nil }
        let kind: Kind? =
            switch name {
            case TokenBucket.name: TokenBucket(options).map { .tokenBucket($0) }
            case FairQueue.name: .fairQueue(FairQueue(options))
            case Emulation.name: Emulation(options).map { .emulation($0) }
            default: nil
            }
        self.init(
            linkIndex: header.tcm_ifindex, handle: header.tcm_handle, parent: header.tcm_parent,
            kind: kind ?? .other(name))
        self.hasSizeTable = hasSizeTable
    }

    /// Appends `struct tcmsg` and attributes.
    ///
    /// - Parameter isChange: Whether it is there, and what is not said of it would stay.
    func write(_ writer: MessageWriter, isChange: Bool) -> MessageWriter {
        writeHeader(writer)
        writer.put(TCA_KIND, name: kind.name)
        if case .other = kind { return writer }
        writer.nest(TCA_OPTIONS, flagged: false) {
            switch kind {
            case .tokenBucket(let bucket): bucket.write(writer)
            case .fairQueue(let queue): queue.write(writer, isChange: isChange)
            case .emulation(let line): line.write(writer, isChange: isChange)
            case .other: break
            }
        }
        return writer
    }

    /// Appends what names it.
    func writeSelector(_ writer: MessageWriter) -> MessageWriter {
        writeHeader(writer)
        // There is one at most, so the kernel takes any handle; the kind keeps it from taking another one that is there by now.
        if parent == Self.ingress { writer.put(TCA_KIND, name: kind.name) }
        return writer
    }

    private func writeHeader(_ writer: MessageWriter) {
        writer.putStruct(tcmsg.self) { header in
            header.tcm_ifindex = linkIndex
            header.tcm_handle = handle
            header.tcm_parent = parent
        }
    }
}

extension Qdisc.TokenBucket {
    fileprivate init?(_ options: UnsafeRawBufferPointer) {
        var parameters: tc_tbf_qopt?
        var (rate, peak): (UInt64?, UInt64?)
        var size: UInt32?
        for attribute in AttributeReader(options) {
            switch attribute.type {
            case TCA_TBF_PARMS: parameters = attribute.payload.value(as: tc_tbf_qopt.self)
            case TCA_TBF_RATE64: rate = attribute.payload.value(as: UInt64.self)
            // Of requests; the kernel tells the time alone.
            case TCA_TBF_BURST: size = attribute.payload.u32
            case TCA_TBF_PRATE64: peak = attribute.payload.value(as: UInt64.self)
            default: break
            }
        }
        guard let parameters else { return nil }
        let bytes = rate ?? UInt64(parameters.rate.rate)
        // The time that a burst takes says how long it is.
        let (time, isTooLong) = UInt64(parameters.buffer).multipliedReportingOverflow(by: UInt64(Ticks.nanoseconds))
        let (high, low) = bytes.multipliedFullWidth(by: isTooLong ? .max : time)
        let second: UInt64 = 1_000_000_000
        let burst = high < second ? second.dividingFullWidth((high, low)).quotient : .max
        self.init(rate: bytes, burst: size ?? UInt32(clamping: burst), limit: parameters.limit)
        peakRate = peak ?? UInt64(parameters.peakrate.rate)
    }

    fileprivate func write(_ writer: MessageWriter) {
        writer.put(TCA_TBF_PARMS, structure: tc_tbf_qopt.self) { parameters in
            parameters.rate = tc_ratespec(bytes: rate)
            parameters.limit = limit
            // As tc(8) has it, by microseconds. The size beside it counts.
            let microseconds = UInt64(burst) * 1_000_000 / max(UInt64(parameters.rate.rate), 1)
            let (time, isTooLong) = microseconds.multipliedReportingOverflow(by: 1000)
            parameters.buffer = UInt32(clamping: (isTooLong ? .max : time) / UInt64(Ticks.nanoseconds))
        }
        writer.put(TCA_TBF_BURST, u32: burst)
        if rate > UInt64(UInt32.max) { writer.put(TCA_TBF_RATE64, u64: rate) }
    }
}

extension Qdisc.FairQueue {
    /// What is not said is as the kernel has it without a word.
    fileprivate init(_ options: UnsafeRawBufferPointer) {
        self.init(
            limit: 10_240, flows: 1024, quantum: nil, target: 5000, interval: 100_000, marks: true, memory: 32 << 20)
        for attribute in AttributeReader(options) {
            let value = attribute.payload.u32
            switch attribute.type {
            case TCA_FQ_CODEL_LIMIT: limit = value
            case TCA_FQ_CODEL_FLOWS: flows = value
            case TCA_FQ_CODEL_QUANTUM: quantum = value
            case TCA_FQ_CODEL_TARGET: target = Self.given(asTold: value)
            case TCA_FQ_CODEL_INTERVAL: interval = Self.given(asTold: value)
            case TCA_FQ_CODEL_ECN: marks = value != 0
            case TCA_FQ_CODEL_MEMORY_LIMIT: memory = value
            case TCA_FQ_CODEL_CE_THRESHOLD: markThreshold = Self.given(asTold: value)
            // The kernel tells its own number, too.
            case TCA_FQ_CODEL_DROP_BATCH_SIZE: hasMore = value != 64
            default: break
            }
        }
    }

    fileprivate func write(_ writer: MessageWriter, isChange: Bool) {
        writer.put(TCA_FQ_CODEL_LIMIT, u32: limit)
        // The kernel refuses even the number that it has.
        if !isChange { writer.put(TCA_FQ_CODEL_FLOWS, u32: flows) }
        if let quantum { writer.put(TCA_FQ_CODEL_QUANTUM, u32: quantum) }
        writer.put(TCA_FQ_CODEL_INTERVAL, u32: interval)
        writer.put(TCA_FQ_CODEL_TARGET, u32: target)
        writer.put(TCA_FQ_CODEL_ECN, u32: marks ? 1 : 0)
        if let markThreshold { writer.put(TCA_FQ_CODEL_CE_THRESHOLD, u32: markThreshold) }
        writer.put(TCA_FQ_CODEL_MEMORY_LIMIT, u32: memory)
    }
}

extension Qdisc.Emulation {
    fileprivate init?(_ options: UnsafeRawBufferPointer) {
        guard let parameters = options.value(as: tc_netem_qopt.self) else { return nil }
        let step = UInt64(Ticks.nanoseconds)
        self.init(
            delay: UInt64(parameters.latency) * step, jitter: UInt64(parameters.jitter) * step, loss: parameters.loss,
            duplicate: parameters.duplicate, corrupt: 0, reorder: 0, limit: parameters.limit, rate: 0)
        var correlations: UInt32 = 0
        var rate64: UInt64?
        for attribute in AttributeReader(options.after(MemoryLayout<tc_netem_qopt>.size)) {
            let value = attribute.payload
            switch attribute.type {
            case TCA_NETEM_LATENCY64: delay = value.value(as: UInt64.self) ?? delay
            case TCA_NETEM_JITTER64: jitter = value.value(as: UInt64.self) ?? jitter
            case TCA_NETEM_REORDER:
                reorder = parameters.gap == 0 ? 0 : value.u32
                correlations |= value.after(4).u32
            case TCA_NETEM_CORRUPT:
                corrupt = value.u32
                correlations |= value.after(4).u32
            case TCA_NETEM_CORR: correlations |= value.u32 | value.after(4).u32 | value.after(8).u32
            case TCA_NETEM_RATE: rate = UInt64(value.u32)
            case TCA_NETEM_RATE64: rate64 = value.value(as: UInt64.self)
            // The kernel tells of each only where somebody set it.
            case TCA_NETEM_LOSS, TCA_NETEM_DELAY_DIST, TCA_NETEM_ECN, TCA_NETEM_SLOT: hasMore = true
            default: break
            }
        }
        if let rate64 { rate = rate64 }
        if correlations != 0 || parameters.gap > 1 { hasMore = true }
    }

    fileprivate func write(_ writer: MessageWriter, isChange: Bool) {
        let step = UInt64(Ticks.nanoseconds)
        writer.putStruct(tc_netem_qopt.self) { parameters in
            parameters.latency = UInt32(clamping: delay / step)
            parameters.jitter = UInt32(clamping: jitter / step)
            parameters.limit = limit
            parameters.loss = loss
            parameters.duplicate = duplicate
            // Every packet may overtake others.
            parameters.gap = reorder == 0 ? 0 : 1
        }
        if reorder != 0 || isChange {
            writer.put(TCA_NETEM_REORDER, structure: tc_netem_reorder.self) { $0.probability = reorder }
        }
        if corrupt != 0 || isChange {
            writer.put(TCA_NETEM_CORRUPT, structure: tc_netem_corrupt.self) { $0.probability = corrupt }
        }
        if rate > UInt64(UInt32.max) { writer.put(TCA_NETEM_RATE64, u64: rate) }
        if rate != 0 || isChange {
            writer.put(TCA_NETEM_RATE, structure: tc_netem_rate.self) { $0.rate = UInt32(clamping: rate) }
        }
        // Where the kernel's unit of time is too long, or the number too small for it.
        if isExact(delay), isExact(jitter) { return }
        writer.put(TCA_NETEM_LATENCY64, u64: delay)
        writer.put(TCA_NETEM_JITTER64, u64: jitter)
    }

    private func isExact(_ time: UInt64) -> Bool {
        let step = UInt64(Ticks.nanoseconds)
        return time % step == 0 && time / step <= UInt64(UInt32.max)
    }
}

extension tc_ratespec {
    /// A rate of an Ethernet line. Where it has no room a second attribute says it.
    init(bytes: UInt64) {
        self.init()
        rate = UInt32(clamping: bytes)
        linklayer = UInt8(truncatingIfNeeded: TC_LINKLAYER_ETHERNET.rawValue)
        // As tc(8) has them; they belong to a table of times, which the kernel does not look at.
        (cell_log, cell_align) = (3, -1)
    }
}

extension MessageWriter {
    /// Appends an attribute that is a structure, filled by `fill` from all zeros.
    func put<T: BitwiseCopyable>(_ type: some BinaryInteger, structure: T.Type, _ fill: (inout T) -> Void) {
        withUnsafeTemporaryAllocation(byteCount: MemoryLayout<T>.size, alignment: MemoryLayout<T>.alignment) { bytes in
            _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
            fill(&bytes.assumingMemoryBound(to: T.self)[0])
            put(type, UnsafeRawBufferPointer(bytes))
        }
    }

    /// Appends an attribute of 64 bits.
    func put(_ type: some BinaryInteger, u64 value: UInt64) {
        withUnsafeBytes(of: value) { put(type, $0) }
    }
}
