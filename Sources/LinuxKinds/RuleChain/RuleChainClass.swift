internal import Model
internal import Netlink
internal import Reconciler

/// Rules of iptables, ours by their comment. Tables are read when something is compared with them.
enum RuleChainClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        let tables = dump.tables.map(\.id).filter { RuleChainSpec.Table($0) != nil }
        if tables.isEmpty { return }
        let isUnchanged = state.tableGeneration == dump.tableGeneration
        // To see that nothing is ours takes less than to read what is there.
        do throws(KernelError) {
            let socket = try state.socketForTables()
            for id in tables {
                if isUnchanged, let known = state.ruleTables[id], !known.isPlanned {
                    if known.isMarked { dump.markedTables.insert(id) }
                } else if try socket.rules(of: id, hold: world.rulePrefix) {
                    dump.markedTables.insert(id)
                }
            }
        } catch {
            // What went meanwhile holds nothing.
            if !error.meansGone { throw error }
        }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        var tables = former.ruleTables
        for table in dump.tables where RuleChainSpec.Table(table.id) != nil && tables[table.id] == nil {
            tables[table.id] = RuleTableState()
        }
        for id in tables.keys {
            let isSame =
                dump.tableGeneration == former.tableGeneration
                && former.tables[id]?.table.handle == dump.tables.first { $0.id == id }?.handle
            // What was planned may never have been done.
            if !isSame || tables[id]?.isPlanned == true { tables[id]?.forget() }
            tables[id]?.isMarked = dump.markedTables.contains(id)
        }
        state.ruleTables = tables
    }

    // MARK: - Changes

    /// A table will be like this.
    static func put(_ id: FilterTable.ID, _ table: SavedTable, in state: NamespaceState, _ world: LinuxWorld) {
        world.journals.remember(rules: id, in: state)
        if state.tables[id] == nil { state.tables[id] = TableState(table: FilterTable(id: id, handle: 0)) }
        let former = state.ruleTables[id]?.marks ?? []
        state.ruleTables[id, default: RuleTableState()].put(table)
        for mark in state.ruleTables[id]?.marks ?? [] where !former.contains(mark) {
            state.ruleTables[id]?.claims[mark] = world.plannedClaim
        }
    }

    /// Tables were changed by somebody.
    static func forget(_ ids: some Sequence<FilterTable.ID>, in state: NamespaceState) {
        for id in ids { state.ruleTables[id]?.forget() }
    }

    /// What leads from a table to another one, in one transaction; nil: nothing.
    static func load(
        _ id: FilterTable.ID, from former: SavedTable, to new: SavedTable, what: String, places: SourcePlaces? = nil
    ) -> LinuxOperation.Action? {
        guard let text = former.text(to: new) else { return nil }
        let program = Program.iptablesRestore(id.family)
        return .load(
            TextLoad(
                program: program, arguments: ["--noflush", "-w"], text: text, places: places,
                summary: "\(program.name): \(what) in table \(id.name)", effect: .rules(id, from: former, to: new)))
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for id in state.ruleTables.keys.sorted(by: { "\($0)" < "\($1)" }) {
                append(id, in: state, to: &list) { _ in true }
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        var marks: [Place: Set<RuleMark>] = [:]
        for place in places {
            guard case .rules(let id, let mark) = place.object, let state = list.world.states[place.namespace],
                !list.goes(state)
            else { continue }
            marks[Place(state, .table(id)), default: []].insert(mark)
        }
        for (place, marks) in marks.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            guard case .table(let id) = place.object, let state = list.world.states[place.namespace] else { continue }
            append(id, in: state, to: &list) { marks.contains($0) }
        }
    }

    /// Each goes by a text of its own, on top of those before. Custom chains go when nothing leads to them any more, with
    /// whichever comes last.
    private static func append(
        _ id: FilterTable.ID, in state: NamespaceState, to list: inout Leftovers, which: (RuleMark) -> Bool
    ) {
        let world = list.world
        guard let known = state.ruleTables[id], known.isMarked || !known.marks.isEmpty,
            let word = RuleChainSpec.Table(id), var table = try? world.rules(of: id, word, in: state)
        else { return }
        let claims = state.ruleTables[id]?.claims ?? [:]
        let marks = table.marks.keys.filter { mark in
            which(mark) && !(claims[mark].map(world.isClaimed) ?? false)
                && !world.refusedTexts.keep(.rules(mark))
        }
        // A chain of one before may be free with the next.
        var used: Set<String> = []
        for mark in marks.sorted(by: { $0.text < $1.text }) {
            let former = table
            table.remove([mark], used: &used)
            guard let action = load(id, from: former, to: table, what: "remove rules") else { continue }
            let name = mark.name(world.ownership)
            list.add(
                Place(state, .rules(id, mark)), key: RuleChainKeys.key(name),
                "rule chain \(name)\(state.reference.suffix)", [LinuxOperation(state, action)])
        }
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        let world = restoration.world
        for (state, part) in restoration.parts {
            for (id, former) in part.ruleTables.sorted(by: { "\($0.key)" < "\($1.key)" }) {
                guard let word = RuleChainSpec.Table(id), let now = try? world.rules(of: id, word, in: state) else {
                    continue
                }
                var table = now
                table.restore(former)
                if let action = load(id, from: now, to: table, what: "put rules back") {
                    restoration.add(action, in: state.id)
                }
            }
        }
    }
}

enum RuleChainKeys {
    static func key(_ name: String) -> Key { ModelRegistry.model(.ruleChain).keyPrefix + name }
}
