internal import Model
internal import NSMServices
internal import Reconciler

/// What connections to network services brought, by the connection that did.
///
/// Two connections may bring the same value; the one with the alphabetically first key is heard.
struct Brought {
    private var reports: [Key: ServiceReport] = [:]
    /// Which connections bring a value.
    private var owners: [Key: Set<Key>] = [:]
    /// Keys of the interfaces among the values, by their names in the kernel.
    private var interfaceKeys: [String: Set<Key>] = [:]
    /// Logical names of the interfaces, by how many connections have them.
    private var interfaces: [String: Int] = [:]

    /// Whether nothing is brought.
    var isEmpty: Bool { owners.isEmpty && interfaceKeys.isEmpty }

    /// Whether a connection has said what belongs to an interface.
    func hasInterface(_ name: String) -> Bool { interfaces[name] != nil }

    /// How a connection stands; nil: nobody keeps it.
    func observation(_ service: Key) -> Observation? { reports[service]?.observation }

    /// Whether a value is brought under a key.
    func has(_ key: Key) -> Bool { owners[key] != nil }

    /// The value that is brought under a key.
    func value(_ key: Key) -> ModelValue? { owners[key]?.min().flatMap { reports[$0]?.values[key] } }

    /// Keys of the interfaces that are to have a name in the kernel.
    func keys(ofInterface hostName: String) -> Set<Key> { interfaceKeys[hostName] ?? [] }

    /// Replaces what a connection brought; nil: it is gone. Returns the keys of the values that may have changed.
    mutating func take(_ service: Key, _ report: ServiceReport?) -> Set<Key> {
        let old = reports.removeValue(forKey: service)
        reports[service] = report
        var changed: Set<Key> = []
        let (before, after) = (old?.values ?? [:], report?.values ?? [:])
        for (key, value) in before where after[key] != value {
            changed.insert(key)
            leave(key, value, service, isGone: after[key] == nil)
        }
        for (key, value) in after where before[key] != value {
            changed.insert(key)
            owners[key, default: []].insert(service)
            if let name = value.hostName { interfaceKeys[name, default: []].insert(key) }
        }
        for name in old?.interfaces ?? [] { count(name, by: -1) }
        for name in report?.interfaces ?? [] { count(name, by: 1) }
        return changed
    }

    private mutating func leave(_ key: Key, _ value: ModelValue, _ service: Key, isGone: Bool) {
        if isGone {
            owners[key]?.remove(service)
            if owners[key]?.isEmpty == true { owners[key] = nil }
        }
        guard let name = value.hostName, owners[key] == nil || !isGone else { return }
        interfaceKeys[name]?.remove(key)
        if interfaceKeys[name]?.isEmpty == true { interfaceKeys[name] = nil }
    }

    private mutating func count(_ name: String, by step: Int) {
        let count = (interfaces[name] ?? 0) + step
        interfaces[name] = count > 0 ? count : nil
    }
}

extension ModelValue {
    /// The name in the kernel, of an interface in the agent's own namespace.
    var hostName: String? {
        guard case .interface(let interface) = self, !interface.hasNamespace else { return nil }
        return interface.hostName
    }
}
