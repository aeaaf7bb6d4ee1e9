public import Model
public import Northbound
public import Reconciler

/// A change that a source other than a file asks for.
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
    /// The entries that hold the values; nil: the source keeps none.
    public var entries: StoredEntries?

    /// Makes a change.
    public init(
        source: String, origin: String = "", values: [ModelValue] = [], removed: [Key] = [], replacesAll: Bool = false,
        entries: StoredEntries? = nil
    ) {
        self.entries = entries
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
        var latest: [Key: (value: ModelValue, origin: Origin)] = [:]
        for (index, value) in change.values.enumerated() { latest[value.key] = (value, change.origin(ofValue: index)) }
        var removed = Set(change.removed).subtracting(latest.keys)
        if change.replacesAll { removed.formUnion(table.keys(of: change.source).subtracting(latest.keys)) }
        var effective: [(key: Key, declaration: Declaration?)] = []
        for (key, new) in latest {
            if table.claims(key).isEmpty, let old = declaration(key) {
                let origin = old.place.map { Origin.line($0) } ?? .environment
                table.write(key, .init(source: Self.filesSource, origin: origin, value: old.value))
            }
            table.write(key, .init(source: change.source, origin: new.origin, value: new.value))
            effective.append((key, Declaration(value: new.value)))
        }
        for key in removed {
            switch table.withdraw(key, of: change.source) {
            case .unheard: break
            case .last: effective.append((key, nil))
            case .uncovered(let claim): effective.append((key, Declaration(claim)))
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
                    bySource[claim.source, default: [:]][claim.origin.client, default: []].append(claim.value)
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
        var lines = FileLines()
        for item in changed where !table.claims(item.key).isEmpty {
            let origin = Origin.line(lines.line(item.position))
            table.write(item.key, .init(source: Self.filesSource, origin: origin, value: item.value))
        }
        removed = removed.filter { key in
            if table.claims(key).isEmpty { return true }
            switch table.withdraw(key, of: Self.filesSource) {
            case .unheard: return false
            case .last: return true
            case .uncovered(let claim):
                uncovered.append((key, Declaration(claim)))
                return false
            }
        }
    }

    /// Takes in that values stand in other lines of files than before.
    func move(_ moved: [ConfigDifference.Move]) {
        var lines = FileLines()
        for move in moved {
            let line = lines.line(move.position)
            if table.isEmpty || table.claims(move.key).isEmpty {
                note(line, move.key)
            } else {
                table.move(move.key, of: Self.filesSource, to: .line(line))
                if !isForeign(move.key) { note(line, move.key) }
            }
        }
    }

    /// Whether a source other than a file counts for a key.
    func isForeign(_ key: Key) -> Bool {
        if table.isEmpty { return false }
        return table.claims(key).last.map { $0.source != Self.filesSource } ?? false
    }

    /// Who provides what is declared under a key; nil: nobody declares it.
    public func provenance(_ key: Key) -> Provenance? {
        let claims = table.claims(key)
        guard let heard = claims.last else {
            return declaration(key).map { declared in
                let origin = declared.place.map { Origin.line($0) } ?? .environment
                return Provenance(provider: origin.text(Self.filesSource, key))
            }
        }
        return Provenance(
            provider: heard.origin.text(heard.source, key),
            others: claims.dropLast().reversed().map { $0.origin.text($0.source, key) })
    }

    /// What a source declares, by key, whether it is heard or not.
    public func declaredKeys(of source: String) -> Set<Key> { table.keys(of: source) }
}

extension SourceChange {
    /// Where one of the values comes from.
    fileprivate func origin(ofValue index: Int) -> Origin {
        if let entries, entries.revisions.indices.contains(index) {
            return .entry(entries.store, revision: entries.revisions[index])
        }
        return origin.isEmpty ? .plain : .client(origin)
    }
}
