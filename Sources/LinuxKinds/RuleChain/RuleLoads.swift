internal import Netlink
internal import Reconciler

/// Operations that load rules into one table of iptables of one namespace, as far as they can be done as one.
///
/// A table is changed by one text, whatever number of values are in it: packets see the rules of none or of all.
struct RuleLoads {
    private struct Table: Hashable {
        var namespace: Int
        var id: FilterTable.ID
    }

    /// By the last of them.
    private var groups: [Int: [Int]] = [:]
    private var later: Set<Int> = []

    init(_ operations: [LinuxOperation]) {
        var open: [Table: [Int]] = [:]
        // What each namespace has open, as most operations are in one that has nothing.
        var tables: [Int: Set<Table>] = [:]
        for (index, operation) in operations.enumerated() {
            if case .load(let load) = operation.action {
                guard case .rules(let id, _, _) = load.effect else { continue }
                let table = Table(namespace: operation.namespace, id: id)
                open[table, default: []].append(index)
                tables[operation.namespace, default: []].insert(table)
            } else if let closed = tables.removeValue(forKey: operation.namespace) {
                // Nothing is done before what was to come first.
                for table in closed { close(open.removeValue(forKey: table)) }
            }
        }
        for group in open.values { close(group) }
    }

    private mutating func close(_ group: [Int]?) {
        guard let group, group.count > 1, let last = group.last else { return }
        groups[last] = group
        later.formUnion(group.dropLast())
    }

    /// Whether an operation is done with one behind it.
    func isLater(_ index: Int) -> Bool { later.contains(index) }

    /// The operations that are done with one, in order; nil: it is alone.
    func group(endingWith index: Int) -> [Int]? { groups[index] }
}

extension LinuxWorld {
    /// Loads the texts of some operations as one. If that fails it is one after the other, so that what is wrong with one is not
    /// the fault of the others.
    func perform(
        _ group: [Int], of operations: [LinuxOperation], in state: NamespaceState, _ run: inout ExecutionRun
    ) {
        if let action = merged(group.map { operations[$0] }) {
            if case .done = perform(action, in: state) { return }
        }
        for index in group { run.set(index, perform(operations[index].action, in: state)) }
    }

    /// What leads from before the first to behind the last; nil: they don't follow each other.
    private func merged(_ operations: [LinuxOperation]) -> LinuxOperation.Action? {
        var whole: (id: FilterTable.ID, from: SavedTable, to: SavedTable)?
        for operation in operations {
            guard case .load(let load) = operation.action, case .rules(let id, let former, let new) = load.effect else {
                return nil
            }
            if let so = whole, so.id != id || so.to != former { return nil }
            whole = (id, whole?.from ?? former, new)
        }
        guard let whole else { return nil }
        return RuleChainClass.load(
            whole.id, from: whole.from, to: whole.to, what: "load rules of \(operations.count) chains")
    }
}
