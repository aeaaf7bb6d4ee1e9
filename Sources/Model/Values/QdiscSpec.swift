/// How packets queue at an interface.
public struct QdiscSpec: Hashable, Sendable {
    /// Which qdisc, and its settings.
    public enum Kind: Hashable, Sendable {
        /// A token bucket.
        case tokenBucket(TokenBucket)
        /// Flows take turns.
        case fairQueue(FairQueue)
        /// A bad line.
        case emulation(Emulation)
        /// A limit for what arrives.
        case police(Police)
    }

    /// A token bucket.
    public struct TokenBucket: Hashable, Sendable {
        /// Bytes per second.
        public let rate: UInt64
        /// Bytes that may leave at once.
        public let burst: UInt32
        /// Bytes that may wait.
        public let limit: UInt32

        /// What the kernel has.
        public init(rate: UInt64, burst: UInt32, limit: UInt32) {
            (self.rate, self.burst, self.limit) = (rate, burst, limit)
        }
    }

    /// A limit for what arrives.
    public struct Police: Hashable, Sendable {
        /// Bytes per second.
        public let rate: UInt64
        /// Bytes that may arrive at once.
        public let burst: UInt32

        /// What the kernel has.
        public init(rate: UInt64, burst: UInt32) { (self.rate, self.burst) = (rate, burst) }
    }

    /// Flows take turns.
    public struct FairQueue: Hashable, Sendable {
        /// Packets that may wait.
        public let limit: UInt32
        /// Queues for flows.
        public let flows: UInt32
        /// Bytes that a flow may send in its turn; nil: one packet of the interface.
        public let quantum: UInt32?
        /// How long packets may wait, microseconds.
        public let target: UInt32
        /// The time in which that is measured, microseconds.
        public let interval: UInt32
        /// Whether packets are marked where the ends know ECN.
        public let marks: Bool
        /// Bytes of memory.
        public let memory: UInt32

        /// What the kernel has.
        public init(
            limit: UInt32, flows: UInt32, quantum: UInt32?, target: UInt32, interval: UInt32, marks: Bool,
            memory: UInt32
        ) {
            (self.limit, self.flows, self.quantum, self.target) = (limit, flows, quantum, target)
            (self.interval, self.marks, self.memory) = (interval, marks, memory)
        }
    }

    /// A bad line. Shares are of 4294967295 parts.
    public struct Emulation: Hashable, Sendable {
        /// How long packets are held back, nanoseconds.
        public let delay: UInt64
        /// How much that varies, nanoseconds.
        public let jitter: UInt64
        /// Share that is lost.
        public let loss: UInt32
        /// Share that arrives twice.
        public let duplicate: UInt32
        /// Share that is damaged.
        public let corrupt: UInt32
        /// Share that is not held back.
        public let reorder: UInt32
        /// Packets that may wait.
        public let limit: UInt32
        /// Bytes per second; 0: no limit.
        public let rate: UInt64

        /// What the kernel has.
        public init(
            delay: UInt64, jitter: UInt64, loss: UInt32, duplicate: UInt32, corrupt: UInt32, reorder: UInt32,
            limit: UInt32, rate: UInt64
        ) {
            (self.delay, self.jitter, self.loss, self.duplicate) = (delay, jitter, loss, duplicate)
            (self.corrupt, self.reorder, self.limit, self.rate) = (corrupt, reorder, limit, rate)
        }
    }

    /// The logical name of the interface, or the name of one that is not declared.
    public let interface: String
    /// Where it is, if the interface is not declared.
    public let namespace: NetNamespace
    /// Which qdisc.
    public let kind: Kind

