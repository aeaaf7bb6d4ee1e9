/// What the sources declare, and what they declared when all values were last reconciled.
struct Sources<W: World> {
    /// What a source declared that declares something else now. Kept once, however often that changes.
    private struct Past {
        /// What stood under single keys, as long as not everything was replaced.
        var single: [Key: Desired<W>?] = [:]
        /// What stood there when everything was replaced for the first time.
        var whole: [Key: Desired<W>]?
    }

    private(set) var values: [String: [Key: Desired<W>]] = [:]
    /// Names of the sources, the one that wins first.
    private var names: [String] = []
    private var past: [String: Past] = [:]

    /// How many values are kept to return to.
    var pastCount: Int { past.values.reduce(0) { $0 + $1.single.count + ($1.whole?.count ?? 0) } }

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
        if past[source]?.whole == nil { past[source, default: Past()].whole = old }
        store(wanted, source)
        return old
    }

    mutating func set(_ key: Key, of source: String, to desired: Desired<W>?) {
        if values[source] == nil {
            if desired == nil { return }
            store([:], source, keepsEmpty: true)
        }
        if past[source]?.whole == nil, past[source]?.single.keys.contains(key) != true {
            past[source, default: Past()].single.updateValue(values[source]?[key], forKey: key)
        }
        values[source]?[key] = desired
        if values[source]?.isEmpty == true { store([:], source) }
    }

    private mutating func store(_ wanted: [Key: Desired<W>], _ source: String, keepsEmpty: Bool = false) {
        let isNew = values[source] == nil
        values[source] = wanted.isEmpty && !keepsEmpty ? nil : wanted
        if isNew || values[source] == nil { names = values.keys.sorted(by: >) }
    }

    /// Makes what is declared now the state to return to.
    mutating func commit() { past.removeAll() }

    /// Returns to what was declared at the last ``commit()``. Returns the keys that may have changed.
    mutating func revert() -> Set<Key> {
        var keys: Set<Key> = []
        for (source, past) in past {
            if let old = past.whole {
                keys.formUnion((values[source] ?? [:]).keys)
                keys.formUnion(old.keys)
                store(old, source)
            }
            for (key, old) in past.single {
                keys.insert(key)
                set(key, of: source, to: old)
            }
        }
        past.removeAll()
        return keys
    }
}
