internal import Model
internal import Netlink

extension Rule {
    /// In the words of ip-rule(8): `100 from 10.0.0.0/8 lookup blue`.
    var text: String {
        var words = ["\(priority)"]
        if invert { words.append("not") }
        words.append("from \(from?.description ?? "all")")
        if let to { words.append("to \(to)") }
        if tos != 0 { words.append("tos 0x\(String(tos, radix: 16))") }
        if mark != 0 || mask != 0 {
            let bits = "0x\(String(mark, radix: 16))"
            words.append("fwmark \(mask == .max ? bits : "\(bits)/0x\(String(mask, radix: 16))")")
        }
        if let inputInterface { words.append("iif \(inputInterface)") }
        if let outputInterface { words.append("oif \(outputInterface)") }
        if ipProtocol != 0 { words.append("ipproto \(Self.protocolName(ipProtocol))") }
        if let sourcePorts { words.append("sport \(Self.text(sourcePorts))") }
        if let destinationPorts { words.append("dport \(Self.text(destinationPorts))") }
        if let users { words.append("uidrange \(users.lowerBound)-\(users.upperBound)") }
        words += otherConditions
        if isOfVRF { words.append("lookup [l3mdev-table]") }
        if let actionText { words.append(actionText) }
        if let suppressedLength { words.append("suppress_prefixlength \(suppressedLength)") }
        return words.joined(separator: " ")
    }

    /// `53`, `1000-1999`
    static func text(_ range: ClosedRange<some BinaryInteger>) -> String {
        range.lowerBound == range.upperBound ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }

    /// Whether the model has words for all of it.
    var isDeclarable: Bool {
        [1, 6, 7, 8].contains(action) && tos == 0 && others.isEmpty && (table == 0 || !isOfVRF)
    }

    /// What is done; nil: it is among the other attributes. Source: `FR_ACT_*`, linux/fib_rules.h.
    private var actionText: String? {
        switch action {
        case Numbers.lookupAction where table == 0: nil
        case Numbers.lookupAction: "lookup \(Names.table(table))"
        case 2: nil
        case 3: "nop"
        default: Names.routeType(action)
        }
    }

    /// `tcp`, or a number.
    static func protocolName(_ number: UInt8) -> String {
        RuleSpec.protocols.first { $0.value == number }?.key ?? "\(number)"
    }

    /// Conditions and actions that the model has no words for, as ip-rule(8) says them. Source: `FRA_*`, linux/fib_rules.h.
    private var otherConditions: [String] {
        let numbers = [
            4: "goto", 11: "realms", 12: "tun_id", 13: "suppress_ifgroup", 25: "dscp", 26: "flowlabel",
            28: "sport mask", 29: "dport mask",
        ]
        var words: [String] = []
        for (type, bytes) in others.list {
            switch (type, bytes.count) {
            case (12, _), (26, _): words.append(numbers[type] ?? "")
            case (_, 1), (_, 4): words.append("\(numbers[type] ?? "attribute \(type)") \(Self.number(bytes[...]))")
            default: words.append(numbers[type] ?? "attribute \(type)")
            }
        }
        return words
    }

    /// A number in the byte order of the machine.
    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var result: UInt32 = 0
        withUnsafeMutableBytes(of: &result) { $0.copyBytes(from: bytes.prefix(4)) }
        return result
    }
}