    init?(_ message: Nsmagent_Linux_Qdisc, _ findings: inout FieldFindings) {
        interface = message.interface
        findings.check(name: interface, "interface", what: "the name of an interface")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        let said = [
            ("tbf", message.hasTbf), ("fq_codel", message.hasFqCodel), ("netem", message.hasNetem),
            ("police", message.hasPolice),
        ].filter(\.1).map(\.0)
        if said.isEmpty {
            findings.mistake(["tbf"], "is missing; give the interface one of tbf, fq_codel, netem and police")
            return nil
        }
        if said.count > 1 {
            let reason =
                message.hasPolice ? "give police an item of its own" : "an interface has one root qdisc"
            findings.mistake([.field(said[1])], "can't be set together with \(said[0]): \(reason)")
            return nil
        }
        let kind: Kind? =
            if message.hasTbf {
                TokenBucket(message.tbf, &findings).map { .tokenBucket($0) }
            } else if message.hasFqCodel {
                .fairQueue(FairQueue(message.fqCodel, &findings))
            } else if message.hasPolice {
                Police(message.police, &findings).map { .police($0) }
            } else {
                .emulation(Emulation(message.netem, &findings))
            }
        guard let kind else { return nil }
        self.kind = kind
    }
}

extension QdiscSpec.TokenBucket {
    fileprivate init?(_ message: Nsmagent_Linux_Qdisc.TokenBucket, _ findings: inout FieldFindings) {
        let rate = findings.rate(message.rate, ["tbf", "rate"], isNeeded: true)
        let burst = findings.size(message.burst, ["tbf", "burst"], isNeeded: true)
        let latency = findings.time(message.latency, ["tbf", "latency"])
        let limit = findings.size(message.limit, ["tbf", "limit"])
        if message.latency.isEmpty == message.limit.isEmpty {
            let problem =
                message.limit.isEmpty
                ? "is missing; give it a time, or limit a size" : "can't be set together with limit"
            findings.mistake(["tbf", "latency"], problem)
            return nil
        }
        guard let rate, let burst else { return nil }
        // The kernel keeps the time of a burst in 32 bits, by 64 ns.
        guard UInt64(burst) * 1_000_000_000 / 64 / rate <= UInt64(UInt32.max) else {
            findings.malformed(["tbf", "burst"], value: message.burst, "takes longer than 274s at this rate")
            return nil
        }
        (self.rate, self.burst) = (rate, burst)
        if let limit {
            self.limit = limit
        } else if let latency {
            // What leaves in that time, and what may leave at once.
            let (high, low) = rate.multipliedFullWidth(by: latency)
            let second: UInt64 = 1_000_000_000
            let waiting = high < second ? second.dividingFullWidth((high, low)).quotient : .max
            let (sum, isTooLarge) = waiting.addingReportingOverflow(UInt64(burst))
            guard !isTooLarge, let limit = UInt32(exactly: sum) else {
                findings.malformed(
                    ["tbf", "latency"], value: message.latency, "is too long: more than 4 GiB would wait at this rate")
                return nil
            }
            self.limit = limit
        } else {
            return nil
        }
    }
}

extension QdiscSpec.Police {
    fileprivate init?(_ message: Nsmagent_Linux_Qdisc.Police, _ findings: inout FieldFindings) {
        let rate = findings.rate(message.rate, ["police", "rate"], isNeeded: true)
        let burst = findings.size(message.burst, ["police", "burst"], isNeeded: true)
        guard let rate, let burst else { return nil }
        // The kernel keeps the time of a burst in 32 bits, by 64 ns.
        let steps = UInt64(burst) * 1_000_000_000 / 64 / rate
        guard steps > 0, steps <= UInt64(UInt32.max) else {
            let problem = steps == 0 ? "is less than what arrives in 64ns" : "is more than what arrives in 274s"
            findings.malformed(["police", "burst"], value: message.burst, "\(problem) at this rate")
            return nil
        }
        (self.rate, self.burst) = (rate, burst)
    }
}

extension QdiscSpec.FairQueue {
    private static let flowNumbers = Schema.plain.range(of: "flows", in: "nsmagent.linux.Qdisc.FairQueue")
    private static let quanta = Schema.plain.range(of: "quantum", in: "nsmagent.linux.Qdisc.FairQueue")

