/// What the sources declare, and what they declared when they were last reconciled.
struct Sources<W: World> {
    /// What a source declared that declares something else now. Kept once, however often that changes.
    private struct Past {
        /// What stood under single keys, as long as not everything was replaced.
        var single: [Key: Desired<W>?] = [:]
        /// What stood there when everything was replaced for the first time.
        var whole: [Key: Desired<W>]?
    }

    private(set) var values: [String: [Key: Desired<W>]] = [:]
    /// The sources of those keys that several declare, the one that wins first.
    private var rivals: [Key: [String]] = [:]
    /// The source of every other key.
    private var owners: [Key: String] = [:]
    private var past: [String: Past] = [:]

    /// How many values are kept to return to.
    var pastCount: Int { past.values.reduce(0) { $0 + $1.single.count + ($1.whole?.count ?? 0) } }

    /// What is wanted under a key; the alphabetically last source wins.
    func desired(_ key: Key) -> Desired<W>? {
        (owners[key] ?? rivals[key]?.first).flatMap { values[$0]?[key] }
    }

    /// Returns what the source declared before.
    mutating func replace(_ source: String, with wanted: [Key: Desired<W>]) -> [Key: Desired<W>] {
        let old = values[source] ?? [:]
        if past[source]?.whole == nil { past[source, default: Past()].whole = old }
        store(wanted, source)
        return old
    }

    mutating func set(_ key: Key, of source: String, to desired: Desired<W>?) {
        let old = values[source]?[key]
        if old == nil, desired == nil { return }
        if past[source]?.whole == nil, past[source]?.single.keys.contains(key) != true {
            past[source, default: Past()].single.updateValue(old, forKey: key)
        }
        values[source, default: [:]][key] = desired
        if values[source]?.isEmpty == true { values[source] = nil }
        if desired == nil { disown(key, source) } else if old == nil { own(key, source) }
    }

    private mutating func store(_ wanted: [Key: Desired<W>], _ source: String) {
        let old = values[source] ?? [:]
        values[source] = wanted.isEmpty ? nil : wanted
        for key in old.keys where wanted[key] == nil { disown(key, source) }
        for key in wanted.keys where old[key] == nil { own(key, source) }
    }

    private mutating func own(_ key: Key, _ source: String) {
        if let names = rivals[key] {
            rivals[key] = (names + [source]).sorted(by: >)
        } else if let other = owners.removeValue(forKey: key) {
            rivals[key] = [other, source].sorted(by: >)
        } else {
            owners[key] = source
        }
    }

    private mutating func disown(_ key: Key, _ source: String) {
        guard let names = rivals.removeValue(forKey: key) else {
            owners[key] = nil
            return
        }
        let others = names.filter { $0 != source }
        if others.count > 1 { rivals[key] = others } else { owners[key] = others.first }
    }

    /// Makes what is declared now the state to return to.
    mutating func commit() { past = [:] }

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
        past = [:]
        return keys
    }
}
