internal import Model
internal import NSMServices
internal import Reconciler

/// What connections to network services brought, by the connection that did.
///
/// Two connections may bring the same value; the one with the alphabetically first key is heard.
struct Brought {
    /// A connection: of which client or endpoint, and its id there.
    private struct Connection: Hashable, Comparable {
        var service: Key
        var id: String

        static func < (left: Self, right: Self) -> Bool { (left.service, left.id) < (right.service, right.id) }
    }

    private struct Service {
        var observation: Observation
        var parts: [String: ServiceReport.Part] = [:]
    }

    private var services: [Key: Service] = [:]
    /// Which connections bring a value.
    private var owners: [Key: Set<Connection>] = [:]
    /// Keys of the interfaces among the values, by their names in the kernel.
    private var interfaceKeys: [String: Set<Key>] = [:]
    /// Logical names of the interfaces, by how many connections have them.
    private var interfaces: [String: Int] = [:]

    /// Whether nothing is brought.
    var isEmpty: Bool { owners.isEmpty && interfaceKeys.isEmpty }

    /// Whether a connection has said what belongs to an interface.
    func hasInterface(_ name: String) -> Bool { interfaces[name] != nil }

    /// How a connection stands; nil: nobody keeps it.
    func observation(_ service: Key) -> Observation? { services[service]?.observation }

    /// Whether a value is brought under a key.
    func has(_ key: Key) -> Bool { owners[key] != nil }

    /// The value that is brought under a key.
    func value(_ key: Key) -> ModelValue? {
        owners[key]?.min().flatMap { services[$0.service]?.parts[$0.id]?.values[key] }
    }

    /// Keys of the interfaces that are to have a name in the kernel.
    func keys(ofInterface hostName: String) -> Set<Key> { interfaceKeys[hostName] ?? [] }

    /// Names of the interfaces that are brought.
    func interfaces(among keys: Set<Key>) -> Set<String> {
        if isEmpty { return [] }
        let prefix = ModelRegistry.model(.interface).keyPrefix
        let found = keys.filter { $0.hasPrefix(prefix) && has($0) }
        return Set(found.map { String($0.dropFirst(prefix.count)) })
    }

    /// Takes in what changed of what connections brought; nil: they are gone. Returns the keys of the values that may have
    /// changed.
    mutating func take(_ key: Key, _ report: ServiceReport?) -> Set<Key> {
        var changed: Set<Key> = []
        guard let report else {
            for id in services[key].map({ Array($0.parts.keys) }) ?? [] {
                replace(Connection(service: key, id: id), nil, &changed)
            }
            services[key] = nil
            return changed
        }
        services[key, default: Service(observation: report.observation)].observation = report.observation
        for (id, part) in report.parts { replace(Connection(service: key, id: id), part, &changed) }
        return changed
    }

    private mutating func replace(_ connection: Connection, _ new: ServiceReport.Part?, _ changed: inout Set<Key>) {
        let old = services[connection.service]?.parts.removeValue(forKey: connection.id)
        services[connection.service]?.parts[connection.id] = new
        let (before, after) = (old?.values ?? [:], new?.values ?? [:])
        for (key, value) in before where after[key] != value {
            changed.insert(key)
            leave(key, value, connection, isGone: after[key] == nil)
        }
        for (key, value) in after where before[key] != value {
            changed.insert(key)
            owners[key, default: []].insert(connection)
            if let name = value.hostName { interfaceKeys[name, default: []].insert(key) }
        }
        if let old { count(old.interface, by: -1) }
        if let new { count(new.interface, by: 1) }
    }

    private mutating func leave(_ key: Key, _ value: ModelValue, _ connection: Connection, isGone: Bool) {
        if isGone {
            owners[key]?.remove(connection)
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
