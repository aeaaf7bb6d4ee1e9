/// What the sources declare, and what they declared when they were last reconciled.
struct Sources<W: World> {
    /// What a source declared that declares something else now. Kept once, however often that changes.
    private struct Past {
        /// What stood under single keys, as long as not everything was replaced.
        var single: [Key: Desired<W>?] = [:]
        /// What stood there when everything was replaced for the first time.
        var whole: [Key: Desired<W>]?

        /// Notes what stood under a key, unless that is known.
        mutating func note(_ old: Desired<W>?, _ key: Key) {
            if whole != nil { return }
            if let known = single.updateValue(old, forKey: key) { single[key] = .some(known) }
        }
    }

    private(set) var values: [String: [Key: Desired<W>]] = [:]
    /// The sources that declare something, the one that wins first. There are few, so that who declares a key is found by
    /// asking each.
    private var ranked: [String] = []
    private var past: [String: Past] = [:]

    /// How many values are kept to return to.
    var pastCount: Int { past.values.reduce(0) { $0 + $1.single.count + ($1.whole?.count ?? 0) } }

    /// What is wanted under a key; the alphabetically last source wins.
    func desired(_ key: Key) -> Desired<W>? {
        for source in ranked { if let desired = values[source]?[key] { return desired } }
        return nil
    }

    /// Returns what the source declared before.
    mutating func replace(_ source: String, with wanted: [Key: Desired<W>]) -> [Key: Desired<W>] {
        let old = values[source] ?? [:]
        if past[source]?.whole == nil { past[source, default: Past()].whole = old }
        store(wanted, source)
        return old
    }

    /// Returns what is wanted under the key now. What was wanted is noted if there is a past to return to.
    @discardableResult
    mutating func set(_ key: Key, of source: String, to desired: Desired<W>?, hasPast: Bool = true) -> Desired<W>? {
        let old: Desired<W>?
        if let desired {
            old = values[source, default: [:]].updateValue(desired, forKey: key)
        } else {
            old = values[source]?.removeValue(forKey: key)
            if old == nil { return self.desired(key) }
            if values[source]?.isEmpty == true { values[source] = nil }
        }
        if old == nil || desired == nil { rank() }
        if hasPast { past[source, default: Past()].note(old, key) }
        if let desired, ranked.first == source { return desired }
        return self.desired(key)
    }

    private mutating func store(_ wanted: [Key: Desired<W>], _ source: String) {
        values[source] = wanted.isEmpty ? nil : wanted
        rank()
    }

    private mutating func rank() {
        if ranked.count != values.count { ranked = values.keys.sorted(by: >) }
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
