internal import Reconciler

/// A set of keys. Most hold a few, so these are in a plain list; one of hundreds has a real set.
struct KeySet {
    private var few: [Key] = []
    private var many: Set<Key> = []

    private static var limit: Int { 16 }

    var isEmpty: Bool { few.isEmpty && many.isEmpty }

    mutating func insert(_ key: Key) {
        if !many.isEmpty {
            many.insert(key)
        } else if !few.contains(key) {
            few.append(key)
            if few.count > Self.limit {
                many = Set(few)
                few = []
            }
        }
    }

    mutating func remove(_ key: Key) {
        if !many.isEmpty {
            many.remove(key)
        } else if let index = few.firstIndex(of: key) {
            few.swapAt(index, few.count - 1)
            few.removeLast()
        }
    }

    /// In no particular order.
    func forEach(_ body: (Key) -> Void) {
        few.forEach(body)
        many.forEach(body)
    }

    func add(to keys: inout Set<Key>) {
        keys.formUnion(few)
        if !many.isEmpty { keys.formUnion(many) }
    }
}
