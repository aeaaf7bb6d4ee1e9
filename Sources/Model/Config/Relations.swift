internal import NetworkTypes

/// What relates values to each other, by name, and what is wrong between them.
struct Relations: Sendable {
    typealias Ref = ConfigSet.Ref
    typealias Refs = ConfigSet.Refs

    /// A name in the kernel.
    struct HostName: Hashable, Sendable {
        var namespace: NetNamespace
        var name: String
    }

    /// A chain of the kernel's whose policy can be set.
    struct PolicyPlace: Hashable, Sendable {
        var namespace: NetNamespace
        var family: IPAddress.Family
        var chain: RuleChainSpec.Chain
    }

    /// Something wrong with a value, because of another one.
    struct Problem: Sendable {
        var path: [PathPart]
        var value: String?
        var text: String
        /// Whether the value is the name of an interface that is not there, so that another may be meant.
        var isMissing = false
        /// The other value that it is about.
        var other: Ref?
    }

    /// What is wrong with one value.
    struct Problems: Sendable {
        var list: [Problem] = []
        /// How many more there are.
        var omitted = 0

        mutating func add(_ problem: @autoclosure () -> Problem) {
            if list.count < Findings.limit { list.append(problem()) } else { omitted += 1 }
        }
    }

    /// Interfaces by logical name.
    private(set) var interfaces: [String: Refs] = [:]
    /// Interfaces by name in the kernel.
    private(set) var hosts: [HostName: Refs] = [:]
    /// Interfaces by the logical names they refer to.
    private(set) var referrers: [String: Refs] = [:]
    /// Interfaces by what only one can have.
    private(set) var shares: [LinkShare: Refs] = [:]
    /// Bridges and the like by the logical names of their ports.
    private(set) var ports: [String: Refs] = [:]
    /// Clients by interface.
    private(set) var clients: [String: Refs] = [:]
    /// Rule chains with a policy, by the chain it is for.
    private(set) var policies: [PolicyPlace: Refs] = [:]
    /// Routes by the interfaces they leave by, and by their places in the kernel.
    private(set) var routeUsers: [String: Refs] = [:]
    private(set) var routes: [RoutePlace: Refs] = [:]
    private var routePlaces: [Ref: RoutePlace] = [:]
    /// Nexthops by name, by their interfaces, and by the numbers that they say.
    private(set) var nextHops: [String: Refs] = [:]
    private(set) var nextHopsOver: [String: Refs] = [:]
    private(set) var nextHopNumbers: [UInt32: Refs] = [:]
    /// Groups and routes by the nexthops they name.
    private(set) var nextHopUsers: [String: Refs] = [:]
    /// What the names of endpoints' interfaces begin with, and how many say so.
    private(set) var prefixes: [String: Int] = [:]
    /// Interfaces that are declared, but wrongly, and how often.
    private(set) var broken: [String: Int] = [:]
    /// Texts that were not read as a whole.
    private(set) var incompleteTexts = 0
    /// Texts with values that could not be understood.
    private(set) var flawedTexts = 0
    /// Routes and groups that name a nexthop that is not there.
    var lost: Set<Ref> = []
    /// Values that refer to an interface that is not there.
    var unresolved: Set<Ref> = []
    /// What is wrong.
    private(set) var problems: [Ref: Problems] = [:]
    /// Values of which what is wrong was looked at again, if anything was or is.
    private var changedProblems: Set<Ref> = []
    /// Whether everything that is referred to is to be there.
    var expectsAll = true
    /// Whether nothing was checked yet. Then all is concerned, and what changes is not noted one by one.
    private(set) var isFirst = true

    // What changed since the last check.
    private(set) var changedNames: Set<String> = []
    private(set) var changedHosts: Set<HostName> = []
    private(set) var changedShares: Set<LinkShare> = []
    private(set) var changedPorts: Set<String> = []
    private(set) var changedClients: Set<String> = []
    private(set) var changedPolicies: Set<PolicyPlace> = []
    private(set) var changedValues: Set<Ref> = []
    private(set) var changedRoutes: Set<Ref> = []
    private(set) var changedNextHops: Set<String> = []
    private(set) var changedNumbers: Set<UInt32> = []
    /// Places that a route left.
    private(set) var leftPlaces: Set<RoutePlace> = []

    /// Notes what is wrong with a value; nil: nothing is.
    mutating func setProblems(of ref: Ref, to new: Problems?) {
        let new = new.flatMap { $0.list.isEmpty ? nil : $0 }
        if problems.isEmpty, new == nil { return }
        if problems.updateValue(new, of: ref) != nil || new != nil { changedProblems.insert(ref) }
    }

    /// Values of which what is wrong was looked at again since the last call, if anything was or is.
    mutating func takeChangedProblems() -> Set<Ref> {
        defer { changedProblems = [] }
        return changedProblems
    }

    mutating func forgetChanges() {
        isFirst = false
        changedNames = []
        changedHosts = []
        changedShares = []
        changedPorts = []
        changedClients = []
        changedPolicies = []
        changedValues = []
        changedRoutes = []
        changedNextHops = []
        changedNumbers = []
        leftPlaces = []
    }

    mutating func add(_ ref: Ref, _ item: ConfigText.Item) {
        note(ref, item, isThere: true) { refs in refs.add(ref) }
    }

