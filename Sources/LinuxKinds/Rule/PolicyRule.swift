internal import Model
public import Netlink
internal import NetworkTypes
public import Reconciler

enum RuleKeys {
    static let prefix = ModelRegistry.model(.rule).keyPrefix
}

/// A policy rule: which table a packet is looked up in.
public struct PolicyRule: Value {
    /// The word for rules in plans and status.
    public static let kind = "rule"
    /// After routes, so that a table is filled before packets are sent to it.
    public static let rank = 6

    let name: String
    let namespace: NamespaceReference
    /// The kernel's form of it.
    private let rule: Rule

    /// Takes a checked rule.
    init(_ spec: RuleSpec) {
        name = spec.name
        namespace = NamespaceReference(spec.namespace)
        let table: UInt32
        let action: UInt8
        switch spec.action {
        case .lookup(let number): (table, action) = (number, Numbers.lookupAction)
        case .lookupOfVRF: (table, action) = (0, Numbers.lookupAction)
        case .drop(let type): (table, action) = (0, Numbers.routeType[type])
        }
        var rule = Rule(
            family: spec.family, priority: spec.priority, from: spec.from, to: spec.to,
            inputInterface: spec.inputInterface, outputInterface: spec.outputInterface, mark: spec.mark,
            mask: spec.mask, table: table, action: action, invert: spec.isInverted)
        rule.ipProtocol = spec.ipProtocol
        (rule.sourcePorts, rule.destinationPorts) = (spec.sourcePorts, spec.destinationPorts)
        (rule.users, rule.suppressedLength) = (spec.users, spec.suppressedLength)
        rule.isOfVRF = spec.action == .lookupOfVRF
        self.rule = rule
    }

    /// Takes the kernel's form of a rule in a namespace that is known by a label.
    public init(_ name: String, _ rule: Rule, in microservice: String) {
        self.name = name
        namespace = .microservice(microservice)
        self.rule = rule
    }

    /// None: a rule may name a table that is empty.
    public var dependencies: [Dependency<LinuxWorld>] { namespace.dependencies }

    /// `rule 100 from 10.0.0.0/8 lookup 100`
    public var summary: String { "rule \(rule.text)\(namespace.suffix)" }

    /// The namespace.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(namespace).map { [$0] } ?? []
    }

    private func wanted(in world: LinuxWorld) -> Rule {
        var rule = rule
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
        return Assessment(.create, operations: plan.operations, differences: plan.operations.newNamespaces)
    }
}
