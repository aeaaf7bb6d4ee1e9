internal import Model
internal import Netlink
internal import NetworkTypes

/// Policy rules in an export.
extension RuleClass {
    static func export(_ state: NamespaceState, to export: inout Export) {
        var rules = Array(state.rules.keys)
        if export.isEverything { rules += state.foreignRules }
        rules.sort { ($0.priority, "\($0)") < ($1.priority, "\($1)") }
        for rule in rules {
            guard rule.isDeclarable else {
                export.omit("rule \(rule.text)\(state.reference.suffix)", "has conditions that can't be declared")
                continue
            }
            var message = Nsmagent_Linux_Rule()
            var name = "rule-\(rule.priority)"
            if rule.family == .v6 { name += "-v6" }
            if let reference = export.reference(to: state) {
                message.namespace = reference
                name += "-\(reference.reference)"
            }
            let first = name
            var number = 1
            while !export.usedRuleNames.insert(name).inserted {
                number += 1
                name = "\(first)-\(number)"
            }
            message.name = name
            message.priority = rule.priority
            message.from = rule.from?.description ?? ""
            message.to = rule.to?.description ?? ""
            message.iif = rule.inputInterface ?? ""
            message.oif = rule.outputInterface ?? ""
            message.fwmark = rule.mark
            if rule.mark == 0 || rule.mask != .max { message.fwmask = rule.mask }
            message.table = rule.table
            message.action = [6: .blackhole, 7: .unreachable, 8: .prohibit][rule.action] ?? .lookup
            if rule.from == nil, rule.to == nil, rule.family == .v6 { message.family = .ipv6 }
            message.invert = rule.invert
            message.ipProto = rule.ipProtocol == 0 ? "" : Rule.protocolName(rule.ipProtocol)
            message.sport = rule.sourcePorts.map { Rule.text($0) } ?? ""
            message.dport = rule.destinationPorts.map { Rule.text($0) } ?? ""
            message.uidRange = rule.users.map { Rule.text($0) } ?? ""
            if let length = rule.suppressedLength { message.suppressPrefixlength = length }
            message.l3Mdev = rule.isOfVRF
            export.others.append(.rule(message))
        }
    }
}