    /// What the kernel has without a word. Source: `fq_codel_init`, net/sched/sch_fq_codel.c.
    fileprivate init(_ message: Nsmagent_Linux_Qdisc.FairQueue, _ findings: inout FieldFindings) {
        findings.check(message.flows, Self.flowNumbers, ["fq_codel", "flows"])
        findings.check(message.quantum, Self.quanta, ["fq_codel", "quantum"])
        limit = message.limit == 0 ? 10_240 : message.limit
        flows = message.flows == 0 ? 1024 : message.flows
        quantum = message.quantum == 0 ? nil : message.quantum
        target = findings.microseconds(message.target, ["fq_codel", "target"]) ?? 5000
        interval = findings.microseconds(message.interval, ["fq_codel", "interval"]) ?? 100_000
        marks = message.hasEcn ? message.ecn : true
        memory = findings.size(message.memoryLimit, ["fq_codel", "memory_limit"]) ?? 32 << 20
        if memory > 1 << 31 {
            findings.malformed(
                ["fq_codel", "memory_limit"], value: message.memoryLimit,
                "is more than 2gb, the most that the kernel takes")
        }
    }
}

extension QdiscSpec.Emulation {
    fileprivate init(_ message: Nsmagent_Linux_Qdisc.Emulation, _ findings: inout FieldFindings) {
        delay = findings.time(message.delay, ["netem", "delay"]) ?? 0
        jitter = findings.time(message.jitter, ["netem", "jitter"]) ?? 0
        if jitter > UInt64(Int32.max) {
            findings.malformed(
                ["netem", "jitter"], value: message.jitter, "is longer than 2147ms, the most that the kernel takes")
        }
        loss = findings.share(message.loss, ["netem", "loss"])
        duplicate = findings.share(message.duplicate, ["netem", "duplicate"])
        corrupt = findings.share(message.corrupt, ["netem", "corrupt"])
        reorder = findings.share(message.reorder, ["netem", "reorder"])
        limit = message.limit == 0 ? 1000 : message.limit
        rate = findings.rate(message.rate, ["netem", "rate"], isNeeded: false) ?? 0
        for (text, field) in [(message.jitter, "jitter"), (message.reorder, "reorder")]
        where !text.isEmpty && message.delay.isEmpty {
            findings.mistake(["netem", .field(field)], value: text, "needs delay")
        }
    }
}

extension FieldFindings {
    /// Reads a rate in bytes per second; nil for an empty text, and for anything else.
    fileprivate mutating func rate(_ text: String, _ path: [PathPart], isNeeded: Bool) -> UInt64? {
        if text.isEmpty {
            if isNeeded { mistake(path, "is missing; give it a rate, such as 10mbit") }
            return nil
        }
        guard let rate = TrafficUnits.rate(text) else {
            malformed(path, value: text, "is not a rate, such as 10mbit, 1.5gbit or 100kbps")
            return nil
        }
        if rate == 0 {
            malformed(path, value: text, "is less than 8bit, the smallest rate")
            return nil
        }
        return rate
    }

    /// Reads a size in bytes; nil for an empty text, and for anything else.
    fileprivate mutating func size(_ text: String, _ path: [PathPart], isNeeded: Bool = false) -> UInt32? {
        if text.isEmpty {
            if isNeeded { mistake(path, "is missing; give it a size, such as 32kb") }
            return nil
        }
        guard let size = TrafficUnits.size(text) else {
            malformed(path, value: text, "is not a size, such as 1600, 32kb or 1mb")
            return nil
        }
        guard let size = UInt32(exactly: size), size > 0 else {
            malformed(path, value: text, "is not between 1 and 4294967295 bytes")
            return nil
        }
        return size
    }

    /// Reads a time in nanoseconds; nil for an empty text, and for anything else.
    fileprivate mutating func time(_ text: String, _ path: [PathPart]) -> UInt64? {
        if text.isEmpty { return nil }
        guard let time = TrafficUnits.time(text) else {
            malformed(path, value: text, "is not a time, such as 50ms, 400us or 1s")
            return nil
        }
        // The kernel's own times are signed.
        guard time <= UInt64(Int64.max) else {
            malformed(path, value: text, "is longer than the kernel can count")
            return nil
        }
        return time
    }

    /// The same in microseconds.
    fileprivate mutating func microseconds(_ text: String, _ path: [PathPart]) -> UInt32? {
        guard let time = time(text, path) else { return nil }
        guard time % 1000 == 0, let microseconds = UInt32(exactly: time / 1000), microseconds > 0 else {
            malformed(path, value: text, "is not between 1us and 4294s in whole microseconds")
            return nil
        }
        return microseconds
    }

