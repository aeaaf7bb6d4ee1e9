/// What the sources declare, and what they declared when all values were last reconciled.
struct Sources<W: World> {
    /// A change, with what stood there before.
    private enum Change {
        case one(source: String, key: Key, old: Desired<W>?)
        case all(source: String, old: [Key: Desired<W>])
    }

    private(set) var values: [String: [Key: Desired<W>]] = [:]
    /// Names of the sources, the one that wins first.
    private var names: [String] = []
    private var changes: [Change] = []

    /// What is wanted under a key; the alphabetically last source wins.
    func desired(_ key: Key) -> Desired<W>? {
        for name in names {
            if let desired = values[name]?[key] { return desired }
        }
        return nil
    }

    /// Returns what the source declared before.
    mutating func replace(_ source: String, with wanted: [Key: Desired<W>]) -> [Key: Desired<W>] {
        let old = values[source] ?? [:]
        changes.append(.all(source: source, old: old))
        store(wanted, source)
        return old
    }

    mutating func set(_ key: Key, of source: String, to desired: Desired<W>?) {
        if values[source] == nil {
            if desired == nil { return }
            store([:], source, keepsEmpty: true)
        }
        changes.append(.one(source: source, key: key, old: values[source]?[key]))
        values[source]?[key] = desired
        if values[source]?.isEmpty == true { store([:], source) }
    }

    private mutating func store(_ wanted: [Key: Desired<W>], _ source: String, keepsEmpty: Bool = false) {
        let isNew = values[source] == nil
        values[source] = wanted.isEmpty && !keepsEmpty ? nil : wanted
        if isNew || values[source] == nil { names = values.keys.sorted(by: >) }
    }

    /// Makes what is declared now the state to return to.
    mutating func commit() { changes.removeAll() }

    /// Returns to what was declared at the last ``commit()``. Returns the keys that may have changed.
    mutating func revert() -> Set<Key> {
        var keys: Set<Key> = []
        let undone = changes.reversed()
        for change in Array(undone) {
            switch change {
            case .one(let source, let key, let old):
                keys.insert(key)
                set(key, of: source, to: old)
            case .all(let source, let old):
                keys.formUnion((values[source] ?? [:]).keys)
                keys.formUnion(old.keys)
                store(old, source)
            }
        }
        changes.removeAll()
        return keys
    }
}
