/// Which keys of etcd belong to which resource.
///
/// A key has one owner: the resource that had it first, while that resource wants it. Other resources that want it
/// wait, and take it over when the owner releases it. etcd also holds the owners (`records`), so they are known after a
/// restart, and a key without a record is never removed.
public struct KeyTable: Sendable {
    /// What a resource wants under a key.
    public enum Wish: Hashable, Sendable {
        /// This value.
        case value([UInt8])
        /// The present value: the resource is no longer understood, so its keys stay as they are.
        case asItIs
    }

    private struct Claim {
        var age: ResourceAge
        var wishes: [String: Wish]
        /// Whether it wants what its record says, whenever that is read.
        var isKept = false
    }

    private var claims: [ResourceName: Claim] = [:]
    private var owners: [String: ResourceName] = [:]
    private var wanting: [String: Set<ResourceName>] = [:]
    /// What is written in etcd of who has what.
    private var records: [ResourceName: Set<String>] = [:]
    /// Whether all resources are known, so that it can be decided who has what.
    public private(set) var isSettled = false
    /// Who still has a key in its record that another one owns, until that one has it in its own: a key is never in no record.
    private var givers: [String: Set<ResourceName>] = [:]
    /// Resources for which something may have to be written.
    private var dirty: Set<ResourceName> = []
    /// Resources of which something else may have to be said than before.
    private var touched: Set<ResourceName> = []

    /// An empty table, in which nothing is decided before ``settle(only:)``.
    public init() {}

    // MARK: - What is wanted

    /// A resource wants these values under these keys, and nothing else any more.
    public mutating func set(_ name: ResourceName, _ age: ResourceAge, _ values: [String: [UInt8]]) {
        replace(name, age, values.mapValues { .value($0) })
    }

    /// What a resource wants is not understood: it keeps what it has.
    public mutating func keep(_ name: ResourceName, _ age: ResourceAge) {
        if claims[name] != nil { return }
        keepRecord(of: name, age)
    }

    private mutating func keepRecord(of name: ResourceName, _ age: ResourceAge) {
        let keys = records[name] ?? []
        replace(name, age, Dictionary(keys.map { ($0, .asItIs) }) { first, _ in first })
        claims[name]?.isKept = true
    }

    /// A resource is gone.
    public mutating func remove(_ name: ResourceName) {
        guard let claim = claims.removeValue(forKey: name) else {
            // It may have been removed while we did not watch.
            if records[name] != nil { dirty.insert(name) }
            return
        }
        for key in claim.wishes.keys { unwant(key, name) }
        dirty.insert(name)
        touched.remove(name)
    }

    /// All resources are known: those that are not among these are gone.
    public mutating func settle(only names: Set<ResourceName>) {
        for name in claims.keys where !names.contains(name) { remove(name) }
        isSettled = true
        for key in wanting.keys { reassign(key) }
        dirty.formUnion(claims.keys)
        dirty.formUnion(records.keys)
        touched.formUnion(claims.keys)
    }

    private mutating func replace(_ name: ResourceName, _ age: ResourceAge, _ wishes: [String: Wish]) {
        let old = claims[name]?.wishes ?? [:]
        claims[name] = Claim(age: age, wishes: wishes)
        for key in wishes.keys { wanting[key, default: []].insert(name) }
        for key in old.keys where wishes[key] == nil { unwant(key, name) }
        for (key, wish) in wishes where old[key] != wish {
            reassign(key)
            // Those that share a key do so only as long as they want the same.
            touched.formUnion(wanting[key] ?? [])
        }
        dirty.insert(name)
        touched.insert(name)
    }

    private mutating func unwant(_ key: String, _ name: ResourceName) {
        wanting[key]?.remove(name)
        if wanting[key]?.isEmpty == true { wanting[key] = nil }
        touched.formUnion(wanting[key] ?? [])
        reassign(key)
    }

