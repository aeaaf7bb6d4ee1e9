public import NetworkTypes

/// A policy rule: which table a packet is looked up in.
public struct RuleSpec: Hashable, Sendable {
    /// What is done with a packet that matches.
    public enum Action: Hashable, Sendable {
        /// It is looked up in this table.
        case lookup(table: UInt32)
        /// It is looked up in the table of the VRF that its interface belongs to.
        case lookupOfVRF
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

    /// Its protocol; 0: any.
    public let ipProtocol: UInt8
    /// Ports it comes from; nil: any.
    public let sourcePorts: ClosedRange<UInt16>?
    /// Ports it goes to; nil: any.
    public let destinationPorts: ClosedRange<UInt16>?
    /// Users whose sockets send it; nil: any.
    public let users: ClosedRange<UInt32>?
    /// Routes with a prefix this long or shorter don't count; nil: all count.
    public let suppressedLength: UInt32?

    /// Names of protocols in ip-rule(8). Source: /etc/protocols.
    public static let protocols: [String: UInt8] = [
        "icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "sctp": 132,
    ]

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
        ipProtocol = findings.ipProtocol(message.ipProto)
        // Source: `fib_rule_port_range_valid`, include/net/fib_rules.h.
        sourcePorts = findings.range(message.sport, "sport", of: 1...(UInt16.max - 1), "a port")
        destinationPorts = findings.range(message.dport, "dport", of: 1...(UInt16.max - 1), "a port")
        // The last number stands for nobody.
        users = findings.range(message.uidRange, "uid_range", of: 0...(UInt32.max - 1), "a user's number")
        suppressedLength = message.hasSuppressPrefixlength ? message.suppressPrefixlength : nil
        findings.checkLookup(message, family)
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

    fileprivate mutating func ipProtocol(_ text: String) -> UInt8 {
        if text.isEmpty { return 0 }
        if let number = RuleSpec.protocols[text] ?? UInt8(text), number != 0 { return number }
        let names = RuleSpec.protocols.keys.sorted().joined(separator: ", ")
        mistake(["ip_proto"], value: text, "is not a protocol: \(names), or a number (1–255)")
        return 0
    }

    /// Reads a number, or two with a dash between; nil for an empty text, and for anything else.
    fileprivate mutating func range<Number: FixedWidthInteger>(
        _ text: String, _ field: String, of all: ClosedRange<Number>, _ what: String
    ) -> ClosedRange<Number>? {
        if text.isEmpty { return nil }
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { part in
            // Number's own initializer takes a sign.
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Number(part) : nil
        }
        if let first = parts.first.flatMap({ $0 }), let last = parts.last.flatMap({ $0 }), first <= last,
            all.contains(first), all.contains(last)
        {
            return first...last
        }
        mistake(
            [.field(field)], value: text,
            "is not \(what) (\(all.lowerBound)–\(all.upperBound)), nor a range of them, such as 1000-1999")
        return nil
    }

    /// Checks what belongs to rules that look into a table.
    fileprivate mutating func checkLookup(_ message: Nsmagent_Linux_Rule, _ family: IPAddress.Family) {
        if message.hasSuppressPrefixlength {
            let most: UInt32 = family == .v4 ? 32 : 128
            check(message.suppressPrefixlength, 0...most, ["suppress_prefixlength"])
            if message.action != .lookup {
                mistake(["suppress_prefixlength"], "belongs to action LOOKUP only")
            }
        }
        if message.l3Mdev, message.action != .lookup { mistake(["l3mdev"], "belongs to action LOOKUP only") }
    }

    fileprivate mutating func action(_ message: Nsmagent_Linux_Rule) -> RuleSpec.Action? {
        let action: RuleSpec.Action
        switch message.action {
        case .lookup:
            if message.l3Mdev {
                if message.table != 0 {
                    mistake(["table"], value: String(message.table), "can't be set together with l3mdev")
                }
                return .lookupOfVRF
            }
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
