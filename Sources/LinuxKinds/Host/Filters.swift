internal import CLinux
internal import Glibc
internal import Netlink

extension LinuxWorld {
    /// Whether the kernel has nf_tables already. To ask it would bring the module in, where nobody uses it.
    var hasFilters: Bool { Self.isNetfilterBuiltIn || access("/sys/module/nf_tables", F_OK) == 0 }

    /// Whether nfnetlink is a part of the kernel proper, which has no folder among the modules: there nf_tables is one, too, or
    /// costs nothing. This is so for as long as the kernel runs, and asked once: for the answer the kernel walks through all
    /// netlink sockets of the machine.
    private static let isNetfilterBuiltIn: Bool = {
        if access("/sys/module/nfnetlink", F_OK) == 0 { return false }
        guard let file = fopen("/proc/net/netlink", "re") else { return false }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = line.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            let words = text.split(separator: " ")
            if words.count > 1, words[1] == "\(NETLINK_NETFILTER)" { return true }
        }
        return false
    }()

    /// What is in a table that is there; nil: it is gone meanwhile.
    func text(of id: FilterTable.ID, in state: NamespaceState) throws(ProgramError) -> TableText? {
        guard let table = state.tables[id] else { return nil }
        if let text = table.text { return text }
        guard state.handle != nil else { return nil }
        let listing: String
        do throws(ProgramError) {
            listing = try programs.run(
                .nft, ["-s", "list", "table", "\(id.family)", id.name], in: place(of: state))
        } catch {
            if case .refused(_, let words) = error, words.contains("No such file or directory") { return nil }
            throw error
        }
        let text = TableText(listing: listing, of: id)
        state.tables[id]?.text = text
        return text
    }

    /// Where a program has to go to work in a namespace; nil: it is there already, which takes no right to enter.
    func place(of state: NamespaceState) -> NetworkNamespace? { state.reference == .own ? nil : state.handle }

    /// Has a program load a text.
    func load(_ load: TextLoad, in state: NamespaceState) throws {
        guard state.handle != nil else { throw KernelError(code: ENOENT, message: "the namespace is gone") }
        do throws(ProgramError) {
            try programs.run(load.program, load.arguments, input: load.text, in: place(of: state))
        } catch {
            takeFilterEvents(state, own: programs.lastProcess)
            markStale(state)
            throw error.placed(behind: load.leadingLines)
        }
        takeFilterEvents(state, own: programs.lastProcess)
    }

    // MARK: - Events

    /// Takes in what the kernel tells of the tables of a namespace.
    /// - Parameter process: the one whose changes are known: its netlink socket has its number.
    func takeFilterEvents(_ state: NamespaceState, own process: pid_t? = nil) {
        guard let events = state.filterEvents else { return }
        var touched: Set<FilterTable.ID> = []
        let drained = events.drain { id, port in
            if let process, port == UInt32(process) { return }
            touched.insert(id)
        }
        if drained == .overrun { touched.formUnion([FilterTable.ID](state.tables.keys) + state.ruleTables.keys) }
        if touched.isEmpty { return }
        if process != nil {
            // In the midst of our own work the picture is ahead of the kernel: what is planned is not there yet.
            state.touchedTables.formUnion(touched)
        } else {
            takeTouched(touched, in: state)
        }
    }

    private func takeTouched(_ touched: Set<FilterTable.ID>, in state: NamespaceState) {
        RuleChainClass.forget(touched, in: state)
        noteTouched(tables: touched, in: state)
    }

    /// Takes in what others changed while operations were done, now that all of these are.
    func takeTouchedTables(of operations: [LinuxOperation]) {
        for operation in operations {
            guard case .load = operation.action, let state = states[operation.namespace], !state.touchedTables.isEmpty
            else { continue }
            takeTouched(state.touchedTables, in: state)
            state.touchedTables = []
            // No caller takes the changes noted now.
            hasMissedEvents = true
            watcher?.scheduleRecheck(after: 1)
        }
    }

    private func noteTouched(tables touched: Set<FilterTable.ID>, in state: NamespaceState) {
        let former = state.tables
        var dump = NamespaceDump()
        do {
            try FilterTableClass.dump(state, routeSocket(state), self, into: &dump)
        } catch {
            markStale(state)
            told.needsFullPass = true
            return
        }
        var known: [FilterTable.ID: TableState] = [:]
        for table in dump.tables {
            let old = former[table.id]
            let isSame = !touched.contains(table.id) && old?.table.handle == table.handle
            known[table.id] = TableState(table: table, text: isSame ? old?.text : nil, claim: old?.claim ?? Claim())
        }
        state.tables = known
        state.tableGeneration = dump.tableGeneration
        for id in touched {
            for reference in state.references { declarations.addKeys(of: id, in: reference, to: &told.keys) }
            // One with our mark that nobody declares is found only by a look at everything.
            if former[id] == nil, ownership.tableName(comment: known[id]?.table.comment) != nil,
                !state.references.contains(where: { declarations.isDeclared(id, in: $0) })
            {
                told.needsFullPass = true
            }
        }
    }
}

extension NamespaceState {
    /// A socket to ask for tables.
    func socketForTables() throws(KernelError) -> FilterSocket {
        if let filterSocket { return filterSocket }
        // Where we are already no move is needed, which would take CAP_SYS_ADMIN.
        return try FilterSocket(in: reference == .own ? nil : handle)
    }
}

extension ProgramError {
    /// The same error, with the places of its words counted from the user's first line: `/dev/stdin:7:3-8: Error: …` is about
    /// line 3, column 3.
    func placed(behind leadingLines: Int) -> ProgramError {
        guard case .refused(let program, let words) = self else { return self }
        // Where in the line it is has been said; a line of marks would not be below it.
        let lines = words.split(separator: "\n", omittingEmptySubsequences: true).filter { line in
            !line.allSatisfy { $0 == "^" || $0 == "~" || $0.isWhitespace }
        }
        if lines.isEmpty { return self }
        let remarks = lines.map { line -> Remark in
            let parts = line.split(separator: ":", maxSplits: 3)
            // The words repeat the user's line, which can look like a place.
            guard parts.count == 4, parts[0].hasSuffix("stdin"), let number = Int32(parts[1]).map(Int.init),
                let column = parts[2].split(separator: "-").first.flatMap({ Int32($0) }).map(Int.init)
            else { return Remark(words: String(line).trimmingSpace) }
            let text = String(parts[3]).trimmingSpace
            return Remark(
                place: number > leadingLines ? (number - leadingLines, column) : nil,
                words: text.hasPrefix("Error: ") ? String(text.dropFirst(7)) : text)
        }
        return .refusedText(program, remarks)
    }
}
