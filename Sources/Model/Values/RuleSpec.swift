public import NetworkTypes

/// A policy rule: which table a packet is looked up in.
public struct RuleSpec: Hashable, Sendable {
    /// What is done with a packet that matches.
    public enum Action: Hashable, Sendable {
        /// It is looked up in this table.
        case lookup(table: UInt32)
        /// It is dropped, as a route of this type would do.
        case drop(RouteType)
    }

    /// The name.
    public let name: String
    /// Where it is.
    public let namespace: NetNamespace
    /// Rules are tried in this order, from 1.
    public let priority: UInt32
    /// The packets it is for.
    public let family: IPAddress.Family
    /// Where a packet comes from; nil: anywhere.
    public let from: IPPrefix?
    /// Where it goes; nil: anywhere.
    public let to: IPPrefix?
    /// The kernel's name of the interface it came by; nil: any.
    public let inputInterface: String?
    /// The kernel's name of the interface its socket is bound to; nil: any.
    public let outputInterface: String?
    /// Its firewall mark, under the mask.
    public let mark: UInt32
    /// Which bits of the mark count; without a mark and a mask none do.
    public let mask: UInt32
    /// What is done.
    public let action: Action
    /// Whether it is for all packets but these.
    public let isInverted: Bool

    private static let priorities = Schema.plain.range(of: "priority", in: "nsmagent.linux.Rule")

    init?(_ message: Nsmagent_Linux_Rule, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        priority = message.priority
        if priority == 0 {
            findings.mistake(["priority"], "is missing; rules are tried in the order of this number")
        } else {
            findings.check(priority, Self.priorities, ["priority"])
        }
        let from = findings.prefix(message.from, ["from"])
        let to = findings.prefix(message.to, ["to"])
        if let from, let to, from.family != to.family {
            findings.mistake(["to"], value: message.to, "is \(to.family.word), but from is \(from.family.word)")
        }
        family = findings.family(message.family, of: from ?? to)
        self.from = from.flatMap { $0.length == 0 ? nil : $0.network }
        self.to = to.flatMap { $0.length == 0 ? nil : $0.network }
        inputInterface = findings.kernelName(message.iif, "iif")
        outputInterface = findings.kernelName(message.oif, "oif")
        mark = message.fwmark
        // With a mark alone, all of its bits count: `fib_nl2rule`, net/core/fib_rules.c.
        mask = message.fwmark != 0 && message.fwmask == 0 ? .max : message.fwmask
        isInverted = message.invert
        guard let action = findings.action(message) else { return nil }
        self.action = action
    }
}

extension FieldFindings {
    fileprivate mutating func family(_ family: Nsmagent_Linux_Rule.Family, of prefix: IPPrefix?) -> IPAddress.Family {
        switch family {
        case .ipv4: break
        case .ipv6:
            if let prefix, prefix.family == .v4 {
                mistake(["family"], value: "IPV6", "does not fit \(prefix), which is IPv4")
            }
        case .UNRECOGNIZED(let number): unknown(number, "nsmagent.linux.Rule.Family", ["family"])
        }
        return prefix?.family ?? (family == .ipv6 ? .v6 : .v4)
    }

    fileprivate mutating func kernelName(_ name: String, _ field: String) -> String? {
        if name.isEmpty { return nil }
        if let problem = InterfaceName.mistake(in: name) { mistake([.field(field)], value: name, problem) }
        return name
    }

    fileprivate mutating func action(_ message: Nsmagent_Linux_Rule) -> RuleSpec.Action? {
        let action: RuleSpec.Action
        switch message.action {
        case .lookup:
            if message.table == 0 { mistake(["table"], "is missing; a LOOKUP rule needs the table to look in") }
            return .lookup(table: message.table)
        case .blackhole: action = .drop(.blackhole)
        case .unreachable: action = .drop(.unreachable)
        case .prohibit: action = .drop(.prohibit)
        case .UNRECOGNIZED(let number):
            unknown(number, "nsmagent.linux.Rule.Action", ["action"])
            return nil
        }
        if message.table != 0 {
            mistake(["table"], value: String(message.table), "belongs to action LOOKUP only")
        }
        return action
    }
}