    mutating func remove(_ ref: Ref, _ item: ConfigText.Item) {
        setProblems(of: ref, to: nil)
        unresolved.remove(ref)
        lost.remove(ref)
        note(ref, item, isThere: false) { refs in refs.remove(ref) }
        changedValues.remove(ref)
        changedRoutes.remove(ref)
        if let place = setPlace(of: ref, to: nil) { leftPlaces.insert(place) }
    }

    /// Notes where a route is. Returns where it was, if that changed.
    mutating func setPlace(of ref: Ref, to place: RoutePlace?) -> RoutePlace? {
        let former = routePlaces[ref]
        if former == place { return nil }
        if let former {
            routes[former]?.remove(ref)
            if routes[former]?.isEmpty == true { routes[former] = nil }
        }
        routePlaces[ref] = place
        if let place { routes[place, default: Refs()].add(ref) }
        return former
    }

    private mutating func note(_ ref: Ref, _ item: ConfigText.Item, isThere: Bool, _ change: (inout Refs) -> Void) {
        func update<Key: Hashable>(_ table: inout [Key: Refs], _ key: Key) {
            change(&table[key, default: Refs()])
            if !isThere, table[key]?.isEmpty == true { table[key] = nil }
        }
        switch item.specification {
        case .interface(let interface):
            let host = HostName(interface)
            update(&interfaces, interface.name)
            update(&hosts, host)
            for name in interface.references { update(&referrers, name) }
            let link = interface.checkedLink
            let share = link.share(in: interface.namespace)
            if let share { update(&shares, share) }
            for port in link.ports { update(&ports, port) }
            if isFirst { return }
            changedNames.insert(interface.name)
            changedHosts.insert(host)
            if let share { changedShares.insert(share) }
            changedPorts.formUnion(link.ports)
            changedValues.insert(ref)
        case .client(let client):
            update(&clients, client.interfaceName)
            if !isFirst { changedClients.insert(client.interfaceName) }
        case .endpoint(let endpoint): count(&prefixes, endpoint.interfaceNamePrefix, isThere ? 1 : -1)
        case .ruleChain(let chain):
            guard let place = PolicyPlace(chain) else { return }
            update(&policies, place)
            if !isFirst { changedPolicies.insert(place) }
        case .route(let route):
            let names = route.hops.map(\.interface)
            for name in names.count > 1 ? Array(Set(names)) : names { update(&routeUsers, name) }
            if let name = route.nextHop { update(&nextHopUsers, name) }
            if isThere, !isFirst { changedRoutes.insert(ref) }
        case .nextHop(let hop):
            update(&nextHops, hop.name)
            if let interface = hop.interface { update(&nextHopsOver, interface) }
            if let id = hop.id { update(&nextHopNumbers, id) }
            for name in Set(hop.members.map(\.name)) { update(&nextHopUsers, name) }
            if isFirst { return }
            changedNextHops.insert(hop.name)
            if let id = hop.id { changedNumbers.insert(id) }
        case .neighbour, .allocation, .namespace, .rule, .filterTable, .forwarding, .qdisc, .service, nil:
            break
        }
    }

    mutating func addBroken(_ text: ConfigText) { noteBroken(text, 1) }

    mutating func removeBroken(_ text: ConfigText) { noteBroken(text, -1) }

    private mutating func noteBroken(_ text: ConfigText, _ step: Int) {
        if text.isIncomplete { incompleteTexts += step }
        if !text.invalidValues.isEmpty || !text.mistakes.isEmpty { flawedTexts += step }
        for name in text.brokenInterfaces { count(&broken, name, step) }
    }

    private func count(_ table: inout [String: Int], _ name: String, _ step: Int) {
        let number = (table[name] ?? 0) + step
        table[name] = number == 0 ? nil : number
    }

    /// Whether an interface that nobody declares may come with a connection.
    func mayBring(_ name: String) -> Bool {
        if clients[name] != nil { return true }
        // Names in the kernel are short.
        guard !prefixes.isEmpty, name.utf8.count <= InterfaceName.maximumLength else { return false }
        return name.indices.dropFirst().contains { prefixes[String(name[..<$0])] != nil }
    }
}

extension Dictionary {
    /// Sets a value or takes it out. Returns the former one.
    fileprivate mutating func updateValue(_ value: Value?, of key: Key) -> Value? {
        if let value { return updateValue(value, forKey: key) }
        return removeValue(forKey: key)
    }
}

extension Relations.HostName {
    init(_ interface: InterfaceSpec) {
        self.init(namespace: interface.namespace.identity, name: interface.hostName)
    }
}

extension Relations.PolicyPlace {
    /// nil: the chain wants no policy.
    init?(_ chain: RuleChainSpec) {
        if chain.policy == nil { return nil }
        self.init(namespace: chain.namespace.identity, family: chain.family, chain: chain.chain)
    }
}

extension InterfaceSpec {
    /// Logical names of all interfaces that it refers to.
    fileprivate var references: [String] {
        let link = checkedLink
        var names = link.ports
        if let vrf { names.append(vrf) }
        if let peer = link.peer { names.append(peer) }
        if let parent = link.parent { names.append(parent) }
        return names
    }
}
