internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What declared values are found by: each other by name, and by the kernel's reports.
///
/// Every value enters and leaves by itself, so a change costs what it changes.
struct Declarations {
    /// Declared interfaces by logical name.
    private(set) var interfaces: [String: DeclaredInterface] = [:]
    /// Declared allocations by `network/interface`.
    private(set) var allocations: [String: Allocation] = [:]
    /// The declared interface whose link carries an alias, by logical name.
    private var names: [String: String] = [:]
    /// Logical names of the interfaces that are to have a name in the kernel.
    private var hostNames: [NamespaceReference: [String: SmallSet<Key>]] = [:]
    /// Keys of the values that have to do with an interface, by its logical name.
    private var users: [String: SmallSet<Key>] = [:]
    /// Keys of the values that have to do with a link, by namespace and name in the kernel; with the empty name, those that
    /// have to do with the namespace itself.
    private var linkUsers: [NamespaceReference: [String: SmallSet<Key>]] = [:]
    /// Keys of declared policy rules.
    private var ruleUsers: [NamespaceReference: [Rule: Set<Key>]] = [:]
    /// Keys of values that are tables of nf_tables, or parts of them.
    private var tableUsers: [NamespaceReference: [FilterTable.ID: Set<Key>]] = [:]
    /// Keys of routes that prefer an address, by the logical name of the interface that they leave by.
    private var sourceUsers: [IPAddress: [String: SmallSet<Key>]] = [:]
    /// Declared nexthop objects by name.
    private var nextHopValues: [String: NextHopValue] = [:]
    /// Their names by number.
    private var nextHopNames: [UInt32: SmallSet<String>] = [:]
    /// Keys of values that are or use a nexthop object, by its name.
    private var nextHopUsers: [String: SmallSet<Key>] = [:]
    /// How many values say how packets queue.
    var qdiscCount = 0
    /// Keys of values that are forwarding entries of bridges.
    private var forwardingUsers: [MACAddress: SmallSet<Key>] = [:]
    /// In how many values a namespace occurs.
    private var references = Tally()
    /// In how many values settings of a namespace are declared.
    private var settings = Tally()
    /// How many ends of veth pairs are declared to be in a namespace.
    private var vethEnds = Tally()
    /// The interfaces that are known by what they are.
    private(set) var matching = MatchIndex()
    /// Values of which no event tells.
    private(set) var silent: [Key: any SilentValue] = [:]
    /// Logical names of the interfaces that have an MTU of their own, and that of their ports otherwise.
    private(set) var chosenMTUs: Set<String> = []
    /// Settings of the MTU of IPv6.
    private(set) var mtusV6: [Key: SysctlSetting] = [:]
    /// Those of containers among them; kept apart, as others look.
    var changedContainers: Set<NamespaceReference> = []
    /// Namespaces that occurred for the first time, or for the last, since somebody looked.
    var changedReferences: Set<NamespaceReference> = []

    /// Namespaces that occur in values.
    var referenced: some Collection<NamespaceReference> { references.counts.keys }
    /// Whether a namespace occurs in a value.
    func isReferenced(_ reference: NamespaceReference) -> Bool { references.counts[reference] != nil }
    /// Whether settings of a namespace are declared.
    func hasSettings(_ reference: NamespaceReference) -> Bool { settings.counts[reference] != nil }
    /// How many ends of veth pairs are declared to be in a namespace.
    func vethEnds(in reference: NamespaceReference) -> Int { vethEnds.counts[reference] ?? 0 }
    /// The declared interface whose link carries an alias.
    func interface(alias: String) -> Interface? {
        (names[alias] ?? names[Ownership.split(alias).mark]).flatMap { interfaces[$0]?.value }
    }

    // MARK: - What no event tells of

    /// A value is one that is looked at from time to time.
    mutating func enter(silent value: any SilentValue, key: Key) { silent[key] = value }

    mutating func leave(silent key: Key) { silent.removeValue(forKey: key) }

    /// A value is the MTU of IPv6 on an interface.
    mutating func enter(mtuV6 setting: SysctlSetting, key: Key) { mtusV6[key] = setting }

