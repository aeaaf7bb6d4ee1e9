/// Past transactions, oldest first, within a limit on their number and a budget of bytes.
///
/// A retry that fails as the one before it did takes its place, so what fails for days does not displace what was done before.
/// The newest one is always kept. One that alone would take too much of the budget is cut: its failures stay before the
/// rest, in the order of what was done, and it says how many entries are missing.
struct History {
    private(set) var transactions: [Transaction] = []
    /// About how many bytes they keep.
    private(set) var bytes = 0
    private let limit: Int
    private let budget: Int

    /// - Parameters:
    ///   - limit: how many transactions are kept, at least 1.
    ///   - budget: bytes that all of them may keep.
    init(limit: Int, budget: Int) {
        self.limit = max(limit, 1)
        self.budget = max(budget, 0)
    }

    mutating func add(_ transaction: Transaction) {
        let transaction = transaction.cut(to: budget / 4)
        if let last = transactions.last, transaction.isSameRetry(as: last) {
            bytes -= last.bytes
            transactions.removeLast()
        }
        transactions.append(transaction)
        bytes += transaction.bytes
        var surplus = max(transactions.count - limit, 0)
        for old in transactions[..<surplus] { bytes -= old.bytes }
        while bytes > budget, surplus < transactions.count - 1 {
            bytes -= transactions[surplus].bytes
            surplus += 1
        }
        transactions.removeFirst(surplus)
    }
}

extension Transaction {
    /// Whether both are retries that did the same and failed alike.
    fileprivate func isSameRetry(as other: Transaction) -> Bool {
        guard reason == .retry, other.reason == .retry, entries.contains(where: { !$0.error.isEmpty }) else {
            return false
        }
        return entries == other.entries && omitted == other.omitted && reverted == other.reverted
            && losses == other.losses && found == other.found
    }

    /// About how many bytes it keeps.
    var bytes: Int {
        let details = found.details.reduce(0) { $0 + MemoryLayout<String>.stride + $1.heapBytes }
        return entries.reduce(MemoryLayout<Transaction>.stride + reason.heapBytes + details) { $0 + $1.bytes }
    }

    /// The same with as many entries as fit into so many bytes, failures before others.
    package func cut(to budget: Int) -> Transaction {
        if bytes <= budget { return self }
        var isKept = [Bool](repeating: false, count: entries.count)
        var rest = budget
        for wantsFailures in [true, false] {
            for (index, entry) in entries.enumerated() where entry.error.isEmpty != wantsFailures {
                rest -= entry.bytes
                if rest < 0 { break }
                isKept[index] = true
            }
        }
        var cut = self
        cut.entries = zip(entries, isKept).filter { $0.1 }.map { $0.0 }
        cut.omitted += entries.count - cut.entries.count
        return cut
    }
}

extension Transaction.Reason {
    fileprivate var heapBytes: Int {
        if case .source(let name) = self { return name.heapBytes }
        return 0
    }
}

extension Transaction.Entry {
    /// About how many bytes it keeps. A key is counted in full, though the value shares it as long as it is declared.
    var bytes: Int {
        MemoryLayout<Self>.stride + key.heapBytes + summary.heapBytes + error.heapBytes
    }
}

extension String {
    /// Bytes that the text takes on the heap: none up to 15 bytes; beyond, a header of 32 and room in steps of 16.
    fileprivate var heapBytes: Int { utf8.count <= 15 ? 0 : 48 + (utf8.count + 16) & ~15 }
}