    /// Reads a share of 4294967295 parts; 0 for an empty text, and for anything else.
    fileprivate mutating func share(_ text: String, _ path: [PathPart]) -> UInt32 {
        if text.isEmpty { return 0 }
        if let share = TrafficUnits.share(text) { return share }
        malformed(path, value: text, "is not a share between 0% and 100%, such as 0.5%")
        return 0
    }
}

extension QdiscSpec.Kind {
    /// The settings by the names of their fields, in an order that is the same for all of a kind.
    public var settings: [(name: String, value: String)] {
        switch self {
        case .tokenBucket(let bucket):
            [
                ("rate", TrafficUnits.text(rate: bucket.rate)),
                ("burst", TrafficUnits.text(size: UInt64(bucket.burst))),
                ("limit", TrafficUnits.text(size: UInt64(bucket.limit))),
            ]
        case .police(let police):
            [
                ("rate", TrafficUnits.text(rate: police.rate)),
                ("burst", TrafficUnits.text(size: UInt64(police.burst))),
            ]
        case .fairQueue(let queue):
            [
                ("limit", "\(queue.limit)"), ("flows", "\(queue.flows)"),
                ("quantum", queue.quantum.map { "\($0)" } ?? ""),
                ("target", TrafficUnits.text(time: UInt64(queue.target) * 1000)),
                ("interval", TrafficUnits.text(time: UInt64(queue.interval) * 1000)),
                ("ecn", "\(queue.marks)"), ("memory_limit", TrafficUnits.text(size: UInt64(queue.memory))),
            ]
        case .emulation(let line):
            [
                ("delay", TrafficUnits.text(time: line.delay)), ("jitter", TrafficUnits.text(time: line.jitter)),
                ("loss", TrafficUnits.text(share: line.loss)),
                ("duplicate", TrafficUnits.text(share: line.duplicate)),
                ("corrupt", TrafficUnits.text(share: line.corrupt)),
                ("reorder", TrafficUnits.text(share: line.reorder)), ("limit", "\(line.limit)"),
                ("rate", TrafficUnits.text(rate: line.rate)),
            ]
        }
    }
}

extension Nsmagent_Linux_Qdisc {
    /// `interface/root`, or `interface/ingress` for what arrives; with the namespace of an interface that is not managed.
    var keyName: String {
        var name = "\(interface)/\(hasPolice ? "ingress" : "root")"
        if hasNamespace { name += namespace.keySuffix }
        return Key.clean(name)
    }

    /// As it is written.
    public init(_ kind: QdiscSpec.Kind) {
        switch kind {
        case .tokenBucket(let bucket):
            tbf.rate = TrafficUnits.text(rate: bucket.rate)
            tbf.burst = TrafficUnits.text(size: UInt64(bucket.burst))
            tbf.limit = TrafficUnits.text(size: UInt64(bucket.limit))
        case .police(let limit):
            police.rate = TrafficUnits.text(rate: limit.rate)
            police.burst = TrafficUnits.text(size: UInt64(limit.burst))
        case .fairQueue(let queue):
            fqCodel.limit = queue.limit
            fqCodel.flows = queue.flows
            fqCodel.quantum = queue.quantum ?? 0
            fqCodel.target = TrafficUnits.text(time: UInt64(queue.target) * 1000)
            fqCodel.interval = TrafficUnits.text(time: UInt64(queue.interval) * 1000)
            if !queue.marks { fqCodel.ecn = false }
            fqCodel.memoryLimit = TrafficUnits.text(size: UInt64(queue.memory))
        case .emulation(let line):
            if line.delay > 0 { netem.delay = TrafficUnits.text(time: line.delay) }
            if line.jitter > 0 { netem.jitter = TrafficUnits.text(time: line.jitter) }
            if line.loss > 0 { netem.loss = TrafficUnits.text(share: line.loss) }
            if line.duplicate > 0 { netem.duplicate = TrafficUnits.text(share: line.duplicate) }
            if line.corrupt > 0 { netem.corrupt = TrafficUnits.text(share: line.corrupt) }
            if line.reorder > 0 { netem.reorder = TrafficUnits.text(share: line.reorder) }
            netem.limit = line.limit
            if line.rate > 0 { netem.rate = TrafficUnits.text(rate: line.rate) }
        }
    }
}
