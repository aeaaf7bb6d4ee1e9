internal import Glibc
internal import Model
internal import Netlink
internal import Reconciler

/// A table of nf_tables with what is known of its content.
struct TableState {
    var table: FilterTable
    /// Its content; nil: nobody asked since it changed.
    var text: TableText?
    var claim = Claim()
}

/// Tables of nf_tables, ours by their comment. What is in them is asked for only when it is compared.
enum FilterTableClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        guard world.hasFilters || state.references.contains(where: world.declarations.hasTables) else { return }
        do throws(KernelError) {
            let socket = try state.socketForTables()
            dump.tables = try socket.tables()
            if !dump.tables.isEmpty { dump.tableGeneration = try socket.generation() }
        } catch {
            // Without nf_tables there are no tables; and who may only look may not look at these.
            let isHarmless = [EPROTONOSUPPORT, EOPNOTSUPP, EINVAL, EPERM, EAFNOSUPPORT].contains(error.code)
            if !isHarmless { throw error }
        }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        take(dump.tables, generation: dump.tableGeneration, state, former: former.tables, former.tableGeneration)
    }

    /// What was known of a table is still true as long as nothing changed in the namespace.
    private static func take(
        _ tables: [FilterTable], generation: UInt32, _ state: NamespaceState, former: [FilterTable.ID: TableState],
        _ formerGeneration: UInt32
    ) {
        var known: [FilterTable.ID: TableState] = [:]
        for table in tables {
            var new = TableState(table: table)
            if let old = former[table.id] {
                new.claim = old.claim
                if generation == formerGeneration, old.table.handle == table.handle { new.text = old.text }
            }
            known[table.id] = new
        }
        state.tables = known
        state.tableGeneration = generation
    }

    // MARK: - Changes

    /// A table will be like this; without a text it goes.
    static func put(
        _ id: FilterTable.ID, _ text: TableText?, comment: String?, in state: NamespaceState, _ world: LinuxWorld
    ) {
        // What goes can be put back only if somebody has read it.
        if world.journals.isAnyKept { _ = try? world.text(of: id, in: state) }
        world.journals.remember(table: id, in: state)
        guard let text else {
            state.tables[id] = nil
            return
        }
        let table = FilterTable(id: id, handle: 0, comment: comment)
        state.tables[id] = TableState(table: table, text: text, claim: state.tables[id]?.claim ?? world.plannedClaim)
    }

    /// What leads from what is there to a table with this text, in one transaction; nil: to none.
    ///
    /// Only the table that is known goes, by its number: one that somebody else put in its place meanwhile makes the
    /// transaction fail.
    static func load(
        _ id: FilterTable.ID, from former: FilterTable?, to text: TableText?, comment: String? = nil,
        source: String? = nil, leadingLines: Int = 0, places: SourcePlaces? = nil
    ) -> LinuxOperation.Action {
        // The block of a `create` brings the comment, and nothing else.
        var input = "create \(id)" + (comment.map { " { comment \"\($0)\" ; }\n" } ?? "\n")
        if let former {
            input = "delete table \(id.family) \(former.handle > 0 ? "handle \(former.handle)" : id.name)\n"
        }
        if let text { input += source ?? text.source(id, comment: comment) }
        let load = TextLoad(
            program: .nft, arguments: ["-f", "-"], text: input, leadingLines: leadingLines + 1, places: places,
            summary: "nft: \(text == nil ? "delete" : former == nil ? "create" : "replace") \(id)",
            effect: .table(id, text, comment: comment))
        return .load(load)
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !state.tables.isEmpty && !list.goes(state) {
            for id in state.tables.keys.sorted(by: { "\($0)" < "\($1)" }) { append(id, in: state, to: &list) }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            if case .table(let id) = place.object, let state = list.world.states[place.namespace], !list.goes(state) {
                append(id, in: state, to: &list)
            }
        }
    }

    private static func append(_ id: FilterTable.ID, in state: NamespaceState, to list: inout Leftovers) {
        guard let table = state.tables[id], !list.world.isClaimed(table.claim),
            let comment = table.table.comment, let name = list.world.ownership.tableName(comment: comment),
            !list.world.refusedTexts.keep(.table(comment))
        else { return }
        list.add(
            Place(state, .table(id)), key: TableKeys.key(name), "\(id)\(state.reference.suffix)",
            [LinuxOperation(state, load(id, from: table.table, to: nil))])
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        for (state, part) in restoration.parts {
            for (id, old) in part.tables.sorted(by: { "\($0.key)" < "\($1.key)" }) {
                let now = state.tables[id]
                if old?.text == now?.text, old?.table.comment == now?.table.comment { continue }
                // What is not ours was not changed by us; and what nobody read can't be put back.
                if let now, restoration.world.ownership.tableName(comment: now.table.comment) == nil { continue }
                if let old, old.text == nil { continue }
                if now == nil, old == nil { continue }
                let action = load(id, from: now?.table, to: old?.text, comment: old?.table.comment)
                restoration.add(action, in: state.id)
            }
        }
    }

    // MARK: - Export

    /// Ours only: who writes rules by hand keeps them by hand.
    static func export(_ state: NamespaceState, to export: inout Export) throws(KernelError) {
        for (id, table) in state.tables.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            guard let name = export.ownership.tableName(comment: table.table.comment) else { continue }
            let text: TableText?
            do throws(ProgramError) {
                text = try export.world.text(of: id, in: state)
            } catch {
                throw KernelError(code: ENOENT, message: "\(id)\(state.reference.suffix): \(error)")
            }
            guard let text else { continue }
            var message = Nsmagent_Linux_FilterTable()
            message.name = name
            message.family = .init(id.family)
            if id.name != name { message.table = id.name }
            if let reference = export.reference(to: state) { message.namespace = reference }
            message.ruleset = text.inside.map { "\($0)\n" }.joined()
            export.others.append(.filterTable(message))
        }
    }
}

extension Nsmagent_Linux_FilterTable.Family {
    fileprivate init(_ family: FilterTable.Family) {
        switch family {
        case .inet: self = .inet
        case .ip: self = .ip
        case .ip6: self = .ip6
        case .arp: self = .arp
        case .bridge: self = .bridge
        case .netdev: self = .netdev
        }
    }
}

extension Ownership {
    /// The comment of a table of ours.
    func comment(table name: String) -> String { aliasPrefix + name }

    /// The name that a table was declared with; nil: it is not ours.
    func tableName(comment: String?) -> String? {
        guard let comment, comment.hasPrefix(aliasPrefix) else { return nil }
        return String(comment.dropFirst(aliasPrefix.count))
    }
}

enum TableKeys {
    static func key(_ name: String) -> Key { ModelKey.filterTable(name) }
}
