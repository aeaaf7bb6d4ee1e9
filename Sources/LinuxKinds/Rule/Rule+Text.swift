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
        if ipProtocol != 0 { words.append("ipproto \(ipProtocol)") }
        if let sourcePorts { words.append("sport \(Self.text(sourcePorts))") }
        if let destinationPorts { words.append("dport \(Self.text(destinationPorts))") }
        words += otherConditions
        words.append(action == Numbers.lookupAction ? "lookup \(Names.table(table))" : Names.routeType(action))
        return words.joined(separator: " ")
    }

    private static func text(_ ports: ClosedRange<UInt16>) -> String {
        ports.count == 1 ? "\(ports.lowerBound)" : "\(ports.lowerBound)-\(ports.upperBound)"
    }

    /// Whether the model has words for all of it.
    var isDeclarable: Bool {
        [1, 6, 7, 8].contains(action) && tos == 0 && ipProtocol == 0 && sourcePorts == nil && destinationPorts == nil
            && others.isEmpty
    }

    /// Names of conditions that nothing here knows. Source: `FRA_*`, linux/fib_rules.h.
    private var otherConditions: [String] {
        let names = [
            4: "goto", 11: "realms", 12: "tun_id", 13: "suppress_ifgroup", 14: "suppress_prefixlength", 19: "l3mdev",
            20: "uidrange", 25: "dscp", 26: "flowlabel", 28: "sport mask", 29: "dport mask",
        ]
        return others.types.map { names[$0] ?? "attribute \($0)" }
    }
}
