extension SavedTable {
    /// What `iptables-restore --noflush` has to read to turn this table into another one; nil: nothing.
    ///
    /// The two differ only in what is ours: rules of others are in both, in the same order. A rule is deleted by what it
    /// says and not by its number, so that one that somebody else put there meanwhile is never hit: the whole text fails. Nor is
    /// a chain emptied to be written anew: such a rule would go, and nobody would know.
    func text(to new: SavedTable) -> String? {
        var (made, deleted, added, policies, emptied, gone):
            ([String], [String], [String], [String], [String], [String]) =
                ([], [], [], [], [], [])
        let former = Dictionary(chains.map { ($0.name, $0) }) { first, _ in first }
        for chain in new.chains {
            let old = former[chain.name]
            if old == nil { made.append(":\(chain.name) - [0:0]") }
            if let policy = chain.policy, old?.policy != policy { policies.append("-P \(chain.name) \(policy)") }
            let rules = old?.rules ?? []
            if rules == chain.rules { continue }
            let steps = Self.steps(from: rules, to: chain.rules)
            deleted += steps.deleted.map { "-D \(chain.name) \($0.text)" }
            added += steps.inserted.map { step in
                step.isLast
                    ? "-A \(chain.name) \(step.rule.text)" : "-I \(chain.name) \(step.position + 1) \(step.rule.text)"
            }
        }
        let wanted = Set(new.chains.map(\.name))
        for chain in chains where chain.policy == nil && !wanted.contains(chain.name) {
            // Rule by rule: a chain in which somebody else put one meanwhile does not go.
            emptied += chain.rules.map { "-D \(chain.name) \($0.text)" }
            gone.append("-X \(chain.name)")
        }
        let lines = made + deleted + emptied + added + policies + gone
        if lines.isEmpty { return nil }
        return (["*\(name)"] + lines + ["COMMIT", ""]).joined(separator: "\n")
    }

    /// A rule that is put at a position; by then everything before it is there.
    struct Insertion: Hashable {
        var rule: Rule
        var position: Int
        /// Whether everything behind it is put there later.
        var isLast: Bool
    }

    /// The rules that go, and those that come in the order of their positions.
    static func steps(
        from old: [Rule], to new: [Rule]
    ) -> (deleted: [Rule], inserted: [Insertion]) {
        // A rule that is there twice can't be told from its twin: both go if one does.
        var twins: Set<Rule> = []
        while true {
            let (removals, insertions) = difference(old, new, twins)
            var counts: [Rule: Int] = [:]
            for rule in old { counts[rule, default: 0] += 1 }
            let more = Set(removals.map { old[$0] }).filter { counts[$0, default: 0] > 1 && !twins.contains($0) }
            if !more.isEmpty {
                twins.formUnion(more)
                continue
            }
            // Behind the last rule that stays everything is appended.
            let inserted = Set(insertions)
            let lastKept = new.indices.last { !inserted.contains($0) } ?? -1
            return (
                removals.map { old[$0] },
                insertions.map { Insertion(rule: new[$0], position: $0, isLast: $0 > lastKept) }
            )
        }
    }

    /// Positions that go, and positions that come. Rules of others stay: what is between two of them is compared by itself.
    private static func difference(
        _ old: [Rule], _ new: [Rule], _ twins: Set<Rule>
    ) -> (removals: [Int], insertions: [Int]) {
        var (removals, insertions): ([Int], [Int]) = ([], [])
        for (former, new) in zip(parts(old), parts(new)) {
            let (former, new) = withoutCommonEnds(former, new, twins)
            // What is best takes time that grows with the product. All of them take less.
            if former.count * new.count > mostCompared {
                removals += former.indices
                insertions += new.indices
                continue
            }
            func unlike(_ rules: ArraySlice<Rule>, _ suffix: String) -> [String] {
                rules.map { twins.contains($0) ? "\($0.text)\0\(suffix)" : $0.text }
            }
            let difference = unlike(new, "new").difference(from: unlike(former, "old"))
            for change in difference.removals {
                if case .remove(let offset, _, _) = change { removals.append(former.startIndex + offset) }
            }
            for change in difference.insertions {
                if case .insert(let offset, _, _) = change { insertions.append(new.startIndex + offset) }
            }
        }
        return (removals, insertions)
    }

    private static let mostCompared = 1 << 20

    /// The rules between those with which both begin and end.
    private static func withoutCommonEnds(
        _ former: ArraySlice<Rule>, _ new: ArraySlice<Rule>, _ twins: Set<Rule>
    ) -> (former: ArraySlice<Rule>, new: ArraySlice<Rule>) {
        var (former, new) = (former, new)
        while let first = former.first, first == new.first, !twins.contains(first) {
            former.removeFirst()
            new.removeFirst()
        }
        while let last = former.last, last == new.last, !twins.contains(last) {
            former.removeLast()
            new.removeLast()
        }
        return (former, new)
    }

    /// What is before, between and behind the rules of others.
    private static func parts(_ rules: [Rule]) -> [ArraySlice<Rule>] {
        rules.split(omittingEmptySubsequences: false) { $0.mark == nil }
    }
}
