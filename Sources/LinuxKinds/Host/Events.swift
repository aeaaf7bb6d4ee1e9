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
        mostNamespaces = max(Int(clamping: cl_raise_file_limit()) - used - Self.reservedDescriptors, 0) / 3
        try openNamespaces()
        if let own = byReference[.own] { try watcher.watch(own, groups: groups(for: own)) }
        watchAll()
    }

    /// Descriptors that are left to everything else in the process.
    private static var reservedDescriptors: Int { 24 }

    func watchAll() {
        guard let watcher else { return }
        for state in states where state.handle != nil { watch(state) }
        var directories: Set<String> = [namespaceDirectory]
        var processes: Set<Int32> = []
        var isAwaiting = false
        for reference in subjects.keys {
            switch reference {
            case .process(let pid):
                if byReference[reference] == nil { isAwaiting = true } else { processes.insert(pid) }
            case .file(let path):
                if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
                    directories.insert(String(path[..<slash]))
                }
                if byReference[reference] == nil { isAwaiting = true }
            case .own, .named, .microservice: break
            }
        }
        watcher.watch(processes: processes)
        watcher.watch(directories: directories)
        // Nothing tells when a process with a given number starts. What nobody names any more is let go once what is left
        // in it has been removed.
        if isAwaiting || byReference.keys.contains(where: isAbandoned) { watcher.scheduleRecheck() }
    }

    /// Listens in a namespace. One of which no events can be had is not kept: what is not seen is not repaired, and
    /// nobody would know.
    private func watch(_ state: NamespaceState) {
        do throws(KernelError) {
            try watcher?.watch(state, groups: groups(for: state))
        } catch {
            // What else may fail fails again when it is read.
            if error.meansShortage, state.reference != .own { giveUp(state, error) }
        }
    }

    /// Whether the reference was declared, and is no more.
    private func isAbandoned(_ reference: NamespaceReference) -> Bool {
        switch reference {
        case .process, .file: subjects[reference] == nil
        case .own, .named, .microservice: false
        }
    }

    /// What to listen to in a namespace: settings only where some are declared, as every listener costs everyone who
    /// changes anything.
    func groups(for state: NamespaceState) -> EventSocket.Groups {
        settingNamespaces.contains(state.reference) || !state.otherReferences.isDisjoint(with: settingNamespaces)
            ? [.all, .settings] : .all
    }

    /// Takes in what the event loop's tokens announce.
    public func takeEvents(tokens: [UInt64]) -> WorldChanges {
        var changes = WorldChanges()
        var namespacesChanged = false
        for token in tokens {
            switch token {
            case Watcher.Token.directory, Watcher.Token.mounts, Watcher.Token.timer: namespacesChanged = true
            case Watcher.Token.processes...: endProcess(Int32(truncatingIfNeeded: token), &changes)
            case Watcher.Token.namespaces..<Watcher.Token.directory:
                let id = Int(token - Watcher.Token.namespaces)
                if let state = states[id] { drain(state, &changes) }
            default: break
            }
        }
        settleDowns(&changes)
        if hasMissedEvents {
            hasMissedEvents = false
            changes.needsFullPass = true
        }
        if namespacesChanged {
            watcher?.drain()
            rescanNamespaces(&changes)
        }
        return changes
    }

    /// A link that is being removed is first told to be down, up to 20 ms before it is told to be gone. Asking for it waits
    /// for whoever holds the kernel's lock, so afterwards it is known which of the two it is.
    private func settleDowns(_ changes: inout WorldChanges) {
        let downs = changes.downs
        changes.downs.removeAll()
        for (id, indexes) in downs {
            guard let state = states[id] else { continue }
            let isGone = indexes.contains { index in
                guard state.links[index] != nil, let socket = try? routeSocket(state) else { return false }
                return (try? socket.link(index: index)) == .some(nil)
            }
            if isGone { drain(state, &changes) }
        }
    }

    private func endProcess(_ pid: Int32, _ changes: inout WorldChanges) {
        watcher?.forget(process: pid)
        release(.process(pid))
        changes.needsFullPass = true
        watchAll()
    }

    /// Finds namespaces that came, went, or were replaced under the same name.
    private func rescanNamespaces(_ changes: inout WorldChanges) {
        guard let names = try? NetworkNamespace.list(directory: namespaceDirectory) else {
            // What can't be looked at is not gone.
            watcher?.scheduleRecheck()
            return
        }
        let before = unreachable
        unreachable.removeAll()
        defer { if unreachable != before { changes.needsFullPass = true } }
        var found: Set<NamespaceReference> = [.own]
        for name in names {
            rescan(.named(name), path: "\(namespaceDirectory)/\(name)", &found, &changes)
        }
        for reference in subjects.keys {
            switch reference {
            case .process(let pid): rescan(reference, path: "/proc/\(pid)/ns/net", &found, &changes)
            case .file(let path): rescan(reference, path: path, &found, &changes)
            case .own, .named, .microservice: break
            }
        }
        for (reference, _) in byReference where !found.contains(reference) {
            release(reference)
            changes.needsFullPass = true
        }
        watchAll()
    }

    private func rescan(
        _ reference: NamespaceReference, path: String, _ found: inout Set<NamespaceReference>,
        _ changes: inout WorldChanges
    ) {
        if let known = byReference[reference] {
            if let identity = NetworkNamespace.identity(path: path), known.handle?.identity == identity {
                found.insert(reference)
                return
            }
            release(reference)
            changes.needsFullPass = true
        }
        guard let handle = handle(at: path, as: reference) else { return }
        found.insert(reference)
        let state = adopt(handle, as: reference)
        watch(state)
        if state.isStale { try? refresh() }
        if !state.isLost { changes.needsFullPass = true }
    }

    // MARK: - Events of one namespace

    private func drain(_ state: NamespaceState, _ changes: inout WorldChanges) {
        guard let events = state.events else { return }
        var isAny = false
        let drained = events.drain { report in
            isAny = true
            take(report, in: state, &changes)
        }
        if isAny, state.wasReadAgain {
            // What the events tell may have been read already, and then makes no difference any more.
            state.wasReadAgain = false
            for reference in state.references {
                for keys in (subjects[reference] ?? [:]).values { changes.keys.formUnion(keys) }
            }
        }
        if drained == .complete { return }
        // Events were lost: what is known of the namespace is read anew.
        state.isStale = true
        try? refresh()
        changes.needsFullPass = true
    }

    private func take(_ report: Report, in state: NamespaceState, _ changes: inout WorldChanges) {
        switch report {
        case .link(let link): take(link, in: state, &changes)
        case .linkRemoved(let link):
            defer {
                state.gone.remove(link.index)
                state.touched.remove(link.index)
            }
            guard let known = state.links[link.index] else { return }
            // Moved to another namespace, or gone. The other end of a pair goes with it, though its namespace may tell so
            // only later; what hears of it first must not build on it.
            note(known.link.name, in: state, &changes)
            if ownership.owns(alias: known.link.alias), let peer = peer(of: known), peer !== known {
                note(peer.link.name, in: peer.namespace, &changes)
                peer.namespace.remove(peer)
            }
            state.remove(known)
        case .address(let address): take(address, in: state, &changes)
        case .addressRemoved(let address):
            guard let link = state.links[address.linkIndex],
                link.addresses.contains(where: { $0.address.isSameAddress(as: address) })
            else { return }
            // The kernel drops routes with the last address without a word.
            simulate(LinuxOperation(namespace: state.id, action: .request(.deleteAddress(address))))
            note(link.link.name, in: state, &changes)
        case .route(let route):
            // A foreign route matters when it took the place of one of ours.
            if route.proto != ownership.proto { state.noteForeign(route) }
            guard route.proto == ownership.proto || state.routes[RouteID(route)] != nil,
                state.routes[RouteID(route)]?.route != route
            else { return }
            noteHops(of: route, in: state, &changes)
            if let old = state.routes[RouteID(route)] { noteHops(of: old.route, in: state, &changes) }
            state.setRoute(route)
        case .routeRemoved(let route):
            if route.proto != ownership.proto, state.loseForeign(route) {
                // It may have stood for one that is wanted.
                noteHops(of: route, in: state, &changes)
            }
            guard let known = state.routes[RouteID(route)]?.route, known.proto == route.proto else { return }
            // Each way of an IPv6 route can go by itself.
            let rest = route.destination.family == .v6 ? known.nextHops.filter { !route.nextHops.contains($0) } : []
            guard known.nextHops == route.nextHops || !rest.isEmpty && rest != known.nextHops else { return }
            noteHops(of: known, in: state, &changes)
            state.removeRoute(RouteID(route))
            if !rest.isEmpty {
                var remaining = known
                remaining.nextHops = rest
                state.setRoute(remaining)
            }
        case .neighbour(let neighbour): take(neighbour, isRemoval: false, in: state, &changes)
        case .neighbourRemoved(let neighbour): take(neighbour, isRemoval: true, in: state, &changes)
        case .rule(let rule):
            if rule.proto != ownership.proto { noteForeign(rule, in: state) }
            guard rule.proto == ownership.proto, state.rules[rule] == nil else { return }
            state.rules[rule] = 0
            note("", in: state, &changes)
        case .settings(let index):
            if let name = state.links[index]?.link.name { note(name, in: state, &changes) }
        case .ruleRemoved(let rule):
            if rule.proto != ownership.proto {
                state.foreignRules.remove(foreign(rule))
                if state.adoptedRules.remove(foreign(rule)) != nil { note("", in: state, &changes) }
            } else if state.rules.removeValue(forKey: rule) != nil {
                note("", in: state, &changes)
            }
        }
    }

    private func take(_ link: Link, in state: NamespaceState, _ changes: inout WorldChanges) {
        if state.gone.contains(link.index) { return }
        guard let known = state.links[link.index] else {
            state.insert(LinkState(link, in: state), ownership: ownership)
            note(link.name, in: state, &changes)
            return
        }
        let old = known.link
        // The only sign of changed offloads is that the kernel reports the link once more.
        if link.group == ownership.tunedGroup { note(link.name, in: state, &changes) }
        if old == link { return }
        if old.isUp, !link.isUp {
            changes.downs[state.id, default: []].insert(link.index)
            simulate(
                LinuxOperation(namespace: state.id, action: .request(.setLink(LinkAttributes(index: link.index).down))))
        }
        state.update(known, to: link, ownership: ownership)
        // A mark that somebody took is given back, not the link taken for theirs.
        if let alias = old.alias, link.alias != alias, aliasNamespaces[alias] != nil { state.ownedLinks[alias] = known }
        // Counters of the carrier and the like concern nobody here.
        let isSame =
            old.isUp == link.isUp && old.name == link.name && old.mtu == link.mtu && old.mac == link.mac
            && old.alias == link.alias && old.master == link.master && old.kind == link.kind && old.link == link.link
        if isSame { return }
        note(old.name, in: state, &changes)
        if link.name != old.name { note(link.name, in: state, &changes) }
    }

    private func take(_ address: Address, in state: NamespaceState, _ changes: inout WorldChanges) {
        guard let link = state.links[address.linkIndex] else { return }
        if let index = link.addresses.firstIndex(where: { $0.address.isSameAddress(as: address) }) {
            let hadFailed = link.addresses[index].address.flags & Address.dadFailed
            link.addresses[index].address = address
            if hadFailed == address.flags & Address.dadFailed { return }
        } else {
            link.addresses.append(AddressState(address: address))
        }
        note(link.link.name, in: state, &changes)
    }

    private func take(
        _ neighbour: Neighbour, isRemoval: Bool, in state: NamespaceState, _ changes: inout WorldChanges
    ) {
        guard let link = state.links[neighbour.linkIndex] else { return }
        let index = link.neighbours.firstIndex { $0.neighbour.isSameEntry(as: neighbour) }
        let isOurs = neighbour.proto == ownership.proto
        if isRemoval {
            guard let index else { return }
            link.neighbours.remove(at: index)
        } else if let index {
            if link.neighbours[index].neighbour == neighbour { return }
            link.neighbours[index].neighbour = neighbour
        } else {
            guard isOurs else { return }
            link.neighbours.append(NeighbourState(neighbour: neighbour))
        }
        note(link.link.name, in: state, &changes)
    }

    private func noteHops(of route: Route, in state: NamespaceState, _ changes: inout WorldChanges) {
        note("", in: state, &changes)
        for hop in route.nextHops {
            if let name = state.links[hop.linkIndex]?.link.name { note(name, in: state, &changes) }
        }
    }

    /// Adds the values that have to do with a link of the namespace; the empty name stands for the namespace itself.
    private func note(_ name: String, in state: NamespaceState, _ changes: inout WorldChanges) {
        if !changes.noted[state.id, default: []].insert(name).inserted { return }
        if let keys = subjects[state.reference]?[name] { changes.keys.formUnion(keys) }
        for reference in state.otherReferences {
            if let keys = subjects[reference]?[name] { changes.keys.formUnion(keys) }
        }
    }
}

extension LinkAttributes {
    /// The same link, taken down.
    fileprivate var down: LinkAttributes {
        var copy = self
        copy.up = false
        return copy
    }
}
