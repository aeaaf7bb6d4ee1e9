/// A set of node numbers, each kept in 32 bits.
struct NodeSet {
    private var ids = SmallSet<Int32>()

    var isEmpty: Bool { ids.isEmpty }

    mutating func insert(_ id: Int) { ids.insert(Int32(id)) }

    mutating func remove(_ id: Int) { ids.remove(Int32(id)) }

    /// In no particular order.
    func forEach(_ body: (Int) -> Void) { ids.forEach { body(Int($0)) } }
}
