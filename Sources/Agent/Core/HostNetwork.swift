public import LinuxKinds
public import Model
internal import NSMKinds
public import NSMServices
public import Netlink
public import Reconciler

/// What is declared, and the kernel it is kept in: what the one-shot commands and the daemon share.
///
/// Belongs to one thread, like its world. Nothing here waits for anything but the kernel.
public final class HostNetwork {
    /// The source under which files are declared.
    public static let filesSource = "files"

    /// The kernel.
    public let world: LinuxWorld
    /// The declared values and where they stand.
    public let reconciler: Reconciler<LinuxWorld>
    /// The clock of all time stamps.
    public let clock: Clock
    /// The source of what connections to network services bring.
    public static let meshSource = "mesh"
    /// What is declared in files, and by the environment.
    private var declared = LoadedConfig()
    private let clients: [Upnp_NetworkServiceClient]
    /// What connections brought, and the interfaces among it.
    private var brought: [(key: Key, value: ModelValue)] = []
    private var broughtInterfaces: Set<String> = []

    /// Makes a network of which nothing is declared or known yet.
    ///
    /// - Parameter clients: Connections that the environment asks for; files can replace them by their keys.
    public init(
        _ settings: AgentSettings, retry: RetryPolicy = RetryPolicy(), clients: [Upnp_NetworkServiceClient] = []
    ) {
        let clock = Clock()
        self.clock = clock
        self.clients = clients
        world = LinuxWorld(ownership: settings.ownership, namespaceDirectory: settings.namespaceDirectory)
        world.otherKinds = { key, value in
            switch value {
            case .client(let message): .value(ClientValue<LinuxWorld>(key: key, message))
            case .endpoint(let message): .value(EndpointValue<LinuxWorld>(key: key, message))
            case .interface, .arp, .route, .ruleChain, .allocation, .namespace, .rule: nil
            }
        }
        reconciler = Reconciler(world: world, retry: retry, now: { clock.now })
    }

    /// Replaces what is declared. Returns how many values changed.
    @discardableResult
    public func declare(_ config: LoadedConfig) -> Int {
        declared = config
        let keys = Set(config.items.map(\.key))
        for client in clients {
            let value = ModelValue.client(client)
            if keys.contains(value.key) { continue }
            let position = SourcePosition(file: "NSM_NETWORK_SERVICES", line: 0, column: 0)
            declared.items.append(.init(key: value.key, value: value, position: position))
        }
        return declareAll()
    }

    /// Replaces what connections to network services brought, and what is said of them.
    public func bring(_ reports: [Key: ServiceReport]) {
        world.observations = reports.mapValues(\.observation)
        var values: [Key: ModelValue] = [:]
        broughtInterfaces = []
        for key in reports.keys.sorted() {
            guard let report = reports[key] else { continue }
            values.merge(report.values) { first, _ in first }
            broughtInterfaces.formUnion(report.interfaces)
        }
        brought = values.map { (key: $0.key, value: $0.value) }.sorted { $0.key < $1.key }
        declareAll()
    }

    /// Clients and endpoints that are declared and can be kept.
    public var services: [Key: NetworkServices.Spec] {
        let invalid = Set(declared.invalidValues.map(\.key))
        var services: [Key: NetworkServices.Spec] = [:]
        for item in declared.items where !invalid.contains(item.key) {
            switch item.value {
            case .client(let message): services[item.key] = .client(message)
            case .endpoint(let message): services[item.key] = .endpoint(message)
            case .interface, .arp, .route, .ruleChain, .allocation, .namespace, .rule: break
            }
        }
        return services
    }

    @discardableResult
    private func declareAll() -> Int {
        let own = declared.items.map { ($0.key, $0.value) }
        let others = brought.isEmpty ? [] : notDeclared(brought)
        let all = world.declare(own + others)
        var values = Array(all.prefix(own.count))
        if !declared.invalidValues.isEmpty { markInvalid(declared.invalidValues, in: &values) }
        spare()
        let changes = reconciler.replace(source: Self.filesSource, with: values)
        _ = reconciler.replace(source: Self.meshSource, with: Array(all.dropFirst(own.count)))
        return changes
    }

    /// What a user wrote counts more than what a connection says: of an interface, also under another logical name.
    private func notDeclared(_ values: [(key: Key, value: ModelValue)]) -> [(key: Key, value: ModelValue)] {
        var keys: Set<Key> = []
        var hostNames: Set<String> = []
        for item in declared.items {
            keys.insert(item.key)
            if case .interface(let interface) = item.value, !interface.hasNamespace {
                hostNames.insert(interface.hostIfName.isEmpty ? interface.name : interface.hostIfName)
            }
        }
        return values.filter { key, value in
            guard case .interface(let interface) = value else { return !keys.contains(key) }
            return !keys.contains(key)
                && !hostNames.contains(interface.hostIfName.isEmpty ? interface.name : interface.hostIfName)
        }
    }

    /// Nothing is taken from a connection that has not yet said what belongs to it: after a restart of the agent what an
    /// earlier life of it made there is still in use.
    private func spare() {
        let silent = services.values.filter { spec in
            spec.interfaceName.map { !broughtInterfaces.contains($0) } ?? true
        }
        let names = Set(silent.compactMap(\.interfaceName))
        let prefixes = silent.compactMap(\.interfacePrefix)
        let present = broughtInterfaces
        world.sparing = Sparing(
            link: { name in
                names.contains(name) || !present.contains(name) && prefixes.contains { name.hasPrefix($0) }
            }, table: { table in silent.contains { $0.mayUse(table: table) } })
    }

    /// Reads what the kernel has. Call it after ``declare(_:)``, which says where to look.
    public func read() throws(KernelError) { try world.readAll() }

    /// Reads only what events have not told. For a network whose world is watched.
    public func readNew() throws(KernelError) { try world.readNew() }

    /// Whether a value is as it was wanted.
    public static func isGood(_ state: ValueState) -> Bool {
        switch state {
        case .configured, .obtained: true
        case .nonexistent, .missing, .unimplemented, .removed, .discovered, .pending, .invalid, .failed, .retrying:
            false
        }
    }

    /// Whether time alone, or an event, may still make a value as it was wanted.
    public static func mayImprove(_ state: ValueState) -> Bool {
        switch state {
        case .pending, .retrying: true
        case .nonexistent, .missing, .unimplemented, .removed, .configured, .obtained, .discovered, .invalid, .failed:
            false
        }
    }

    private func markInvalid(
        _ invalid: [LoadedConfig.InvalidValue], in values: inout [(key: Key, desired: Desired<LinuxWorld>)]
    ) {
        let byKey = Dictionary(invalid.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        for index in values.indices {
            guard let reason = byKey[values[index].key] else { continue }
            let kind: String
            let summary: String
            switch values[index].desired {
            case .value(let value): (kind, summary) = (type(of: value).kind, value.summary)
            case .invalid(let word, let text, _, _): (kind, summary) = (word, text)
            case .unimplemented(let word, let text): (kind, summary) = (word, text)
            }
            values[index].desired = .invalid(
                kind: kind, summary: summary, error: "\(reason.position): \(reason.text)", fields: reason.fields)
        }
    }
}
