internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum RuleKeys {
    static let prefix = "config/nsmagent/linux/v1/rule/"
}

/// A policy rule: which table a packet is looked up in.
public struct PolicyRule: Value {
    /// The word for rules in plans and status.
    public static let kind = "rule"
    /// After routes, so that a table is filled before packets are sent to it.
    public static let rank = 6

    let name: String
    let namespace: NamespaceReference
    private let rule: RuleSelector

    init(_ message: Nsmagent_Linux_Rule) throws(InvalidValue) {
        name = message.name
        namespace = NamespaceReference(message.namespace, given: message.hasNamespace)
        rule = try RuleSelector(message)
    }

    /// None: a rule may name a table that is empty.
    public var dependencies: [Dependency<LinuxWorld>] { [] }

    /// `rule 100 from 10.0.0.0/8 lookup 100`
    public var summary: String { "rule \(rule.rule)\(namespace.suffix)" }

    /// The namespace.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(namespace).map { [$0] } ?? []
    }

    private func wanted(in world: LinuxWorld) -> Rule {
        var rule = rule.rule
        rule.proto = world.ownership.proto
        return rule
    }

    /// Reports about the same rule concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, rule: wanted(in: world), in: namespace)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, rule: wanted(in: world), in: namespace)
    }

    /// The kernel's rule is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        let rule = wanted(in: world)
        guard let state = world.byReference[namespace], state.rules[rule] != nil else { return nil }
        state.rules[rule] = Claim(pass: world.pass, claimant: claimant)
        return Place(state, .rule(rule))
    }

    /// Compares with the rules of the namespace.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let rule = wanted(in: world)
        if let state = world.byReference[namespace] {
            // What somebody else made need not be made.
            if state.rules[rule] != nil || state.foreignRules.contains(rule) { return .inPlace }
        }
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
        }
        plan.add(.request(.addRule(rule)))
        return Assessment(.create, operations: plan.operations)
    }
}

/// The kernel's form of a rule.
private struct RuleSelector: Hashable, Sendable {
    let rule: Rule

    init(_ message: Nsmagent_Linux_Rule) throws(InvalidValue) {
        func prefix(_ text: String, _ field: String) throws(InvalidValue) -> IPPrefix? {
            if text.isEmpty { return nil }
            guard let prefix = IPPrefix(text) else { throw InvalidValue(field, text: "'\(text)' is not an IP prefix") }
            return prefix.length == 0 ? nil : prefix.network
        }
        let from = try prefix(message.from, "from")
        let to = try prefix(message.to, "to")
        let named = IPPrefix(message.from)?.family ?? IPPrefix(message.to)?.family
        let action: UInt8 =
            switch message.action {
            case .lookup, .UNRECOGNIZED: 1
            case .blackhole: 6
            case .unreachable: 7
            case .prohibit: 8
            }
        rule = Rule(
            family: named ?? (message.family == .ipv6 ? .v6 : .v4), priority: message.priority, from: from, to: to,
            inputInterface: message.iif.isEmpty ? nil : message.iif,
            outputInterface: message.oif.isEmpty ? nil : message.oif, mark: message.fwmark,
            mask: message.fwmark == 0 ? message.fwmask : message.fwmask == 0 ? .max : message.fwmask,
            table: action == 1 ? message.table : 0, action: action, invert: message.invert)
    }
}