    mutating func leave(mtuV6 key: Key) { mtusV6[key] = nil }

    // MARK: - Interfaces and allocations

    mutating func enter(_ interface: Interface, key: Key) {
        interfaces[interface.name] = DeclaredInterface(interface)
        names[interface.alias] = interface.name
        hostNames[interface.namespace, default: [:]][interface.hostName, default: SmallSet<Key>()].insert(
            interface.name)
        refer(to: interface.namespace, by: 1)
        if !interface.sysctls.isEmpty { settings.add(interface.namespace, by: 1) }
        if type(of: interface.kind).followsPorts, interface.mtu != nil { chosenMTUs.insert(interface.name) }
        if interface.kind.peer != nil { vethEnds.add(interface.namespace, by: 1) }
        matching.insert(interface)
        enter(key, user: interface.name)
    }

    mutating func leave(_ interface: Interface, key: Key) {
        interfaces[interface.name] = nil
        names[interface.alias] = nil
        hostNames.remove(interface.name, interface.namespace, interface.hostName)
        refer(to: interface.namespace, by: -1)
        if !interface.sysctls.isEmpty { settings.add(interface.namespace, by: -1) }
        chosenMTUs.remove(interface.name)
        matching.remove(interface)
        if interface.kind.peer != nil { vethEnds.add(interface.namespace, by: -1) }
        leave(key, user: interface.name)
    }

    mutating func enter(_ allocation: Allocation) { allocations[allocation.id] = allocation }

    mutating func leave(_ allocation: Allocation) { allocations[allocation.id] = nil }

    // MARK: - What has to do with a link

    /// A value has to do with a declared interface.
    mutating func enter(_ key: Key, user interface: String) { users[interface, default: SmallSet<Key>()].insert(key) }

    mutating func leave(_ key: Key, user interface: String) {
        users[interface]?.remove(key)
        if users[interface]?.isEmpty == true { users[interface] = nil }
    }

    /// A value has to do with an interface, which may be declared, or else is a link of that name in the kernel.
    mutating func enter(_ key: Key, user interface: String, in namespace: NamespaceReference) {
        enter(key, user: interface)
        enter(key, link: interface, in: namespace)
    }

    mutating func leave(_ key: Key, user interface: String, in namespace: NamespaceReference) {
        leave(key, user: interface)
        leave(key, link: interface, in: namespace)
    }

    /// A value has to do with a link of that name in the kernel; without a name, with the namespace.
    mutating func enter(_ key: Key, link: String = "", in namespace: NamespaceReference) {
        linkUsers[namespace, default: [:]][link, default: SmallSet<Key>()].insert(key)
        refer(to: namespace, by: 1)
    }

    mutating func leave(_ key: Key, link: String = "", in namespace: NamespaceReference) {
        linkUsers.remove(key, namespace, link)
        refer(to: namespace, by: -1)
    }

    /// A value is a route by an interface that prefers an address, on whatever link that is; without a name, by none.
    mutating func enter(_ key: Key, from source: IPAddress, over interface: String = "") {
        sourceUsers[source, default: [:]][interface, default: SmallSet<Key>()].insert(key)
    }

    mutating func leave(_ key: Key, from source: IPAddress, over interface: String = "") {
        sourceUsers.remove(key, source, interface)
    }

    /// The values that an address of a namespace concerns, beside those of its link. Where the same address is in many
    /// namespaces those of others are left out.
    func addKeys(
        from source: IPAddress, in namespace: NamespaceReference, _ state: NamespaceState?, to keys: inout Set<Key>
    ) {
        guard let users = sourceUsers[source] else { return }
        let names = hostNames[namespace] ?? [:]
        let links = state?.links ?? [:]
        if users.count <= names.count + links.count {
            for some in users.values { some.add(to: &keys) }
            return
        }
        users[""]?.add(to: &keys)
        for name in names.values { name.forEach { users[$0]?.add(to: &keys) } }
        for link in links.values { users[link.link.name]?.add(to: &keys) }
    }

    /// Whether routes prefer addresses.
    var hasSources: Bool { !sourceUsers.isEmpty }

