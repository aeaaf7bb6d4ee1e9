internal import NetworkTypes

/// Reads the sections of a `.network` file about nexthop objects and qdiscs.
extension ConversionDraft {
    private typealias QdiscMessage = Nsmagent_Linux_Qdisc

    // MARK: - Nexthops

    /// The logical name of a nexthop object, which networkd knows by its number alone.
    static func nextHopName(_ id: UInt32) -> String { "nexthop-\(id)" }

    mutating func readNextHop(_ unit: inout UnitFile, _ section: Int, _ index: Int) {
        let place = unit.sections[section].place
        guard let entry = unit.entry("Id", section), let id = number(entry), id > 0 else {
            leave(place, "[NextHop]", "without Id= no route can refer to it")
            return unit.takeAll(section)
        }
        var hop = Nsmagent_Linux_Nexthop()
        (hop.name, hop.id) = (Self.nextHopName(id), id)
        let group = unit.entries("Group", section)
        if !group.isEmpty {
            hop.group = group.flatMap { members($0) }
        } else if let entry = unit.entry("Blackhole", section), Words.flag(entry.value) == true {
            hop.blackhole = true
        } else {
            hop.outgoingInterface = interfaces[index].name
            if let gateway = unit.entry("Gateway", section) {
                hop.gwAddr = gateway.value
                if let entry = unit.entry("OnLink", section) { hop.onlink = Words.flag(entry.value) == true }
            }
        }
        if let family = unit.entry("Family", section), family.value == "ipv6", group.isEmpty { hop.family = .ipv6 }
        add(.nextHop(hop), at: place)
    }

    /// `ID[:WEIGHT] …`
    private mutating func members(_ entry: UnitFile.Entry) -> [Nsmagent_Linux_Nexthop.Member] {
        entry.value.split(separator: " ").compactMap { word in
            let parts = word.split(separator: ":", maxSplits: 1).map { Words.number(String($0)) }
            guard let id = parts.first.flatMap({ $0 }), let weight = parts.count > 1 ? parts[1] : 0 else {
                leave(entry, "NextHop", "\(String(word).inQuotes) is not ID or ID:WEIGHT")
                return nil
            }
            var member = Nsmagent_Linux_Nexthop.Member()
            (member.nexthop, member.weight) = (Self.nextHopName(id), weight)
            return member
        }
    }

    // MARK: - Qdiscs

    /// The root qdisc of an interface.
    mutating func readQdisc(_ unit: inout UnitFile, _ index: Int) {
        var isSet = false
        let kinds: [(String, (inout ConversionDraft, inout UnitFile, Int) -> QdiscMessage)] = [
            ("TokenBucketFilter", { $0.tokenBucket(&$1, $2) }),
            ("FairQueueingControlledDelay", { $0.fairQueue(&$1, $2) }),
            ("NetworkEmulator", { $0.emulation(&$1, $2) }),
        ]
        for (name, read) in kinds {
            for section in unit.take(name) {
                let place = unit.sections[section].place
                let parent = unit.entry("Parent", section)
                if let parent, parent.value != "root" {
                    leave(parent, name, "only the root qdisc of an interface can be declared")
                } else if isSet {
                    leave(place, "[\(name)]", "an interface has one root qdisc")
                } else {
                    var qdisc = read(&self, &unit, section)
                    qdisc.interface = interfaces[index].name
                    add(.qdisc(qdisc), at: place)
                    isSet = true
                    continue
                }
                unit.takeAll(section)
            }
        }
    }

    private mutating func tokenBucket(_ unit: inout UnitFile, _ section: Int) -> QdiscMessage {
        var qdisc = QdiscMessage()
        qdisc.tbf.rate = rate("Rate", &unit, section)
        qdisc.tbf.burst = size("BurstBytes", &unit, section)
        qdisc.tbf.limit = size("LimitBytes", &unit, section)
        qdisc.tbf.latency = span("LatencySec", &unit, section)
        return qdisc
    }

