internal import Model
internal import Netlink
public import Reconciler

enum NamespaceKeys {
    static let prefix = ModelRegistry.model(.namespace).keyPrefix
    static func key(_ name: String) -> Key { ModelKey.namespace(name) }
}

/// A named network namespace that is declared, so that it comes and goes with the configuration.
public struct NamedNamespace: Value {
    /// The word for namespaces in plans and status.
    public static let kind = "namespace"
    /// Before everything that is in one.
    public static let rank = 1

    let name: String
    private let sysctls: [NamespaceSpec.Sysctl]

    /// Takes a checked namespace.
    init(_ spec: NamespaceSpec) { (name, sysctls) = (spec.name, spec.sysctls) }

    /// Its settings.
    public var derived: [DerivedValue<LinuxWorld>] {
        sysctls.map { sysctl in
            let setting = NamespaceSetting(namespace: name, name: sysctl.name, path: sysctl.path, value: sysctl.value)
            return DerivedValue(key: "linux/namespace/\(name)/sysctl/\(sysctl.name)", value: setting)
        }
    }

    /// None.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `namespace p1`
    public var summary: String { "namespace \(name)" }

    /// A namespace that exists but is not available is not made again.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(.named(name)).map { [$0] } ?? []
    }

    /// Reports about the namespace concern it.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(key, in: .named(name)) }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(key, in: .named(name)) }

    /// The namespace is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let state = world.byReference[.named(name)] else { return nil }
        state.claim = Claim(pass: world.pass, claimant: claimant)
        return Place(state, .namespace)
    }

    /// Compares with the names there are.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let own = world.byReference[.own] else { return Assessment(.waiting(["the agent's own namespace"])) }
        guard let state = world.byReference[.named(name)], !state.isDoomed else {
            return Assessment(.create, operations: [LinuxOperation(own, .createNamespace(name, isImplied: false))])
        }
        let group = state.linksByName["lo"]?.link.group ?? 0
        if group == world.ownership.namespaceGroup { return .inPlace }
        // A namespace that was there before stays when its declaration goes: it is not marked.
        let isPlanned = group == 0 && state.handle == nil
        return isPlanned || group == world.ownership.impliedNamespaceGroup
            ? Assessment(.create, operations: [LinuxOperation(own, .markNamespace(name))]) : .inPlace
    }
}
