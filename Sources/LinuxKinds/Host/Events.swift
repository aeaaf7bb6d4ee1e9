internal import CLinux
internal import Glibc
public import Netlink
internal import NetworkTypes

extension LinuxWorld {
    /// Starts to listen in every open namespace and for namespaces that come and go. Call ``readAll()`` afterwards, so
    /// that nothing falls between reading and listening.
    ///
    /// - Throws: the kernel's error when the descriptors can't be made.
    public func startWatching(on loop: EventLoop) throws(KernelError) {
        let watcher = try Watcher(loop: loop)
        self.watcher = watcher
        // A new descriptor has the lowest free number, so it tells how many there are.
        let used = Int(try NetworkNamespace.current().descriptor)
        mostNamespaces = max(Int(clamping: cl_raise_file_limit()) - used - Self.reservedDescriptors, 0) / 4
        try openNamespaces()
        if let own = byReference[.own] { try watcher.watch(own, groups: groups(for: own)) }
        watchAll()
    }

    /// Descriptors that are left to everything else in the process.
    private static var reservedDescriptors: Int { 24 }

    func watchAll() {
        guard let watcher else { return }
        for state in states where state.handle != nil && state.visitors == nil { watch(state) }
        watchPlaces(watcher)
    }

    /// Watches the files and processes by which namespaces are named.
    func watchPlaces(_ watcher: Watcher) {
        var directories: Set<String> = [namespaceDirectory]
        var processes: Set<Int32> = []
        var isAwaiting = false
        for reference in declarations.referenced {
            switch reference {
            case .process(let pid):
                if byReference[reference] == nil { isAwaiting = true } else { processes.insert(pid) }
            case .file(let path):
                if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
                    directories.insert(String(path[..<slash]))
                }
                if byReference[reference] == nil { isAwaiting = true }
            case .microservice, .pod: if let pid = containerProcess(reference) { processes.insert(pid) }
            case .own, .named, .former: break
            }
        }
        watcher.watch(processes: processes)
        watcher.watch(directories: directories)
        // Nothing tells when a process with a given number starts. What nobody names any more is let go once what is left
        // in it has been removed.
        if isAwaiting || byReference.keys.contains(where: isAbandoned) { watcher.scheduleRecheck() }
    }

    /// Listens in a namespace. One whose events are not available is not kept: changes there would go unseen and
    /// unrepaired, without notice.
    func watch(_ state: NamespaceState) {
        do throws(KernelError) {
            try watcher?.watch(state, groups: groups(for: state))
            let hasTables = state.references.contains(where: declarations.hasTables)
            let isNew = hasTables && state.filterEvents == nil
            try watcher?.watchFilters(state, hasTables)
            // What changed before somebody listened.
            if isNew, watcher != nil { markStale(state) }
        } catch {
            // What else may fail fails again when it is read.
            if error.meansShortage, state.reference != .own { giveUp(state, error) }
        }
    }

    /// Whether the reference was declared, and is no more.
    private func isAbandoned(_ reference: NamespaceReference) -> Bool {
        switch reference {
        case .process, .file, .microservice, .pod: !declarations.isReferenced(reference)
        case .own, .named, .former: false
        }
    }

    /// What to listen to in a namespace: settings only where some are declared, as every listener costs everyone who
    /// changes anything.
    func groups(for state: NamespaceState) -> EventSocket.Groups {
        state.references.contains(where: declarations.hasSettings) ? [.all, .settings] : .all
    }

    /// Takes in what the event loop's tokens announce.
    public func takeEvents(tokens: [UInt64]) -> WorldChanges {
        cause = .told
        defer { cause = .planned }
        var namespacesChanged = false
        for token in tokens {
            switch token {
            case Watcher.Token.directory, Watcher.Token.mounts, Watcher.Token.timer: namespacesChanged = true
            case Watcher.Token.holders:
                watcher?.forgetHolders()
                namespacesChanged = true
            case Watcher.Token.filters..<Watcher.Token.processes:
                if let state = states[Int(token - Watcher.Token.filters)] { takeFilterEvents(state) }
            case Watcher.Token.processes...: endProcess(Int32(truncatingIfNeeded: token))
            case Watcher.Token.namespaces..<Watcher.Token.directory:
                if let state = states[Int(token - Watcher.Token.namespaces)] { drain(state) }
            default: break
            }
        }
        settleDowns()
        let moves = told.moves
        told.moves.removeAll()
        if !moves.isEmpty { forgetLeftVisits() }
        follow(moves)
        if hasMissedEvents {
            hasMissedEvents = false
            told.needsFullPass = true
        }
        if namespacesChanged {
            watcher?.drain()
            rescanNamespaces()
            takeHostNames()
        }
        if !formerNamespaces.isEmpty { dropFormer() }
        defer { told = WorldChanges() }
        return told
    }

    /// When a link is removed, the kernel first reports it as down, or its ports as free, and up to 20 ms later as
    /// gone. A request for the link waits for the holder of the kernel's lock, so its answer tells which of the two it
    /// is.
    private func settleDowns() {
        let downs = told.downs
        told.downs.removeAll()
        for (id, indexes) in downs {
            guard let state = states[id] else { continue }
            let isGone = indexes.contains { index in
                guard state.links[index] != nil, let socket = try? routeSocket(state) else { return false }
                return (try? socket.link(index: index)) == .some(nil)
            }
            if isGone { drain(state) }
        }
    }

    private func endProcess(_ pid: Int32) {
        watcher?.forget(process: pid)
        lose(.process(pid))
        endContainers(of: pid)
        if let watcher { watchPlaces(watcher) }
    }

    /// A reference leads nowhere any more, or elsewhere.
    private func lose(_ reference: NamespaceReference) {
        release(reference)
        declarations.addKeys(in: reference, to: &told.keys)
    }

    /// Finds namespaces that came, went, or were replaced under the same name.
    private func rescanNamespaces() {
        guard let names = try? NetworkNamespace.list(directory: namespaceDirectory) else {
            // What can't be looked at is not gone.
            watcher?.scheduleRecheck()
            return
        }
        let before = unreachable
        unreachable.removeAll()
        held.removeAll()
        var found: Set<NamespaceReference> = [.own]
        let looksElsewhere = looksElsewhere
        for name in names where looksElsewhere || byReference[.named(name)] != nil {
            rescan(.named(name), path: "\(namespaceDirectory)/\(name)", &found)
        }
        for reference in declarations.referenced {
            switch reference {
            case .process(let pid): rescan(reference, path: "/proc/\(pid)/ns/net", &found)
            case .file(let path): rescan(reference, path: path, &found)
            case .microservice, .pod:
                endUnlessWatched(reference)
                if byReference[reference] != nil {
                    found.insert(reference)
                } else if containers[reference]?.mayPass == true {
                    enterContainer(reference)
                    if byReference[reference] == nil { continue }
                    found.insert(reference)
                    declarations.addKeys(in: reference, to: &told.keys)
                }
            case .own, .named, .former: break
            }
        }
        for (reference, state) in byReference where !found.contains(reference) && !state.isFormer { lose(reference) }
        for reference in Set(before.keys).union(unreachable.keys) where before[reference] != unreachable[reference] {
            declarations.addKeys(in: reference, to: &told.keys)
        }
        states.forgetLost()
        if let watcher { watchPlaces(watcher) }
    }

    private func rescan(_ reference: NamespaceReference, path: String, _ found: inout Set<NamespaceReference>) {
        let isWanted = looksElsewhere || declarations.isReferenced(reference)
        if let known = byReference[reference] {
            if let identity = NetworkNamespace.identity(path: path), known.handle?.identity == identity {
                found.insert(reference)
                return
            }
            let wasVisited = known.visitors != nil
            lose(reference)
            // No link of ours went to the new one.
            if wasVisited, !isWanted { return }
        }
        guard let handle = handle(at: path, as: reference) else { return }
        found.insert(reference)
        let state = adopt(handle, as: reference)
        if isWanted { widen(state) }
        if state.visitors == nil { watch(state) }
        if state.isStale { try? refresh() }
        if state.isLost { return }
        declarations.addKeys(in: reference, to: &told.keys)
        // What an earlier life of ours left there is found only by a look at everything.
        if state.hasOurs(ownership) { told.needsFullPass = true }
    }

    // MARK: - Events of one namespace

    private func drain(_ state: NamespaceState) {
        guard let events = state.events else { return }
        var isAny = false
        let drained = events.drain { report in
            isAny = true
            tally.events += 1
            apply(report, in: state)
        }
        if isAny, state.wasReadAgain {
            // What the events tell may have been read already, and then makes no difference any more.
            state.wasReadAgain = false
            for reference in state.references { declarations.addKeys(in: reference, to: &told.keys) }
        }
        if drained == .complete { return }
        // Events were lost: what is known of the namespace is read anew.
        tally.overruns += 1
        markStale(state)
        try? refresh()
        told.needsFullPass = true
    }
}
