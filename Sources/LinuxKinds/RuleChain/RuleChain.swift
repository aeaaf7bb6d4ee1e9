internal import Model
internal import Netlink
public import Reconciler

/// When chains come among others: those that rules jump to before those that packets pass anyway.
public protocol ChainOrder: Hashable, Sendable {
    /// See ``Value/rank``.
    static var rank: Int { get }
}

/// Chains that rules jump to.
public enum CustomChains: ChainOrder {
    /// Before built-in ones.
    public static let rank = 8
}

/// Chains that the kernel has.
public enum BuiltInChains: ChainOrder {
    /// After custom ones.
    public static let rank = 9
}

/// Rules of iptables in one chain, and what is left to its policy.
///
/// Rules of others in the chain stay where they are, and a custom chain of theirs stays when ours is withdrawn.
public struct RuleChain<Order: ChainOrder>: Value {
    /// The word for rule chains in plans and status.
    public static var kind: String { RuleChainKind.word }
    /// After links, addresses and routes: the packets it is about don't come earlier.
    public static var rank: Int { Order.rank }

    private let namespace: NamespaceReference
    private let id: FilterTable.ID
    private let table: RuleChainSpec.Table
    private let mark: RuleMark
    private let chain: String
    private let isCustom: Bool
    private let policy: String?
    /// As the user wrote them.
    private let rules: [String]
    private let interfaces: [String]
    /// Where the rules stand in a file, for what iptables says of them.
    private let places: SourcePlaces?

    /// Takes a checked chain.
    init(_ spec: RuleChainSpec, ownership: Ownership) {
        namespace = NamespaceReference(spec.namespace)
        id = FilterTable.ID(spec.family == .v4 ? .ip : .ip6, spec.table.word)
        table = spec.table
        mark = RuleMark(ownership, name: spec.name)
        chain = spec.chain.word
        isCustom = spec.isCustom
        policy = spec.policy?.word
        rules = spec.rules
        interfaces = spec.interfaces
        places = spec.places
    }

    /// The interfaces.
    public var dependencies: [Dependency<LinuxWorld>] {
        namespace.dependencies
            + Set(interfaces).sorted().map {
                Dependency(label: "interface-exists-\($0)", target: .key(InterfaceKeys.key($0)))
            }
    }

    /// `rule chain FORWARD of table filter (IPv6) in p1`
    public var summary: String {
        "rule chain \(chain) of table \(id.name)\(id.family == .ip6 ? " (IPv6)" : "")\(namespace.suffix)"
    }