    /// A value is a bridge's forwarding entry for an address.
    mutating func enter(_ key: Key, forwarding mac: MACAddress) {
        forwardingUsers[mac, default: SmallSet<Key>()].insert(key)
    }

    mutating func leave(_ key: Key, forwarding mac: MACAddress) {
        forwardingUsers[mac]?.remove(key)
        if forwardingUsers[mac]?.isEmpty == true { forwardingUsers[mac] = nil }
    }

    /// The values that an entry of a bridge for an address concerns, whatever their ports.
    func addKeys(forwarding mac: MACAddress, to keys: inout Set<Key>) { forwardingUsers[mac]?.add(to: &keys) }

    /// A value is a nexthop object, and perhaps a group of others.
    mutating func enter(_ key: Key, nextHop value: NextHopValue) {
        nextHopValues[value.name] = value
        nextHopNames[value.id, default: SmallSet<String>()].insert(value.name)
        enter(key, userOfNextHop: value.name)
        for member in value.members { enter(key, userOfNextHop: member) }
    }

    mutating func leave(_ key: Key, nextHop value: NextHopValue) {
        nextHopValues[value.name] = nil
        nextHopNames[value.id]?.remove(value.name)
        if nextHopNames[value.id]?.isEmpty == true { nextHopNames[value.id] = nil }
        leave(key, userOfNextHop: value.name)
        for member in value.members { leave(key, userOfNextHop: member) }
    }

    /// A value uses a nexthop object.
    mutating func enter(_ key: Key, userOfNextHop name: String) {
        nextHopUsers[name, default: SmallSet<Key>()].insert(key)
    }

    mutating func leave(_ key: Key, userOfNextHop name: String) {
        nextHopUsers[name]?.remove(key)
        if nextHopUsers[name]?.isEmpty == true { nextHopUsers[name] = nil }
    }

    /// Whether any nexthop object is declared.
    var hasNextHops: Bool { !nextHopValues.isEmpty }

    /// A declared nexthop object.
    func nextHop(_ name: String) -> NextHopValue? { nextHopValues[name] }

    /// Whether one with a number is declared.
    func hasNextHop(numbered id: UInt32) -> Bool { nextHopNames[id] != nil }

    /// Those with a number.
    func nextHops(numbered id: UInt32) -> [NextHopValue] {
        var values: [NextHopValue] = []
        nextHopNames[id]?.forEach { if let value = nextHopValues[$0] { values.append(value) } }
        return values
    }

    /// The values that a nexthop object of a number concerns.
    func addKeys(nextHop id: UInt32, to keys: inout Set<Key>) {
        nextHopNames[id]?.forEach { nextHopUsers[$0]?.add(to: &keys) }
    }

    /// A value is a policy rule.
    mutating func enter(_ key: Key, rule: Rule, in namespace: NamespaceReference) {
        ruleUsers[namespace, default: [:]][rule, default: []].insert(key)
        refer(to: namespace, by: 1)
    }

    mutating func leave(_ key: Key, rule: Rule, in namespace: NamespaceReference) {
        ruleUsers.remove(key, namespace, rule)
        refer(to: namespace, by: -1)
    }

    /// A value is a table of nf_tables, or a part of one.
    mutating func enter(_ key: Key, table: FilterTable.ID, in namespace: NamespaceReference) {
        if tableUsers[namespace] == nil { changedReferences.insert(namespace) }
        tableUsers[namespace, default: [:]][table, default: []].insert(key)
        refer(to: namespace, by: 1)
    }

    mutating func leave(_ key: Key, table: FilterTable.ID, in namespace: NamespaceReference) {
        tableUsers.remove(key, namespace, table)
        if tableUsers[namespace] == nil { changedReferences.insert(namespace) }
        refer(to: namespace, by: -1)
    }

    /// Whether tables of a namespace are declared.
    func hasTables(_ namespace: NamespaceReference) -> Bool { tableUsers[namespace] != nil }

    /// Whether a table is declared.
    func isDeclared(_ table: FilterTable.ID, in namespace: NamespaceReference) -> Bool {
        tableUsers[namespace]?[table] != nil
    }

