internal import Netlink
internal import NetworkTypes

/// Two labels whose objects the kernel can't keep apart.
public struct LabelCollision: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong and what to do.
    public let description: String
}

/// What the links of one label tell of the numbers by which its objects are marked.
struct LabelTraces: Hashable {
    /// Low 16 bits of the link groups.
    var groups: Set<UInt32> = []
    /// Protocol numbers of addresses, some of which may be another label's.
    var protocols: Set<UInt8> = []
}

extension Ownership {
    /// The marks of this label on a host: those that its links have already; otherwise those that follow from the label, or the
    /// next ones that no other label has.
    ///
    /// Labels share 50 protocol numbers and 65 536 link groups, so two of them may have the same.
    ///
    /// - Parameter traces: What is there, by label.
    /// - Throws: when two labels have made objects with the same number already, or no number is left.
    func settled(among traces: [String: LabelTraces]) throws(LabelCollision) -> Ownership {
        let own = traces[label] ?? LabelTraces()
        let others = traces.filter { $0.key != label }.sorted { $0.key < $1.key }
        if others.isEmpty, own.groups.isEmpty, own.protocols.isEmpty { return self }
        var marks = self
        marks.number = try settledGroup(own, others)
        marks.proto = try settledProtocol(own, others)
        return marks
    }

    private func settledGroup(
        _ own: LabelTraces, _ others: [(key: String, value: LabelTraces)]
    ) throws(LabelCollision) -> UInt32 {
        var taken: [UInt32: String] = [:]
        for (other, traces) in others {
            for group in traces.groups { taken[group] = other }
        }
        if let number = own.groups.contains(number) ? number : own.groups.min() {
            guard let other = taken[number] else { return number }
            throw LabelCollision(
                description:
                    "the links of the labels '\(label)' and '\(other)' are in the same link group on this host, so "
                    + "they can't be told apart: remove what one of them owns with 'nsm-agent delete --all --label', and "
                    + "give it another label")
        }
        for step in 0...UInt32(UInt16.max) where taken[(number + step) & 0xffff] == nil {
            return (number + step) & 0xffff
        }
        throw LabelCollision(description: "no link group is left for the label '\(label)'")
    }

    private func settledProtocol(
        _ own: LabelTraces, _ others: [(key: String, value: LabelTraces)]
    ) throws(LabelCollision) -> UInt8 {
        let range = Marks.agentProtocols
        // Of numbers outside of this range others make addresses, too, also on links of ours.
        let numbers = own.protocols.filter(range.contains)
        let adopted = numbers.contains(proto) ? proto : numbers.min()
        var taken: [UInt8: String] = [:]
        for (other, traces) in others {
            let home = Ownership(label: other).proto
            // On a link of theirs may be addresses of ours.
            let foreign = traces.protocols.filter { $0 != adopted && (range.contains($0) || $0 == proto) }
            if traces.protocols.contains(home) || foreign.isEmpty {
                taken[home] = other
            } else {
                for number in foreign { taken[number] = other }
            }
        }
        if isProtocolChosen || label == "default" { return try unlessTaken(proto, taken) }
        if let adopted { return try unlessTaken(adopted, taken) }
        for step in 0..<range.count {
            let offset = (Int(proto - range.lowerBound) + step) % range.count
            let candidate = range.lowerBound + UInt8(offset)
            if taken[candidate] == nil { return candidate }
        }
        throw LabelCollision(
            description:
                "all protocol numbers \(range.lowerBound) to \(range.upperBound) belong to other labels on this host: "
                + "give the label '\(label)' one with --protocol")
    }

    private func unlessTaken(_ proto: UInt8, _ taken: [UInt8: String]) throws(LabelCollision) -> UInt8 {
        guard let other = taken[proto] else { return proto }
        throw LabelCollision(
            description:
                "the labels '\(label)' and '\(other)' both have protocol \(proto) on this host, so their addresses, "
                + "routes, neighbours and rules can't be told apart: give one of them another number with --protocol")
    }
}

extension LinuxWorld {
    /// Makes sure that our marks are no other label's on this host, once the kernel was read for the first time. Where they
    /// are, ours become others, and everything is read again.
    ///
    /// - Throws: ``LabelCollision`` when that can't be; the kernel's error when it can't be read again.
    public func settleMarks() throws {
        if areMarksSettled { return }
        let settled = try ownership.settled(among: labelTraces())
        areMarksSettled = true
        if settled == ownership { return }
        ownership = settled
        try readAll()
    }

    /// What the links of all labels tell.
    private func labelTraces() -> [String: LabelTraces] {
        var traces: [String: LabelTraces] = [:]
        for state in states {
            for link in state.links.values {
                guard let alias = link.link.alias, alias.hasPrefix(Marks.agentAlias) else { continue }
                let label = ownership.owns(alias: alias) ? ownership.label : Self.label(ofAlias: alias)
                traces[label, default: LabelTraces()].take(link)
            }
        }
        return traces
    }

    private static func label(ofAlias alias: String) -> String {
        String(alias.dropFirst(Marks.agentAlias.count).prefix { $0 != "/" })
    }
}

extension LabelTraces {
    fileprivate mutating func take(_ link: LinkState) {
        let group = link.link.group
        if Marks.Group.agent.range.contains(group) || Marks.Group.tuned.range.contains(group) {
            groups.insert(group & 0xffff)
        }
        for entry in link.addresses {
            protocols.insert(entry.address.proto)
        }
    }
}
