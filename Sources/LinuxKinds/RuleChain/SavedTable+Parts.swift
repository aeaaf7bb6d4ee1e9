/// What is ours in a table, and how it changes. Rules of others stay, in their order.
extension SavedTable {
    /// What a value wants of its table.
    struct Part: Hashable, Sendable {
        var mark: RuleMark
        var chain: String
        /// Whether the chain is made when it is missing, and goes with its last rule.
        var isCustom: Bool
        /// nil: that is left as it is.
        var policy: String?
        /// Rules as iptables writes them, with the mark.
        var rules: [Rule]
    }

    /// The marks that are in the table, and what is noted with them.
    var marks: [RuleMark: RuleMark.Note] {
        var result: [RuleMark: RuleMark.Note] = [:]
        for chain in chains {
            for rule in chain.rules {
                guard let mark = rule.mark else { continue }
                if let note = rule.note {
                    result[mark] = note
                } else if result[mark] == nil {
                    result[mark] = RuleMark.Note()
                }
            }
        }
        return result
    }

    /// What is in the table with our marks, with what is noted.
    var parts: [(part: Part, note: RuleMark.Note)] {
        var result: [(Part, RuleMark.Note)] = []
        for chain in chains {
            var order: [RuleMark] = []
            var rules: [RuleMark: [Rule]] = [:]
            var notes: [RuleMark: RuleMark.Note] = [:]
            for rule in chain.rules {
                guard let mark = rule.mark else { continue }
                if rules[mark] == nil { order.append(mark) }
                rules[mark, default: []] += rule.note == nil ? [rule] : []
                if let note = rule.note { notes[mark] = note }
            }
            for mark in order {
                let note = notes[mark] ?? RuleMark.Note()
                let part = Part(
                    mark: mark, chain: chain.name, isCustom: chain.policy == nil, policy: note.policy?.ours,
                    rules: rules[mark] ?? [])
                result.append((part, note))
            }
        }
        return result
    }

    /// Makes what is ours as it was in a former table.
    mutating func restore(_ former: SavedTable) {
        let parts = former.parts
        remove(Set(marks.keys).subtracting(parts.map(\.part.mark)))
        for (part, note) in parts { put(part, memory: note) }
    }

    /// Makes the table so that the part is in it, and nothing else of its mark.
    ///
    /// - Parameter memory: what was noted before somebody took the rules away.
    mutating func put(_ part: Part, memory: RuleMark.Note? = nil) {
        let isInPlace = chains.contains { chain in
            chain.name == part.chain && chain.rules.contains { $0.mark == part.mark }
        }
        remove([part.mark], butIn: part.chain)
        let position: Int
        var note = memory ?? RuleMark.Note()
        if let known = self.position(of: part.chain) {
            position = known
            if part.isCustom, !isInPlace, memory == nil { note.wasThere = isForeign(chains[known]) }
        } else {
            position = chains.count
            chains.append(Chain(name: part.chain))
        }
        var chain = chains[position]
        for rule in chain.rules {
            if rule.mark == part.mark, let found = rule.note { note = found }
        }
        if let policy = part.policy {
            if chain.policy != policy {
                note.policy = (policy, note.policy?.former ?? chain.policy ?? "ACCEPT")
                chain.policy = policy
            } else if let former = note.policy?.former ?? otherPolicy(chain, than: [part.mark])?.former {
                note.policy = (policy, former)
            }
        } else {
            giveBack(note, &chain, but: [part.mark])
            note.policy = nil
        }
        var wanted = part.rules
        if !note.isEmpty || (part.isCustom && wanted.isEmpty) { wanted.insert(Rule(part.mark, note), at: 0) }
        chain.replace(part.mark, by: wanted)
        chains[position] = chain
    }

    /// Takes away all that has one of the marks, but in one chain.
    ///
    /// - Parameter used: empty chains of ours that were left as rules lead to them. They go when none does any more.
    mutating func remove(_ marks: Set<RuleMark>, butIn spared: String? = nil, used: inout Set<String>) {
        for position in chains.indices where chains[position].name != spared {
            guard chains[position].rules.contains(where: { $0.mark.map(marks.contains) ?? false }) else { continue }
            var chain = chains[position]
            var isKept = false
            for rule in chain.rules {
                guard let mark = rule.mark, marks.contains(mark), let note = rule.note else { continue }
                giveBack(note, &chain, but: marks)
                isKept = isKept || note.wasThere
            }
            chain.rules.removeAll { $0.mark.map(marks.contains) ?? false }
            if chain.policy == nil, chain.rules.isEmpty, !isKept { used.insert(chain.name) }
            chains[position] = chain
        }
        removeUnused(&used)
    }

    /// Takes away all that has one of the marks, but in one chain.
    mutating func remove(_ marks: Set<RuleMark>, butIn spared: String? = nil) {
        var used: Set<String> = []
        remove(marks, butIn: spared, used: &used)
    }

    /// Empty chains go, but those to which rules still lead; being empty, they lead to no others.
    private mutating func removeUnused(_ names: inout Set<String>) {
        if names.isEmpty { return }
        var used: Set<String> = []
        for rule in chains.lazy.flatMap(\.rules) {
            if let target = rule.target, names.contains(target) { used.insert(target) }
        }
        if used.count < names.count { chains.removeAll { names.contains($0.name) && !used.contains($0.name) } }
        names = used
    }

    /// A policy that is still ours becomes what it was, if no other mark wants it.
    private func giveBack(_ note: RuleMark.Note, _ chain: inout Chain, but marks: Set<RuleMark>) {
        guard let policy = note.policy, chain.policy == policy.ours,
            otherPolicy(chain, than: marks)?.ours != policy.ours
        else { return }
        chain.policy = policy.former
    }

    /// What is noted of the policy with other marks than these.
    private func otherPolicy(_ chain: Chain, than marks: Set<RuleMark>) -> (ours: String, former: String)? {
        for rule in chain.rules {
            if let mark = rule.mark, let policy = rule.note?.policy, !marks.contains(mark) { return policy }
        }
        return nil
    }

    /// Whether a chain is someone else's: rules of others are in it or lead to it, or one of ours says so. An empty one that
    /// nobody uses is what is left of ours after a flush.
    private func isForeign(_ chain: Chain) -> Bool {
        let isUsed = chains.contains { other in
            other.rules.contains { rule in
                (other.name == chain.name || rule.target == chain.name) && rule.mark == nil
            }
        }
        return isUsed || chain.rules.contains { $0.note?.wasThere == true }
    }
}

extension SavedTable.Chain {
    /// Our rules of one mark, in order.
    func rules(of mark: RuleMark) -> [SavedTable.Rule] { rules.filter { $0.mark == mark } }

    /// Puts rules in the place of those with a mark: where the first of them is, or at the end. If they are there already,
    /// in this order, everything stays, whatever is between them.
    fileprivate mutating func replace(_ mark: RuleMark, by wanted: [SavedTable.Rule]) {
        if rules(of: mark) == wanted { return }
        var place = rules.count
        var rest: [SavedTable.Rule] = []
        for rule in rules {
            if rule.mark == mark {
                place = min(place, rest.count)
            } else {
                rest.append(rule)
            }
        }
        place = min(place, rest.count)
        rest.insert(contentsOf: wanted, at: place)
        rules = rest
    }
}