    /// The values that have to do with a table.
    func addKeys(of table: FilterTable.ID, in namespace: NamespaceReference, to keys: inout Set<Key>) {
        if let users = tableUsers[namespace]?[table] { keys.formUnion(users) }
    }

    /// The values that a report about a policy rule concerns.
    func addKeys(of rule: Rule, in namespace: NamespaceReference, to keys: inout Set<Key>) {
        if let users = ruleUsers[namespace]?[rule] { keys.formUnion(users) }
    }

    /// The values that a report about a link concerns.
    func addKeys(of link: String, in namespace: NamespaceReference, to keys: inout Set<Key>) {
        linkUsers[namespace]?[link]?.add(to: &keys)
        hostNames[namespace]?[link]?.forEach { users[$0]?.add(to: &keys) }
    }

    /// The values that have to do with a declared interface.
    func addKeys(ofInterface name: String, to keys: inout Set<Key>) { users[name]?.add(to: &keys) }

    /// All values that have to do with links of a namespace.
    func addKeys(in namespace: NamespaceReference, to keys: inout Set<Key>) {
        for users in (linkUsers[namespace] ?? [:]).values { users.add(to: &keys) }
        for users in (ruleUsers[namespace] ?? [:]).values { keys.formUnion(users) }
        for users in (tableUsers[namespace] ?? [:]).values { keys.formUnion(users) }
        for names in (hostNames[namespace] ?? [:]).values {
            names.forEach { users[$0]?.add(to: &keys) }
        }
    }

    /// The declared interfaces that are to have a name in the kernel.
    func interfaces(named hostName: String, in namespace: NamespaceReference) -> [Interface] {
        var result: [Interface] = []
        hostNames[namespace]?[hostName]?.forEach { name in
            if let interface = interfaces[name] { result.append(interface.value) }
        }
        return result
    }

    /// The declared interfaces of a namespace.
    func interfaces(in namespace: NamespaceReference) -> [Interface] {
        var result: [Interface] = []
        for names in (hostNames[namespace] ?? [:]).values {
            names.forEach { name in if let interface = interfaces[name] { result.append(interface.value) } }
        }
        return result
    }

    // MARK: - Counting

    private mutating func refer(to namespace: NamespaceReference, by step: Int) {
        guard references.add(namespace, by: step) else { return }
        changedReferences.insert(namespace)
        if namespace.container != nil { changedContainers.insert(namespace) }
    }
}

/// Counts by namespace.
private struct Tally {
    private(set) var counts: [NamespaceReference: Int] = [:]

    /// Returns whether the namespace came or went.
    @discardableResult
    mutating func add(_ namespace: NamespaceReference, by step: Int) -> Bool {
        let new = counts[namespace, default: 0] + step
        counts[namespace, default: 0] = new
        if new <= 0 { counts[namespace] = nil }
        return new == step || new == 0
    }
}

/// An interface that is declared, kept once, and where its link was found.
final class DeclaredInterface {
    let value: Interface
    /// The link, as of a version of the picture.
    private var link: LinkState?
    private var version = -1

    init(_ value: Interface) { self.value = value }

    /// The link, if it is there or planned.
    func link(in world: LinuxWorld) -> LinkState? {
        if version != world.states.version.number {
            link = world.link(of: value)
            version = world.states.version.number
        }
        return link
    }
}

extension Dictionary {
    /// Takes a key out of sets in a dictionary, with what becomes empty.
    fileprivate mutating func remove(_ element: String, _ place: Key, _ name: String)
    where Value == [String: SmallSet<String>] {
        self[place]?[name]?.remove(element)
        if self[place]?[name]?.isEmpty == true { self[place]?[name] = nil }
        if self[place]?.isEmpty == true { self[place] = nil }
    }

    /// Takes an element out of a set of sets, with what becomes empty.
    fileprivate mutating func remove<Name: Hashable>(_ element: String, _ place: Key, _ name: Name)
    where Value == [Name: Set<String>] {
        self[place]?[name]?.remove(element)
        if self[place]?[name]?.isEmpty == true { self[place]?[name] = nil }
        if self[place]?.isEmpty == true { self[place] = nil }
    }
}
