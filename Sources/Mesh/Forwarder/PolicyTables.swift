internal import Glibc
internal import Netlink
internal import NetworkTypes

/// Rules and tables of a namespace, as far as policy routes need them.
struct PolicyTables {
    /// All rules of both families.
    private let rules: [Rule]
    /// Routes of both families by table.
    private let routes: [UInt32: [Route]]
    private let usedTables: Set<UInt32>
    private let usedPriorities: Set<UInt32>
    private let lastOfOurs: UInt32?

    /// The limit of rules, or routes, in a namespace that gets policy routes. The namespace belongs to the peer that
    /// requests a connection, and its contents must not delay others.
    private static let mostObjects = 32768

    init(rules: [Rule] = [], routes: [Route] = []) {
        self.rules = rules
        self.routes = Dictionary(grouping: routes, by: \.table)
        usedTables = Set(rules.map(\.table)).union(self.routes.keys).union([253, 254, 255])
        usedPriorities = Set(rules.map(\.priority))
        lastOfOurs = rules.filter { Self.isOurs($0) && Marks.meshPriorities.contains($0.priority) }.map(\.priority)
            .max()
    }

    /// Reads them. Where there are no rules of ours and none are to be made, nothing more is asked.
    init(_ socket: RouteSocket, toAssign: Bool) throws(KernelError) {
        var rules: [Rule] = []
        for case .rule(let rule) in try socket.dump(.rules(), atMost: Self.mostObjects) { rules.append(rule) }
        guard toAssign || rules.contains(where: Self.isOurs) else {
            self.init()
            return
        }
        var routes: [Route] = []
        let dump = try socket.dump(.routes(ignoringKernel: true), atMost: Self.mostObjects)
        for case .route(let route) in dump { routes.append(route) }
        self.init(rules: rules, routes: routes)
    }

    private static func isOurs(_ rule: Rule) -> Bool { rule.proto == Marks.meshProtocol }

    /// Our rules to a table with routes by way of this link.
    func rules(of index: Int32) -> [Rule] {
        rules.filter { rule in
            Self.isOurs(rule)
                && (routes[rule.table] ?? []).contains { route in route.nextHops.contains { $0.linkIndex == index } }
        }
    }

    /// Our rules to empty tables: the link that the routes led to is gone.
    var orphans: [Rule] { rules.filter { Self.isOurs($0) && (routes[$0.table] ?? []).isEmpty } }

    /// The wanted rules with priorities and tables: those that they have by way of this link already, or else free ones.
    func assign(_ wanted: [WantedRule], to index: Int32?) -> [WantedRule] {
        var own = index.map { rules(of: $0) }?.sorted { $0.priority < $1.priority } ?? []
        var table: UInt32 = 0
        var priority: UInt32?
        return wanted.map { wanted in
            var result = wanted
            if let place = own.firstIndex(where: { $0.selects(the: wanted.rule) }) {
                result.rule = own.remove(at: place)
                return result
            }
            table = freeTable(after: table)
            let next = freePriority(after: priority)
            priority = next
            result.rule.table = table
            result.rule.priority = next
            return result
        }
    }

    /// The lowest table above `previous` that nothing uses.
    private func freeTable(after previous: UInt32) -> UInt32 {
        var table = previous + 1
        while usedTables.contains(table) { table += 1 }
        return table
    }

    /// A priority above those of our other rules, so that an earlier policy stays before a later one; before the main
    /// table's.
    private func freePriority(after previous: UInt32?) -> UInt32 {
        var priority = (previous ?? lastOfOurs).map { $0 + 1 } ?? Marks.meshPriorities.lowerBound
        if !Marks.meshPriorities.contains(priority) { priority = Marks.meshPriorities.lowerBound }
        while usedPriorities.contains(priority) { priority += 1 }
        return priority
    }
}

/// A rule that is wanted, and the routes of its table.
struct WantedRule: Hashable {
    var rule: Rule
    var routes: [EndRoute]
}

extension ConnectionEnd {
    /// One rule for each policy, or one for each family where a policy does not say which; without priorities and tables.
    var rules: [WantedRule] {
        var result: [WantedRule] = []
        for policy in policies {
            let destinations = policy.routes.map(\.destination)
            for family in reach.families(from: policy.from, destinations: destinations) {
                var rule = Rule(family: family, priority: 0, from: policy.from, proto: Marks.meshProtocol)
                rule.ipProtocol = policy.ipProtocol
                rule.sourcePorts = policy.sourcePorts
                rule.destinationPorts = policy.destinationPorts
                let routes = policy.routes.isEmpty ? [EndRoute(.any(family))] : policy.routes
                result.append(
                    WantedRule(
                        rule: rule, routes: routes.filter { $0.destination.family == family }.map(resolved)))
            }
        }
        return result
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