    private mutating func fairQueue(_ unit: inout UnitFile, _ section: Int) -> QdiscMessage {
        var qdisc = QdiscMessage()
        qdisc.fqCodel.limit = number(unit.entry("PacketLimit", section)) ?? 0
        qdisc.fqCodel.flows = number(unit.entry("Flows", section)) ?? 0
        if let entry = unit.entry("QuantumBytes", section) {
            if let quantum = size(entry) {
                qdisc.fqCodel.quantum = quantum
            } else {
                leave(entry, "FairQueueingControlledDelay", "\(entry.value.inQuotes) is not a size")
            }
        }
        qdisc.fqCodel.memoryLimit = size("MemoryLimitBytes", &unit, section)
        qdisc.fqCodel.target = span("TargetSec", &unit, section)
        qdisc.fqCodel.interval = span("IntervalSec", &unit, section)
        if let entry = unit.entry("ECN", section), let marks = Words.flag(entry.value) { qdisc.fqCodel.ecn = marks }
        return qdisc
    }

    private mutating func emulation(_ unit: inout UnitFile, _ section: Int) -> QdiscMessage {
        var qdisc = QdiscMessage()
        qdisc.netem.delay = span("DelaySec", &unit, section)
        qdisc.netem.jitter = span("DelayJitterSec", &unit, section)
        qdisc.netem.limit = number(unit.entry("PacketLimit", section)) ?? 0
        qdisc.netem.loss = share("LossRate", &unit, section)
        qdisc.netem.duplicate = share("DuplicateRate", &unit, section)
        return qdisc
    }

    // MARK: - Units

    /// A value as tc(8) writes it; empty, and listed, when it is none.
    private mutating func value(
        _ key: String, _ unit: inout UnitFile, _ section: Int, _ what: String, _ read: (String) -> String?
    ) -> String {
        guard let entry = unit.entry(key, section) else { return "" }
        if let text = read(entry.value) { return text }
        leave(entry, unit.sections[section].name, "\(entry.value.inQuotes) is not \(what)")
        return ""
    }

    /// The number and the unit of a value.
    private static func parts(_ text: String) -> (number: String, unit: String) {
        let number = text.prefix { "0123456789.".contains($0) }
        return (String(number), text.dropFirst(number.count).trimmed)
    }

    /// `10M` is 10 Mbit/s.
    private mutating func rate(_ key: String, _ unit: inout UnitFile, _ section: Int) -> String {
        value(key, &unit, section, "a rate, such as 10M") { text in
            let (number, letter) = Self.parts(text)
            let units = ["": "bit", "K": "kbit", "M": "mbit", "G": "gbit", "T": "tbit"]
            return units[letter].flatMap { TrafficUnits.rate(number + $0) }.map { TrafficUnits.text(rate: $0) }
        }
    }

    /// `32K` is 32 × 1024 bytes.
    private mutating func size(_ key: String, _ unit: inout UnitFile, _ section: Int) -> String {
        value(key, &unit, section, "a size, such as 32K") { text in
            let (number, letter) = Self.parts(text)
            let units = ["": "b", "K": "kb", "M": "mb", "G": "gb"]
            return units[letter].flatMap { TrafficUnits.size(number + $0) }.map { TrafficUnits.text(size: $0) }
        }
    }

    /// A number alone is seconds.
    private mutating func span(_ key: String, _ unit: inout UnitFile, _ section: Int) -> String {
        value(key, &unit, section, "a time in us, ms or s") { text in
            let (number, name) = Self.parts(text)
            let units = [
                "": "s", "s": "s", "sec": "s", "second": "s", "seconds": "s", "ms": "ms", "msec": "ms", "us": "us",
                "usec": "us", "µs": "us", "μs": "us",
            ]
            return units[name].flatMap { TrafficUnits.time(number + $0) }.map { TrafficUnits.text(time: $0) }
        }
    }

    private mutating func share(_ key: String, _ unit: inout UnitFile, _ section: Int) -> String {
        value(key, &unit, section, "a share, such as 0.5%") { TrafficUnits.share($0) == nil ? nil : $0 }
    }
}
