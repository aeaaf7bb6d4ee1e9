internal import Netlink

extension Rule {
    /// In the words of ip-rule(8): `100 from 10.0.0.0/8 lookup blue`.
    var text: String {
        var words = ["\(priority)"]
        if invert { words.append("not") }
        words.append("from \(from?.description ?? "all")")
        if let to { words.append("to \(to)") }
        if mark != 0 || mask != 0 {
            let bits = "0x\(String(mark, radix: 16))"
            words.append("fwmark \(mask == .max ? bits : "\(bits)/0x\(String(mask, radix: 16))")")
        }
        if let inputInterface { words.append("iif \(inputInterface)") }
        if let outputInterface { words.append("oif \(outputInterface)") }
        words.append(action == Numbers.lookupAction ? "lookup \(Names.table(table))" : Names.routeType(action))
        return words.joined(separator: " ")
    }
}
