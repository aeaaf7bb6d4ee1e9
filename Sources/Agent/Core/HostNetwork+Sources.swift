public import Model
public import Reconciler

/// What a source that is no file wants to be changed.
public struct SourceChange: Sendable {
    /// Such as `grpc`.
    public var source: String
    /// Who asks, for people.
    public var origin: String
    /// Values that are declared from now on.
    public var values: [ModelValue]
    /// Keys that are not declared any more.
    public var removed: [Key]
    /// Whether these values are all that the source declares.
    public var replacesAll: Bool

    /// Makes a change.
    public init(
        source: String, origin: String = "", values: [ModelValue] = [], removed: [Key] = [], replacesAll: Bool = false
    ) {
        self.source = source
        self.origin = origin
        self.values = values
        self.removed = removed
        self.replacesAll = replacesAll
    }
}

/// Which source provides a value, and which others it won over.
public struct Provenance: Sendable, Hashable {
    /// Such as `grpc 10.0.0.7:41000`.
    public var provider: String
    /// The same of those whose value waits behind it.
    public var others: [String]

    /// Makes one.
    public init(provider: String, others: [String] = []) {
        self.provider = provider
        self.others = others
    }
}

extension HostNetwork {
    /// Changes what a source declares. The last writer of a key is heard, and who withdraws uncovers what another one
    /// declares. It takes time for the keys that are named. Returns those under which something else is declared now.
    @discardableResult
    public func declare(_ change: SourceChange) -> [Key] {
        var latest: [Key: ModelValue] = [:]
        for value in change.values { latest[value.key] = value }
        var removed = Set(change.removed).subtracting(latest.keys)
        if change.replacesAll { removed.formUnion(table.keys(of: change.source).subtracting(latest.keys)) }
        var effective: [(key: Key, value: ModelValue?)] = []
        for (key, value) in latest {
            if table.claims(key).isEmpty, let old = declaredValue(key) {
                table.write(key, .init(source: Self.filesSource, origin: "", value: old))
            }
            table.write(key, .init(source: change.source, origin: change.origin, value: value))
            effective.append((key, value))
        }
        for key in removed {
            switch table.withdraw(key, of: change.source) {
            case .unheard: break
            case .last: effective.append((key, nil))
            case .uncovered(let claim): effective.append((key, claim.value))
            }
            table.forgetLone(key, of: Self.filesSource)
        }
        enforce(effective)
        return effective.map(\.key).sorted()
    }

    /// What all sources but some declare, as changes that lead to the same one after the other.
    func declaredChanges(besides others: Set<String>) -> [SourceChange] {
        var changes: [SourceChange] = []
        var (round, isLast) = (0, false)
        // A key's claims in their order: the first of each, then the second of each.
        while !isLast {
            isLast = true
            var bySource: [String: [String: [ModelValue]]] = [:]
            for claims in table.all where claims.count > round {
                isLast = false
                let claim = claims[round]
                if !others.contains(claim.source) {
                    bySource[claim.source, default: [:]][claim.origin, default: []].append(claim.value)
                }
            }
            for (source, origins) in bySource.sorted(by: { $0.key < $1.key }) {
                for (origin, values) in origins.sorted(by: { $0.key < $1.key }) {
                    changes.append(
                        SourceChange(source: source, origin: origin, values: values.sorted { $0.key < $1.key }))
                }
            }
            round += 1
        }
        return changes
    }

    /// Takes from a difference of files what other sources say otherwise.
    func overlay(_ changed: inout [LoadedConfig.Item], _ removed: inout [Key]) {
        if table.isEmpty { return }
        for item in changed where !table.claims(item.key).isEmpty {
            table.write(item.key, .init(source: Self.filesSource, origin: "", value: item.value))
        }
        removed = removed.filter { key in
            if table.claims(key).isEmpty { return true }
            switch table.withdraw(key, of: Self.filesSource) {
            case .unheard: return false
            case .last: return true
            case .uncovered(let claim):
                uncovered.append((key, claim.value))
                return false
            }
        }
    }

    /// Whether a source that is no file is heard under a key.
    func isForeign(_ key: Key) -> Bool {
        if table.isEmpty { return false }
        return table.claims(key).last.map { $0.source != Self.filesSource } ?? false
    }

    /// Who provides what is declared under a key; nil: nobody declares it.
    public func provenance(_ key: Key) -> Provenance? {
        let claims = table.claims(key)
        guard let heard = claims.last else {
            return declaredValue(key).map { _ in Provenance(provider: Self.filesSource) }
        }
        return Provenance(provider: heard.text, others: claims.dropLast().reversed().map(\.text))
    }

    /// What a source declares, by key, whether it is heard or not.
    public func declaredKeys(of source: String) -> Set<Key> { table.keys(of: source) }
}

extension SourceTable.Claim {
    /// For people.
    fileprivate var text: String { origin.isEmpty ? source : "\(source) \(origin)" }
}
