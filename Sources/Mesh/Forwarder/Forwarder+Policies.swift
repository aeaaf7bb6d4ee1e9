internal import Glibc
internal import Netlink
internal import NetworkTypes

/// Rules and tables of a namespace, as far as policy routes need them.
struct PolicyTables {
    /// All rules of both families.
    let rules: [Rule]
    /// Routes of both families by table.
    let routes: [UInt32: [Route]]
    private let usedTables: Set<UInt32>
    private let usedPriorities: Set<UInt32>
    private let lastOfOurs: UInt32?

    private static let span: Range<UInt32> = 10_000..<32_000

    init(rules: [Rule] = [], routes: [Route] = []) {
        self.rules = rules
        self.routes = Dictionary(grouping: routes, by: \.table)
        usedTables = Set(rules.map(\.table)).union(self.routes.keys).union([253, 254, 255])
        usedPriorities = Set(rules.map(\.priority))
        lastOfOurs = rules.filter { $0.proto == Forwarder.ruleProto && Self.span.contains($0.priority) }
            .map(\.priority).max()
    }

    /// Our rules to a table with routes by way of this link.
    func rules(of index: Int32) -> [Rule] {
        rules.filter { rule in
            rule.proto == Forwarder.ruleProto
                && (routes[rule.table] ?? []).contains { route in route.nextHops.contains { $0.linkIndex == index } }
        }
    }

    /// Our rules to empty tables: the link that the routes led to is gone.
    var orphans: [Rule] {
        rules.filter { $0.proto == Forwarder.ruleProto && (routes[$0.table] ?? []).isEmpty }
    }

    /// The lowest table above `previous` that nothing uses.
    func freeTable(after previous: UInt32) -> UInt32 {
        var table = previous + 1
        while usedTables.contains(table) { table += 1 }
        return table
    }

    /// A priority above those of our other rules, so that an earlier policy stays before a later one; before the main
    /// table's.
    func freePriority(after previous: UInt32?) -> UInt32 {
        var priority = (previous ?? lastOfOurs).map { $0 + 1 } ?? Self.span.lowerBound
        if !Self.span.contains(priority) { priority = Self.span.lowerBound }
        while usedPriorities.contains(priority) { priority += 1 }
        return priority
    }
}

/// A rule that is wanted, without priority and table, and the routes of its table.
struct WantedRule: Hashable {
    var rule: Rule
    var routes: [EndRoute]
}

extension Forwarder {
    /// `FRA_PROTOCOL` of our rules: they outlive the link, and this tells whose they were.
    static let ruleProto = Marks.meshRuleProtocol

    /// Makes the rules of an end as they should be.
    func applyPolicies(_ end: ConnectionEnd, _ index: Int32) throws(ForwarderError) {
        let tables = try policyTables(end.namespace)
        let requests = Self.policyRequests(end, index, tables)
        try carryOut(requests, end.namespace, { "\(Self.policyText($0)) on interface \(end.name)" })
    }

    /// What removes the rules that lead to a link.
    func ruleRemovals(_ index: Int32, _ namespace: NetworkNamespace) throws(ForwarderError) -> [Request] {
        let rules = try told("policy rules", namespace) { () throws(KernelError) in try ownRules(namespace) }
        guard !rules.isEmpty else { return [] }
        return try policyTables(namespace).rules(of: index).map { .deleteRule($0) }
    }

    /// Rules, or routes, of a namespace for which policy routes are made. It belongs to whoever asks for a connection, and what
    /// he has there must not hold others up.
    private static let mostObjects = 32768

    private func bounded(_ what: Dump, _ namespace: NetworkNamespace) throws(KernelError) -> [Report] {
        do {
            return try socket(namespace).dump(what, atMost: Self.mostObjects)
        } catch {
            if error.code == E2BIG { dropSocket(namespace) }
            throw error
        }
    }

    private func ownRules(_ namespace: NetworkNamespace) throws(KernelError) -> [Rule] {
        try bounded(.rules(), namespace).compactMap { report in
            if case .rule(let rule) = report, rule.proto == Self.ruleProto { rule } else { nil }
        }
    }

