public import LinuxKinds
public import Model
public import NSMKinds
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
    /// What the files declare, and what connections brought.
    private var declared = LoadedConfig()
    private var brought: [(key: Key, value: ModelValue)] = []

    /// Makes a network of which nothing is declared or known yet.
    public init(_ settings: AgentSettings, retry: RetryPolicy = RetryPolicy()) {
        let clock = Clock()
        self.clock = clock
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
        return declareAll()
    }

    /// Replaces what connections to network services brought, and what is said of them.
    public func bring(_ values: [(key: Key, value: ModelValue)], observations: [Key: Observation]) {
        world.observations = observations
        brought = values
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
        // What a user wrote of an interface counts more than what its connection says.
        let keys = Set(declared.items.map(\.key))
        let others = brought.filter { !keys.contains($0.key) }
        let all = world.declare(own + others)
        var values = Array(all.prefix(own.count))
        if !declared.invalidValues.isEmpty { markInvalid(declared.invalidValues, in: &values) }
        let changes = reconciler.replace(source: Self.filesSource, with: values)
        _ = reconciler.replace(source: Self.meshSource, with: Array(all.dropFirst(own.count)))
        return changes
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
