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
        var rules: [String]
    }

    /// The marks that are in the table, and what is noted with them.
    func marks(prefix: String) -> [RuleMark: RuleMark.Note] {
        var result: [RuleMark: RuleMark.Note] = [:]
        for chain in chains {
            for rule in chain.rules {
                guard let (mark, note) = RuleMark.read(rule, prefix: prefix) else { continue }
                if let note { result[mark] = note } else if result[mark] == nil { result[mark] = RuleMark.Note() }
            }
        }
        return result
    }

    /// What is in the table with our marks, with what is noted.
    func parts(prefix: String) -> [(part: Part, note: RuleMark.Note)] {
        var result: [(Part, RuleMark.Note)] = []
        for chain in chains {
            var order: [RuleMark] = []
            var rules: [RuleMark: [String]] = [:]
            var notes: [RuleMark: RuleMark.Note] = [:]
            for rule in chain.rules {
                guard let (mark, note) = RuleMark.read(rule, prefix: prefix) else { continue }
                if rules[mark] == nil { order.append(mark) }
                rules[mark, default: []] += note == nil ? [rule] : []
                if let note { notes[mark] = note }
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
    mutating func restore(_ former: SavedTable, prefix: String) {
        let parts = former.parts(prefix: prefix)
        remove(Set(marks(prefix: prefix).keys).subtracting(parts.map(\.part.mark)), prefix: prefix)
        for (part, note) in parts { put(part, prefix: prefix, memory: note) }
    }

    /// Makes the table so that the part is in it, and nothing else of its mark.
    ///
    /// - Parameter memory: what was noted before somebody took the rules away.
    mutating func put(_ part: Part, prefix: String, memory: RuleMark.Note? = nil) {
        let isInPlace = chains.contains { chain in
            chain.name == part.chain && chain.rules.contains { RuleMark.read($0, prefix: prefix)?.mark == part.mark }
        }
        remove([part.mark], butIn: part.chain, prefix: prefix)
        let position: Int
        var note = memory ?? RuleMark.Note()
        if let known = self.position(of: part.chain) {
            position = known
            if part.isCustom, !isInPlace, memory == nil { note.wasThere = isForeign(chains[known], prefix: prefix) }
        } else {
            position = chains.count
            chains.append(Chain(name: part.chain))
        }
        var chain = chains[position]
        for rule in chain.rules {
            if let (mark, found) = RuleMark.read(rule, prefix: prefix), mark == part.mark, let found { note = found }
        }
        if let policy = part.policy {
            if chain.policy != policy {
                note.policy = (policy, note.policy?.former ?? chain.policy ?? "ACCEPT")
                chain.policy = policy
            } else if let former = note.policy?.former ?? otherPolicy(chain, than: [part.mark], prefix: prefix)?.former
            {
                note.policy = (policy, former)
            }
        } else {
            giveBack(note, &chain, but: [part.mark], prefix: prefix)
            note.policy = nil
        }
        var wanted = part.rules
        if !note.isEmpty || (part.isCustom && wanted.isEmpty) { wanted.insert(part.mark.rule(for: note), at: 0) }
        chain.replace(part.mark, by: wanted, prefix: prefix)
        chains[position] = chain
    }

    /// Takes away all that has one of the marks, but in one chain.
    mutating func remove(_ marks: Set<RuleMark>, butIn spared: String? = nil, prefix: String) {
        var emptied: Set<String> = []
        for position in chains.indices where chains[position].name != spared {
            var chain = chains[position]
            var isTouched = false
            var isKept = false
            for rule in chain.rules {
                guard let (mark, note) = RuleMark.read(rule, prefix: prefix), marks.contains(mark) else { continue }
                isTouched = true
                guard let note else { continue }
                giveBack(note, &chain, but: marks, prefix: prefix)
                isKept = isKept || note.wasThere
            }
            guard isTouched else { continue }
            chain.rules.removeAll { RuleMark.read($0, prefix: prefix).map { marks.contains($0.mark) } ?? false }
            if chain.policy == nil, chain.rules.isEmpty, !isKept { emptied.insert(chain.name) }
            chains[position] = chain
        }
        removeUnused(&emptied)
    }

    /// Empty chains that were ours go, but those to which rules still lead: one after the other, as they lead to each other.
    private mutating func removeUnused(_ names: inout Set<String>) {
        while let name = names.sorted().first(where: { !isReferred(to: $0) }) {
            chains.removeAll { $0.name == name }
            names.remove(name)
        }
    }

    /// A policy that is still ours becomes what it was, if no other mark wants it.
    private func giveBack(_ note: RuleMark.Note, _ chain: inout Chain, but marks: Set<RuleMark>, prefix: String) {
        guard let policy = note.policy, chain.policy == policy.ours,
            otherPolicy(chain, than: marks, prefix: prefix)?.ours != policy.ours
        else { return }
        chain.policy = policy.former
    }

    /// What is noted of the policy with other marks than these.
    private func otherPolicy(
        _ chain: Chain, than marks: Set<RuleMark>, prefix: String
    ) -> (ours: String, former: String)? {
        for rule in chain.rules {
            if let (mark, note) = RuleMark.read(rule, prefix: prefix), !marks.contains(mark), let policy = note?.policy
            {
                return policy
            }
        }
        return nil
    }

    /// Whether a chain is someone else's: rules of others are in it or lead to it, or one of ours says so. An empty one that
    /// nobody uses is what is left of ours after a flush.
    private func isForeign(_ chain: Chain, prefix: String) -> Bool {
        let isUsed = chains.contains { other in
            other.rules.contains { rule in
                (other.name == chain.name || SavedTable.target(of: rule) == chain.name)
                    && RuleMark.read(rule, prefix: prefix) == nil
            }
        }
        return isUsed || chain.rules.contains { RuleMark.read($0, prefix: prefix)?.note?.wasThere == true }
    }
}

extension SavedTable.Chain {
    /// Our rules of one mark, in order.
    func rules(of mark: RuleMark, prefix: String) -> [String] {
        rules.filter { RuleMark.read($0, prefix: prefix)?.mark == mark }
    }

    /// Puts rules in the place of those with a mark: where the first of them is, or at the end. If they are there already,
    /// in this order, everything stays, whatever is between them.
    fileprivate mutating func replace(_ mark: RuleMark, by wanted: [String], prefix: String) {
        if rules(of: mark, prefix: prefix) == wanted { return }
        var place = rules.count
        var rest: [String] = []
        for rule in rules {
            if RuleMark.read(rule, prefix: prefix)?.mark == mark {
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