    private mutating func reassign(_ key: String) {
        guard isSettled else { return }
        let candidates = wanting[key] ?? []
        if let owner = owners[key] {
            if candidates.contains(owner) { return }
            dirty.insert(owner)
        }
        let next = candidates.min { left, right in
            let (isLeftHolder, isRightHolder) = (holds(left, key), holds(right, key))
            if isLeftHolder != isRightHolder { return isLeftHolder }
            return age(left) < age(right)
        }
        owners[key] = next
        // Resources that wait for the former owner to take it have nothing to wait for any more.
        dirty.formUnion(givers.removeValue(forKey: key) ?? [])
        guard let next else { return }
        dirty.insert(next)
        touched.formUnion(candidates)
    }

    private func holds(_ name: ResourceName, _ key: String) -> Bool { records[name]?.contains(key) == true }

    private func age(_ name: ResourceName) -> ResourceAge {
        claims[name]?.age ?? ResourceAge(created: "", name: name)
    }

    // MARK: - What is in etcd

    /// Takes up what etcd says of who has what. All resources are looked at again.
    public mutating func restore(_ records: [ResourceName: Set<String>]) {
        self.records = records
        // Records may be read after resources, and again.
        for (name, claim) in claims where claim.isKept { keepRecord(of: name, claim.age) }
        if isSettled { settle(only: Set(claims.keys)) }
    }

    /// A key changed in etcd, possibly by another client.
    public mutating func noteChange(of key: String) {
        if let owner = owners[key] { dirty.insert(owner) }
    }

    /// Anything may have changed in etcd.
    public mutating func noteAllChanged() {
        dirty.formUnion(claims.keys)
        dirty.formUnion(records.keys)
    }

    // MARK: - What follows

    /// The next resource for which something may have to be written; nil: there is none.
    public mutating func nextDirty() -> ResourceName? { isSettled ? dirty.popFirst() : nil }

    /// Whether something may have to be written for a resource.
    public func isDirty(_ name: ResourceName) -> Bool { dirty.contains(name) }

    /// Writing was not possible.
    public mutating func retry(_ name: ResourceName) { dirty.insert(name) }

    /// The resources of which something else may have to be said.
    public mutating func takeTouched() -> Set<ResourceName> {
        guard isSettled else { return [] }
        defer { touched = [] }
        return touched
    }

    /// The keys that a resource wants and another resource owns and wants a different value for, with that owner.
    public func conflicts(of name: ResourceName) -> [String: ResourceName] {
        var conflicts: [String: ResourceName] = [:]
        for (key, wish) in claims[name]?.wishes ?? [:] {
            guard let owner = owners[key], owner != name, claims[owner]?.wishes[key] != wish else { continue }
            conflicts[key] = owner
        }
        return conflicts
    }

    /// The keys that a resource wants.
    public func keys(of name: ResourceName) -> [String] { (claims[name]?.wishes.keys).map { $0.sorted() } ?? [] }

    /// Those that want a key.
    public func names(wanting key: String) -> Set<ResourceName> { wanting[key] ?? [] }

    /// What is to be written for a resource, given what etcd holds.
    public mutating func work(for name: ResourceName, held: (String) -> [UInt8]?) -> KeyWork {
        var work = KeyWork(name: name)
        work.recordedBefore = records[name] ?? []
        for (key, wish) in claims[name]?.wishes ?? [:] where owners[key] == name {
            work.owned.insert(key)
            if case .value(let value) = wish, held(key) != value { work.puts.append((key, value)) }
        }
        for key in work.recordedBefore where !work.owned.contains(key) {
            if let owner = owners[key] {
                if holds(owner, key) { continue }
                givers[key, default: []].insert(name)
                work.owned.insert(key)
            } else if held(key) != nil {
                work.deletes.append(key)
            }
        }
        work.puts.sort { $0.key < $1.key }
        work.deletes.sort()
        return work
    }

    /// A record is in etcd.
    public mutating func record(_ keys: Set<String>, of name: ResourceName) {
        let added = keys.subtracting(records[name] ?? [])
        records[name] = keys.isEmpty ? nil : keys
        if givers.isEmpty { return }
        for key in added where owners[key] == name {
            dirty.formUnion(givers.removeValue(forKey: key) ?? [])
        }
    }

    /// Whether nothing in etcd belongs to a resource.
    public func isReleased(_ name: ResourceName) -> Bool { records[name] == nil }
}
