package import Concurrency
public import LinuxKinds
public import Model
internal import NSMKinds
internal import Northbound
public import NSMServices
public import Netlink
public import Reconciler

/// What is declared, and the kernel it is kept in: what the one-shot commands and the daemon share.
///
/// Belongs to one thread, like its world. Nothing here waits for anything but the kernel.
public final class HostNetwork {
    /// The source under which files are declared.
    public static let filesSource = SourceName.files

    /// The kernel.
    public let world: LinuxWorld
    /// The declared values and where they stand.
    public let reconciler: Reconciler<LinuxWorld>
    /// The clock of all time stamps.
    package let clock: SteadyClock
    /// The source of what connections to network services bring.
    public static let meshSource = SourceName.mesh
    /// What is declared in files, and by the environment.
    private var declared: [Key: Declaration] = [:]
    /// Values that can't be configured, and why.
    private var invalid: [Key: LoadedConfig.InvalidValue] = [:]
    /// What other sources than files declare, and what files declare under the same keys.
    var table = SourceTable<ModelValue>()
    /// What is declared, to tell what contradicts what; nil: files alone have declared something, which are checked as they
    /// are read.
    private(set) var together: DeclaredSet?
    /// What is declared again, as files withdrew what they had said later.
    var uncovered: [(key: Key, declaration: Declaration)] = []
    /// Keys of what is declared otherwise than at the last ``takeDeclaredChanges()``; nil: nobody asks.
    var changedKeys: Set<Key>?
    /// How many declared interfaces have a name in the kernel.
    private var hostNames: [String: Int] = [:]
    private let clients: [Upnp_NetworkServiceClient]
    /// What connections brought.
    private(set) var brought = Brought()
    /// Clients and endpoints that are declared and can be kept.
    public private(set) var services: [Key: NetworkServices.Spec] = [:]
    /// Keys of clients and endpoints that changed since the last ``takeServiceChanges()``.
    private var changedServices: Set<Key> = []
    /// Those of which no connection has said yet what belongs to it.
    private var silent: [Key: NetworkServices.Spec] = [:] {
        didSet { isSilenceChanged = true }
    }
    var isSilenceChanged = false
    /// Called with the containers that values name; nil in a one-shot command, which looks for none.
    var looksForContainers: ((Set<ContainerName>) -> Void)?
    /// Whether it is not known yet of a container that values name if it runs: what is in it, and what belongs to that, stays.
    var awaitsContainers = false {
        didSet { if awaitsContainers != oldValue { isSilenceChanged = true } }
    }
    /// Sources that have not said yet what they declare. What nobody declares may be theirs, so it stays.
    var awaitedSources: Set<String> = [] {
        didSet {
            isSilenceChanged = true
            tellSilence()
        }
    }

    /// Makes a network of which nothing is declared or known yet.
    ///
    /// - Parameter clients: Connections that the environment asks for; files can replace them by their keys.
    public init(
        _ settings: AgentSettings, retry: RetryPolicy = RetryPolicy(), clients: [Upnp_NetworkServiceClient] = []
    ) {
        let clock = SteadyClock()
        self.clock = clock
        self.clients = clients
        world = LinuxWorld(ownership: settings.ownership, namespaceDirectory: settings.namespaceDirectory)
        // Until it is known that nothing is declared, on purpose.
        world.looksEverywhere = false
        reconciler = Reconciler(world: world, retry: retry, now: { clock.now })
    }

    // MARK: - What is declared

    /// Replaces what is declared. Returns how many values changed.
    @discardableResult
    public func declare(_ config: LoadedConfig) -> Int {
        if declared.isEmpty { return change(config.items, removed: [], config.findings) }
        let keys = Set(config.items.map(\.key))
        return change(
            config.items.filter { declared[$0.key]?.value != $0.value },
            removed: declared.keys.filter { !keys.contains($0) },
            config.findings)
    }

    /// Changes what is declared, where it differs from before. Returns how many values changed.
    public func declare(_ difference: ConfigDifference) -> Int {
        let count = change(difference.changed, removed: difference.removed, difference.findings)
        move(difference.moved)
        return count
    }