    /// The namespace.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(namespace).map { [$0] } ?? []
    }

    /// Reports about the table concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, table: id, in: namespace)
        if isCustom { world.declaredChains.enter(mark, chain, id, namespace) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, table: id, in: namespace)
        world.forgetRefusal(.rules(mark))
        if isCustom { world.declaredChains.leave(mark, chain, id, namespace) }
    }

    /// Rules with our mark are ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let state = world.byReference[namespace], (try? world.rules(of: id, table, in: state)) != nil,
            state.ruleTables[id]?.marks.contains(mark) == true
        else { return nil }
        state.ruleTables[id]?.claims[mark] = Claim(pass: world.pass, claimant: claimant)
        return Place(state, .rules(id, mark))
    }

    /// Compares with the rules of the chain, as iptables writes both.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let state = world.byReference[namespace]
        let now: SavedTable
        let wanted: [SavedTable.Rule]
        do throws(ProgramError) {
            now =
                try state.map { state throws(ProgramError) in try world.rules(of: id, table, in: state) }
                ?? SavedTable(empty: table)
            wanted = try normalRules(beside: now, world)
        } catch {
            world.refusedTexts.note(.rules(mark), isRefused: true)
            return Assessment(.blocked(error.text(places)))
        }
        let other = state.flatMap { otherPolicy(now, $0, world) }
        world.refusedTexts.note(.rules(mark), isRefused: other != nil)
        if let other { return Assessment(.blocked(other)) }
        var new = now
        new.put(
            SavedTable.Part(mark: mark, chain: chain, isCustom: isCustom, policy: policy, rules: wanted),
            memory: state?.ruleTables[id]?.memory[mark])
        addTargets(of: wanted, to: &new, world)
        guard let action = RuleChainClass.load(id, from: now, to: new, what: "load \(chain)", places: places) else {
            return .inPlace
        }
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
        }
        plan.add(action)
        guard state?.ruleTables[id]?.marks.contains(mark) == true else {
            return Assessment(.create, operations: plan.operations)
        }
        return Assessment(.update, operations: plan.operations, differences: differences(now, new, world))
    }

    /// The rules as iptables writes them, with the mark.
    private func normalRules(beside now: SavedTable, _ world: LinuxWorld) throws(ProgramError) -> [SavedTable.Rule] {
        var others = Set(now.chains.filter { $0.policy == nil }.map(\.name))
        others.formUnion(world.declaredChains.marks(id, namespace).keys)
        // Those that no rule can lead to make no difference.
        let words = Set(rules.flatMap { RuleText.words(of: $0)?.map(\.text) ?? [] })
        others.formIntersection(words)
        if isCustom { others.insert(chain) }
        return try world.ruleForms.rules(
            for: RuleForms.Question(table: id, chain: chain, rules: rules, others: others),
            in: table, mark: mark, prefix: world.rulePrefix, world.programs)
    }

    /// Declared chains to which rules lead are there with them, empty at first, whichever value comes first.
    private func addTargets(of rules: [SavedTable.Rule], to table: inout SavedTable, _ world: LinuxWorld) {
        let declared = world.declaredChains.marks(id, namespace)
        if declared.isEmpty { return }
        for target in Set(rules.compactMap(\.target)).sorted() where table[target] == nil {
            guard let other = declared[target] else { continue }
            let part = SavedTable.Part(mark: other, chain: target, isCustom: true, policy: nil, rules: [])
            table.put(part)
        }
    }

    /// Two values can't both have their policy.
    private func otherPolicy(_ now: SavedTable, _ state: NamespaceState, _ world: LinuxWorld) -> String? {
        guard let policy, let rules = now[chain]?.rules, let known = state.ruleTables[id] else { return nil }
        for rule in rules {
            guard let other = rule.mark, other != mark, let ours = rule.note?.policy?.ours, ours != policy,
                let claim = known.claims[other], world.isClaimed(claim)
            else { continue }
            return "rule chain \(other.name(world.ownership)) wants policy \(ours) for \(chain), this one \(policy)"
        }
        return nil
    }

    private func differences(_ now: SavedTable, _ new: SavedTable, _ world: LinuxWorld) -> [Difference] {
        var result: [Difference] = []
        if let old = now[chain]?.policy, let policy = new[chain]?.policy, old != policy {
            result.append(Difference("policy", old: old, new: policy))
        }
        let old = now[chain]?.rules(of: mark) ?? []
        let wanted = new[chain]?.rules(of: mark) ?? []
        let difference = wanted.difference(from: old)
        for case .remove(_, let rule, _) in difference.removals {
            result.append(Difference("rules", old: mark.unmarked(rule.text), new: ""))
        }
        for case .insert(_, let rule, _) in difference.insertions {
            result.append(Difference("rules", old: "", new: mark.unmarked(rule.text)))
        }
        return result
    }
}

enum RuleChainKind {
    static let word = "rule chain"

    /// The value of a chain.
    static func value(_ spec: RuleChainSpec, ownership: Ownership) -> any Value<LinuxWorld> {
        spec.isCustom
            ? RuleChain<CustomChains>(spec, ownership: ownership)
            : RuleChain<BuiltInChains>(spec, ownership: ownership)
    }
}

extension RuleChainSpec {
    /// Whether it is a custom chain, not one of the kernel's built-in chains.
    fileprivate var isCustom: Bool { if case .custom = chain { true } else { false } }
}
