internal import Model
internal import Netlink

/// A table of iptables as far as it is known.
struct RuleTableState {
    /// What is in it; nil: nobody asked since it changed.
    private(set) var content: SavedTable?
    /// Our marks in it.
    private(set) var marks: Set<RuleMark> = []
    /// Whether it is what was planned, which nobody has read.
    private(set) var isPlanned = false
    /// Whether something carries our mark there, as far as nobody asked.
    var isMarked = false
    /// Which value a mark belongs to.
    var claims: [RuleMark: Claim] = [:]
    /// What was noted in rules of ours, also after somebody took them away.
    private(set) var memory: [RuleMark: RuleMark.Note] = [:]

    /// Somebody may have changed it.
    mutating func forget() {
        isMarked = isMarked || !marks.isEmpty
        content = nil
        marks = []
    }

    /// It is like this, as somebody has seen.
    mutating func take(_ table: SavedTable) {
        content = table
        isPlanned = false
        let found = table.marks
        marks = Set(found.keys)
        isMarked = !marks.isEmpty
        for (mark, note) in found { memory[mark] = note }
    }

    /// It becomes like this, by our doing: what is not in it any more need not be remembered.
    mutating func put(_ table: SavedTable) {
        for mark in marks { memory[mark] = nil }
        take(table)
        isPlanned = true
    }
}

/// Custom chains that are declared, by where they are, with the marks of their values.
struct DeclaredChains {
    private struct Place: Hashable {
        var table: FilterTable.ID
        var namespace: NamespaceReference
    }

    private var chains: [Place: [String: [RuleMark]]] = [:]

    mutating func enter(_ mark: RuleMark, _ chain: String, _ table: FilterTable.ID, _ namespace: NamespaceReference) {
        chains[Place(table: table, namespace: namespace), default: [:]][chain, default: []].append(mark)
    }

    mutating func leave(_ mark: RuleMark, _ chain: String, _ table: FilterTable.ID, _ namespace: NamespaceReference) {
        let place = Place(table: table, namespace: namespace)
        guard var marks = chains[place]?[chain], let index = marks.firstIndex(of: mark) else { return }
        marks.remove(at: index)
        chains[place]?[chain] = marks.isEmpty ? nil : marks
        if chains[place]?.isEmpty == true { chains[place] = nil }
    }

    /// The chains of a table, each with the mark of one of its values.
    func marks(_ table: FilterTable.ID, _ namespace: NamespaceReference) -> [String: RuleMark] {
        chains[Place(table: table, namespace: namespace)]?.compactMapValues(\.first) ?? [:]
    }
}

extension RuleChainSpec.Table {
    /// The table with a name.
    init?(_ word: String) {
        guard let table = Self.allCases.first(where: { $0.word == word }) else { return nil }
        self = table
    }

    /// The table of iptables that a table of nf_tables is.
    init?(_ id: FilterTable.ID) {
        guard id.family == .ip || id.family == .ip6 else { return nil }
        self.init(id.name)
    }
}

extension LinuxWorld {
    /// What our marks in comments of rules start with.
    var rulePrefix: String { RuleMark.prefix(ownership) }

    /// What is in a table of iptables.
    func rules(of id: FilterTable.ID, _ table: RuleChainSpec.Table, in state: NamespaceState) throws(ProgramError)
        -> SavedTable
    {
        if let content = state.ruleTables[id]?.content { return content }
        let content = try readRules(id, table, in: state)
        state.ruleTables[id, default: RuleTableState()].take(content)
        return content
    }

    private func readRules(
        _ id: FilterTable.ID, _ table: RuleChainSpec.Table, in state: NamespaceState
    ) throws(ProgramError) -> SavedTable {
        guard state.tables[id] != nil, state.handle != nil else { return SavedTable(empty: table) }
        let save = Program.iptablesSave(id.family)
        let text = try programs.run(save, ["-t", id.name], in: place(of: state))
        guard let content = SavedTable(text, of: table, prefix: rulePrefix) else {
            let words = text.split(separator: "\n").first.map(String.init) ?? ""
            throw .refused(save, words: "\(words)\(words.isEmpty ? "" : "; ")\(id) holds what iptables can't show")
        }
        return content
    }
}