    /// How many values are declared.
    public var declaredCount: Int { declared.count }

    /// What is declared under a key now.
    private struct Declared {
        var key: Key
        var value: ModelValue?
        var specification: Specification?
    }

    /// What is declared under a key.
    public func declaredValue(_ key: Key) -> ModelValue? { declared[key]?.value }

    /// The same, and where it is declared if that is a file.
    func declaration(_ key: Key) -> Declaration? { declared[key] }

    /// Takes in in which line of a file a value stands.
    func note(_ line: FileLine, _ key: Key) { declared[key]?.place = line }

    /// All that is declared, sorted by key.
    public var declaredValues: [(key: Key, value: ModelValue)] {
        declared.sorted { $0.key < $1.key }.map { ($0.key, $0.value.value) }
    }

    private func change(_ changed: [LoadedConfig.Item], removed: [Key], _ findings: ConfigFindings) -> Int {
        var (changed, removed) = (changed, removed)
        overlay(&changed, &removed)
        var all: [Declared] = []
        all.reserveCapacity(changed.count + removed.count)
        var names: Set<String> = []
        for key in removed {
            replace(key, nil, &names)
            all.append(Declared(key: key))
        }
        var lines = FileLines()
        for item in changed {
            replace(item.key, Declaration(value: item.value, place: lines.line(item.position)), &names)
            all.append(Declared(key: item.key, value: item.value, specification: item.specification))
        }
        for (key, declaration) in uncovered {
            replace(key, declaration, &names)
            all.append(Declared(key: key, value: declaration.value))
        }
        uncovered = []
        for client in clients {
            let value = ModelValue.client(client)
            if declared[value.key] != nil { continue }
            replace(value.key, Declaration(value: value), &names)
            // It may be among those that are removed, which this takes the place of.
            all.removeAll { $0.key == value.key }
            all.append(Declared(key: value.key, value: value))
        }
        for key in changedInvalid(findings, among: all) { all.append(Declared(key: key, value: declaredValue(key))) }
        settle(all, names)
        return all.count
    }

    /// Makes what another source declares what is wanted.
    func enforce(_ changes: [(key: Key, declaration: Declaration?)]) {
        if changes.isEmpty { return }
        var names: Set<String> = []
        for (key, declaration) in changes { replace(key, declaration, &names) }
        settle(changes.map { Declared(key: $0.key, value: $0.declaration?.value) }, names)
    }

    /// - Parameter names: Names in the kernel that are declared now, or not any more.
    private func settle(_ changes: [Declared], _ names: Set<String>) {
        let all = checkTogether(changes.sorted { $0.key < $1.key })
        reconciler.change(source: Self.filesSource, all.map { ($0.key, desired($0)) })
        for item in all { noteService(item.key, item.value) }
        settleContainers()
        tellSilence()
        world.looksEverywhere = declared.isEmpty
        // What a user wrote counts more than what a connection says: of an interface, also under another logical name.
        if brought.isEmpty { return }
        var hidden = Set(all.lazy.map(\.key).filter(brought.has))
        for name in names { hidden.formUnion(brought.keys(ofInterface: name)) }
        settleBrought(hidden)
    }

    /// Finds out what contradicts what among values of several sources. Returns the changes with those of values whose state
    /// follows from it.
    private func checkTogether(_ changes: [Declared]) -> [Declared] {
        var changes = changes
        // Once made, it costs less to keep than to make again with every client that comes and goes.
        if table.isEmpty, together == nil { return changes }
        for index in changes.indices where changes[index].specification == nil {
            changes[index].specification = changes[index].value.flatMap(Self.specification)
        }
        var set = together ?? everything
        // One holder alone, so that a change does not copy it.
        together = nil
        for change in changes { enter(change, in: &set) }
        let concerned = set.settle()
        together = set
        return changes + others(concerned, besides: changes)
    }

    private var everything: DeclaredSet {
        var set = DeclaredSet()
        for (key, declaration) in declared.sorted(by: { $0.key < $1.key }) {
            let value = declaration.value
            enter(Declared(key: key, value: value, specification: Self.specification(value)), in: &set)
        }
        return set
    }

