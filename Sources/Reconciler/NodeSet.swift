/// A set of node numbers. Most hold a few, so these are in a plain list; a node that thousands need has a real set.
struct NodeSet {
    private var few: [Int32] = []
    private var many: Set<Int32> = []

    private static var limit: Int { 24 }

    var isEmpty: Bool { few.isEmpty && many.isEmpty }

    mutating func insert(_ id: Int) {
        let id = Int32(id)
        if !many.isEmpty {
            many.insert(id)
        } else if !few.contains(id) {
            few.append(id)
            if few.count > Self.limit {
                many = Set(few)
                few = []
            }
        }
    }

    mutating func remove(_ id: Int) {
        let id = Int32(id)
        if !many.isEmpty {
            many.remove(id)
        } else if let index = few.firstIndex(of: id) {
            few.swapAt(index, few.count - 1)
            few.removeLast()
        }
    }

    /// In no particular order.
    func forEach(_ body: (Int) -> Void) {
        for id in few { body(Int(id)) }
        for id in many { body(Int(id)) }
    }
}