    private func policyTables(_ namespace: NetworkNamespace) throws(ForwarderError) -> PolicyTables {
        try told("policy rules", namespace) { () throws(KernelError) in
            var rules: [Rule] = []
            for case .rule(let rule) in try bounded(.rules(), namespace) { rules.append(rule) }
            var routes: [Route] = []
            for case .route(let route) in try bounded(.routes(ignoringKernel: true), namespace) { routes.append(route) }
            return PolicyTables(rules: rules, routes: routes)
        }
    }

    /// What makes the rules and tables of an end as they should be. Routes come before the rule that leads to them.
    static func policyRequests(_ end: ConnectionEnd, _ index: Int32, _ tables: PolicyTables) -> [Request] {
        var own = tables.rules(of: index).sorted { $0.priority < $1.priority }
        var table: UInt32 = 0
        var priority: UInt32?
        var additions: [Request] = []
        for wanted in wantedRules(end) {
            if let place = own.firstIndex(where: { $0.selects(the: wanted.rule) }) {
                let rule = own.remove(at: place)
                additions += tableRequests(wanted, end, index, rule.table, tables.routes[rule.table] ?? [])
                continue
            }
            var rule = wanted.rule
            table = tables.freeTable(after: table)
            rule.table = table
            let next = tables.freePriority(after: priority)
            rule.priority = next
            priority = next
            additions += tableRequests(wanted, end, index, table, [])
            additions.append(.addRule(rule))
        }
        var removals: [Request] = []
        for rule in own {
            removals.append(.deleteRule(rule))
            removals += (tables.routes[rule.table] ?? []).filter { $0.destination.family == rule.family }
                .map { .deleteRoute($0) }
        }
        return additions + removals + tables.orphans.map { .deleteRule($0) }
    }

    /// One rule for each policy, or one for each family where a policy does not say which.
    static func wantedRules(_ end: ConnectionEnd) -> [WantedRule] {
        var result: [WantedRule] = []
        for policy in end.policies {
            for family in families(policy, end) {
                var rule = Rule(family: family, priority: 0, from: policy.from, proto: ruleProto)
                rule.ipProtocol = policy.ipProtocol
                rule.sourcePorts = policy.sourcePorts
                rule.destinationPorts = policy.destinationPorts
                let routes = policy.routes.isEmpty ? [EndRoute(.any(family))] : policy.routes
                result.append(WantedRule(rule: rule, routes: routes.filter { $0.destination.family == family }))
            }
        }
        return result
    }

    private static func families(_ policy: EndPolicy, _ end: ConnectionEnd) -> [IPAddress.Family] {
        if let from = policy.from { return [from.family] }
        let named =
            policy.routes.isEmpty ? (end.addresses + end.peers).map(\.family) : policy.routes.map(\.destination.family)
        return named.isEmpty ? [.v4] : Set(named).sorted()
    }

    /// Routes of one table: adds what is missing, removes what is too much.
    private static func tableRequests(
        _ wanted: WantedRule, _ end: ConnectionEnd, _ index: Int32, _ table: UInt32, _ present: [Route]
    ) -> [Request] {
        let routes = wanted.routes.map { route($0, end, index, table: table) }
        let mine = present.filter { $0.destination.family == wanted.rule.family }
        let missing = routes.filter { route in !mine.contains { $0.leadsLike(route) } }
        let extra = mine.filter { route in !routes.contains { $0.destination == route.destination } }
        return missing.map { .addRoute($0, replace: true) } + extra.map { .deleteRoute($0) }
    }

    private static func policyText(_ request: Request) -> String {
        switch request {
        case .addRule(let rule), .deleteRule(let rule):
            "policy rule from \(rule.from.map { "\($0)" } ?? "all") to table \(rule.table)"
        case .addRoute(let route, _), .deleteRoute(let route): "route to \(route.destination) in table \(route.table)"
        default: "policy"
        }
    }
}

extension Rule {
    /// Whether both choose the same packets.
    fileprivate func selects(the other: Rule) -> Bool {
        var copy = self
        copy.priority = other.priority
        copy.table = other.table
        return copy == other
    }
}

extension Route {
    /// Whether both lead to the same place; the kernel fills in metrics of its own.
    fileprivate func leadsLike(_ other: Route) -> Bool {
        destination == other.destination && nextHops.map(\.gateway) == other.nextHops.map(\.gateway)
            && nextHops.map(\.linkIndex) == other.nextHops.map(\.linkIndex)
    }
}
