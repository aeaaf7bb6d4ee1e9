public import Reconciler

/// Values whose texts were refused: what is in force of them stays until they are right, or gone. It stays wherever it is,
/// as the same edit may have moved the value to another table or namespace.
///
/// A mistake in a rule must not open what the rules before it closed.
struct RefusedTexts {
    /// What the value's objects carry.
    enum Mark: Hashable {
        /// The comment of a table of nf_tables.
        case table(String)
        /// The comment of rules of iptables.
        case rules(RuleMark)
    }

    private var marks: Set<Mark> = []

    /// Notes whether the text of a value was refused.
    mutating func note(_ mark: Mark, isRefused: Bool) {
        if isRefused { marks.insert(mark) } else if !marks.isEmpty { marks.remove(mark) }
    }

    /// Whether what carries a mark stays.
    func keep(_ mark: Mark) -> Bool { !marks.isEmpty && marks.contains(mark) }
}

extension LinuxWorld {
    /// A value whose text was refused is declared no more, or in another way. What was kept of it has no claim that could be
    /// given up, so only a look at all finds it.
    func forgetRefusal(_ mark: RefusedTexts.Mark) {
        guard refusedTexts.keep(mark) else { return }
        refusedTexts.note(mark, isRefused: false)
        told.needsFullPass = true
        hasMissedEvents = true
        watcher?.scheduleRecheck(after: 1)
    }

    /// What is in force of a table or chain stays when it is declared with a mistake that is found before it is a value.
    public func note(invalid key: Key, _ isInvalid: Bool) {
        let mark: RefusedTexts.Mark
        if key.hasPrefix(TableKeys.key("")) {
            mark = .table(ownership.comment(table: String(key.dropFirst(TableKeys.key("").count))))
        } else if key.hasPrefix(RuleChainKeys.key("")) {
            mark = .rules(RuleMark(ownership, name: String(key.dropFirst(RuleChainKeys.key("").count))))
        } else {
            return
        }
        if isInvalid { refusedTexts.note(mark, isRefused: true) } else { forgetRefusal(mark) }
    }
}