    /// A value as it is meant; nil: it can't be configured, whatever others say.
    private static func specification(_ value: ModelValue) -> Specification? {
        let checked = value.checked()
        return checked.obstacle == nil ? checked.specification : nil
    }

    private func enter(_ change: Declared, in set: inout DeclaredSet) {
        guard let value = change.value else { return set.remove(change.key) }
        let source = table.claims(change.key).last?.source ?? Self.filesSource
        set.set(change.key, value, change.specification, weakness: SourceName.weakness(of: source))
    }

    private func others(_ keys: Set<Key>, besides changes: [Declared]) -> [Declared] {
        if keys.isEmpty { return [] }
        return keys.subtracting(changes.lazy.map(\.key)).sorted().map { Declared(key: $0, value: declaredValue($0)) }
    }

    /// Takes up which values can't be configured. Returns the keys of those, beside some, of which that has changed.
    private func changedInvalid(_ findings: ConfigFindings, among others: [Declared]) -> Set<Key> {
        let wrong = Dictionary(findings.invalidValues.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        defer { invalid = wrong }
        if invalid.isEmpty, wrong.isEmpty { return [] }
        let keys = Set(invalid.keys).union(wrong.keys).filter { invalid[$0] != wrong[$0] }
        return keys.subtracting(others.lazy.map(\.key))
    }

    private func replace(_ key: Key, _ declaration: Declaration?, _ names: inout Set<String>) {
        changedKeys?.insert(key)
        let old: Declaration?
        if let declaration {
            old = declared.updateValue(declaration, forKey: key)
        } else {
            old = declared.removeValue(forKey: key)
        }
        for (name, step) in [(old?.value.hostName, -1), (declaration?.value.hostName, 1)] {
            guard let name else { continue }
            let count = (hostNames[name] ?? 0) + step
            hostNames[name] = count > 0 ? count : nil
            names.insert(name)
        }
    }

    private func noteService(_ key: Key, _ value: ModelValue?) {
        let spec: NetworkServices.Spec? =
            switch value {
            case .client(let message): .client(message)
            case .endpoint(let message): .endpoint(message)
            case .service(let message): .service(message)
            case .interface, .arp, .route, .ruleChain, .allocation, .namespace, .rule, .filterTable, .forwarding,
                .qdisc, .nextHop, nil:
                nil
            }
        if spec == nil, services.isEmpty { return }
        let valid = obstacle(key, value) == nil ? spec : nil
        if services[key] != valid { changedServices.insert(key) }
        services[key] = valid
        if services[key] != nil { reconciler.observe(key, brought.observation(key)) }
        noteSilence(key)
    }

    private func desired(_ item: Declared) -> Desired<LinuxWorld>? {
        guard let value = item.value else { return nil }
        let desired: Desired<LinuxWorld> =
            switch value {
            case .client(let message): .value(ClientValue<LinuxWorld>(message))
            case .endpoint(let message): .value(EndpointValue<LinuxWorld>(message))
            case .service(let message): .value(ServiceValue<LinuxWorld>(message))
            case .interface, .arp, .route, .ruleChain, .allocation, .namespace, .rule, .filterTable, .forwarding,
                .qdisc, .nextHop:
                item.specification.map { LinuxRegistry.desired($0, ownership: world.ownership) }
                    ?? LinuxRegistry.desired(value, ownership: world.ownership)
            }
        guard let obstacle = obstacle(item.key, value) else { return desired }
        let (kind, summary) =
            switch desired {
            case .value(let value): (type(of: value).kind, value.summary)
            case .invalid(let word, let text, _, _): (word, text)
            case .unimplemented(let word, let text): (word, text)
            }
        return .invalid(kind: kind, summary: summary, error: obstacle.text, fields: obstacle.fields)
    }

    /// Why a value can't be configured. That of a file is known from reading it.
    private func obstacle(_ key: Key, _ value: ModelValue?) -> (text: String, fields: [String])? {
        if let contradiction = together?.contradiction(key) { return (contradiction.text, contradiction.fields) }
        if isForeign(key) {
            switch value {
            case .client, .endpoint, .service:
                guard let value, let finding = value.checked().obstacle else { return nil }
                return (value.sentence(finding), finding.fields)
            // Those are checked as they become what the reconciler keeps.
            case .interface, .arp, .route, .ruleChain, .filterTable, .allocation, .namespace, .rule, .forwarding,
                .qdisc, .nextHop, nil:
                return nil
            }
        }
        if invalid.isEmpty { return nil }
        return invalid[key].map { ("\($0.position): \($0.text)", $0.fields) }
    }

    /// Whether clients or endpoints changed since the last ``takeServiceChanges()``.
    public var hasServiceChanges: Bool { !changedServices.isEmpty }

    /// Clients and endpoints that changed since the last call; nil: not declared any more.
    public func takeServiceChanges() -> [Key: NetworkServices.Spec?] {
        defer { changedServices = [] }
        return Dictionary(uniqueKeysWithValues: changedServices.map { ($0, services[$0]) })
    }

    // MARK: - What connections bring

    /// Takes in what some connections to network services say now; nil: nobody keeps them any more.
    public func bring(_ reports: [Key: ServiceReport?]) {
        var keys: Set<Key> = []
        for (key, report) in reports.sorted(by: { $0.key < $1.key }) {
            reconciler.observe(key, report?.observation)
            keys.formUnion(brought.take(key, report))
        }
        settleBrought(keys)
        for key in silent.keys { noteSilence(key) }
        for key in reports.keys { noteSilence(key) }
        tellSilence()
    }

    private func settleBrought(_ keys: Set<Key>) {
        defer { settleContainers() }
        if keys.isEmpty { return }
        let ownership = world.ownership
        reconciler.change(
            source: Self.meshSource,
            keys.sorted().map { key in
                guard declared[key] == nil, let value = brought.value(key) else { return (key, nil) }
                if let name = value.hostName, hostNames[name] != nil { return (key, nil) }
                return (key, LinuxRegistry.desired(value, ownership: ownership, isBrought: true))
            })
    }

    /// Nothing is taken from a connection that has not yet said what belongs to it: after a restart of the agent what an
    /// earlier life of it made there is still in use.
    private func noteSilence(_ key: Key) {
        // An endpoint has other connections that may come back.
        let spec = services[key].flatMap { $0.interfaceName.map(brought.hasInterface) ?? false ? nil : $0 }
        if silent[key] != spec { silent[key] = spec }
    }

    func tellSilence() {
        if !isSilenceChanged { return }
        isSilenceChanged = false
        reconciler.spares = { [unowned self] place in isSpared(place) }
    }

    func isSpared(_ place: Place) -> Bool {
        if !awaitedSources.isEmpty || awaitsContainers { return true }
        if silent.isEmpty { return false }
        if let name = world.linkName(at: place), isSpared(link: name) { return true }
        guard let table = world.table(at: place) else { return false }
        return isSpared(table: table)
    }

    /// Whether what belongs to a link of the agent's own namespace stays.
    func isSpared(link name: String) -> Bool {
        if brought.hasInterface(name) { return false }
        return silent.values.contains { spec in
            spec.interfaceName == name || spec.interfacePrefix.map { name.hasPrefix($0) } ?? false
        }
    }

    /// Whether routes and rules of a table of the agent's own namespace stay; with them the mark of neighbours, which may be
    /// on a link that is spared.
    func isSpared(table: UInt32) -> Bool {
        table == world.ownership.markTable || silent.values.contains { $0.mayUse(table: table) }
    }

    // MARK: - The kernel

    /// Reads what the kernel has, and makes sure that our marks are no other label's. Call it after ``declare(_:)``, which says
    /// where to look.
    ///
    /// - Throws: `KernelError`, or `LabelCollision`, which does not pass by itself.
    public func read() throws {
        try world.readAll()
        try world.settleMarks()
    }

    /// Reads only what events have not reported. For a network whose world is watched.
    public func readNew() throws(KernelError) { try world.readNew() }
}
