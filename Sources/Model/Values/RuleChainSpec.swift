public import NetworkTypes

/// A chain of packet filter rules.
public struct RuleChainSpec: Hashable, Sendable {
    /// The table of a chain, in the words of iptables(8).
    public enum Table: Hashable, Sendable, CaseIterable {
        /// `filter`
        case filter
        /// `nat`
        case nat
        /// `mangle`
        case mangle
        /// `raw`
        case raw
        /// `security`
        case security
    }

    /// Which chain it is.
    public enum Chain: Hashable, Sendable {
        /// One that rules of other chains jump to, by its name.
        case custom(String)
        /// `INPUT`
        case input
        /// `OUTPUT`
        case output
        /// `FORWARD`
        case forward
        /// `PREROUTING`
        case prerouting
        /// `POSTROUTING`
        case postrouting
    }

    /// What happens to a packet that no rule decides on.
    public enum Policy: Hashable, Sendable, CaseIterable {
        /// `ACCEPT`
        case accept
        /// `DROP`
        case drop
        /// `QUEUE`
        case queue
        /// `RETURN`
        case `return`
    }

    /// The name.
    public let name: String
    /// Where it is.
    public let namespace: NetNamespace
    /// Logical names of interfaces that are there before it is made.
    public let interfaces: [String]
    /// The packets it is for.
    public let family: IPAddress.Family
    /// The table.
    public let table: Table
    /// The chain.
    public let chain: Chain
    /// What happens to a packet that no rule decides on; nil: that is left as it is.
    public let policy: Policy?
    /// The rules, in the words of iptables(8).
    public let rules: [String]
    /// Where they stand in a file.
    public internal(set) var places: SourcePlaces?

    init?(_ message: Ligato_Linux_Iptables_RuleChain, _ findings: inout FieldFindings) {
        name = message.name
        findings.check(name: name, "name")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        interfaces = message.interfaces
        rules = message.rules
        let family = findings.family(message.protocol)
        let chain = findings.chain(message)
        policy = findings.policy(message)
        findings.check(rules: rules)
        guard let family, let chain, let table = findings.table(message.table) else { return nil }
        self.family = family
        self.chain = chain
        self.table = table
        guard table.missing.contains(chain) else { return }
        let type = Schema.plain.enumName(
            message.chainType.rawValue, of: "ligato.linux.iptables.RuleChain.ChainType")
        let word = Schema.plain.enumName(message.table.rawValue, of: "ligato.linux.iptables.RuleChain.Table")
        findings.mistake(["chain_type"], value: type, "is not a chain of table \(word)")
    }
}

extension RuleChainSpec.Table {
    /// The built-in chains that the kernel does not have in this table.
    fileprivate var missing: [RuleChainSpec.Chain] {
        switch self {
        case .filter, .security: [.prerouting, .postrouting]
        case .nat: [.input, .forward]
        case .raw: [.input, .forward, .postrouting]
        case .mangle: []
        }
    }
}

extension FieldFindings {
    fileprivate mutating func check(rules: [String]) {
        if rules.count > RuleText.mostRules {
            mistake(["rules"], "are \(rules.count); a chain takes \(RuleText.mostRules)")
            return
        }
        var total = 0
        for (index, rule) in rules.enumerated() {
            func shown() -> String { rule.utf8.count <= 200 ? rule : "\(rule.prefix(60))…" }
            if let mistake = RuleText.mistake(in: rule) {
                self.mistake(["rules", .element(index)], value: shown(), mistake)
                continue
            }
            let count = RuleText.count(of: rule)
            if total <= RuleText.mostRules, total + count > RuleText.mostRules {
                self.mistake(
                    ["rules", .element(index)], value: shown(),
                    "is \(count > RuleText.mostRules ? "more than \(RuleText.mostRules)" : "\(count)") rules, one for each pair of its addresses: the chain would have more than "
                        + "\(RuleText.mostRules); nftables has sets for that")
            }
            total += count
        }
    }

    fileprivate mutating func family(_ family: Ligato_Linux_Iptables_RuleChain.ProtocolEnum) -> IPAddress.Family? {
        switch family {
        case .ipv4: return .v4
        case .ipv6: return .v6
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.iptables.RuleChain.Protocol", ["protocol"])
            return nil
        }
    }

    fileprivate mutating func table(_ table: Ligato_Linux_Iptables_RuleChain.Table) -> RuleChainSpec.Table? {
        switch table {
        case .filter: return .filter
        case .nat: return .nat
        case .mangle: return .mangle
        case .raw: return .raw
        case .security: return .security
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.iptables.RuleChain.Table", ["table"])
            return nil
        }
    }

    fileprivate mutating func chain(_ message: Ligato_Linux_Iptables_RuleChain) -> RuleChainSpec.Chain? {
        switch message.chainType {
        case .custom:
            if message.chainName.isEmpty {
                mistake(["chain_name"], "is missing; a CUSTOM chain needs one")
            } else if let mistake = ChainName.mistake(in: message.chainName) {
                self.mistake(["chain_name"], value: message.chainName, mistake)
            }
            return .custom(message.chainName)
        case .input: return .input
        case .output: return .output
        case .forward: return .forward
        case .prerouting: return .prerouting
        case .postrouting: return .postrouting
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.iptables.RuleChain.ChainType", ["chain_type"])
            return nil
        }
    }

    fileprivate mutating func policy(_ message: Ligato_Linux_Iptables_RuleChain) -> RuleChainSpec.Policy? {
        let policy: RuleChainSpec.Policy?
        switch message.defaultPolicy {
        case .none: return nil
        case .accept: policy = .accept
        case .drop: policy = .drop
        case .queue: policy = .queue
        case .return: policy = .return
        case .UNRECOGNIZED(let number):
            unknown(number, "ligato.linux.iptables.RuleChain.Policy", ["default_policy"])
            return nil
        }
        if message.table != .filter || message.chainType == .custom {
            mistake(["default_policy"], "is only for built-in chains of table FILTER")
        } else if policy == .queue || policy == .return {
            let word = message.defaultPolicy == .queue ? "QUEUE" : "RETURN"
            impossible(["default_policy"], value: word, "is not a policy any more: iptables knows ACCEPT and DROP")
        }
        return policy
    }
}

extension RuleChainSpec.Chain {
    /// Its name in iptables.
    public var word: String {
        switch self {
        case .custom(let name): name
        case .input: "INPUT"
        case .output: "OUTPUT"
        case .forward: "FORWARD"
        case .prerouting: "PREROUTING"
        case .postrouting: "POSTROUTING"
        }
    }
}

extension RuleChainSpec.Policy {
    /// Its name in iptables.
    public var word: String {
        switch self {
        case .accept: "ACCEPT"
        case .drop: "DROP"
        case .queue: "QUEUE"
        case .return: "RETURN"
        }
    }
}
