internal import Glibc
public import Netlink
internal import NetworkTypes

extension LinuxWorld {
    /// Opens every namespace there is a reference to, and reads them all.
    /// - Throws: the kernel's error when our own namespace can't be read.
    public func readAll() throws(KernelError) {
        try openNamespaces()
        for state in states where looksElsewhere || state.references.contains(where: declarations.isReferenced) {
            widen(state)
        }
        leaveOthers()
        watchAll()
        for state in states where state.handle != nil { markStale(state) }
        try refresh()
        forgetLeftVisits()
    }

    /// Opens the namespaces that are newly referred to, and reads those of which nothing is known yet: the others are
    /// known from their events.
    /// - Throws: the kernel's error when a namespace can't be read.
    public func readNew() throws(KernelError) {
        guard let watcher, byReference[.own] != nil else {
            try openNamespaces()
            watchAll()
            try refresh()
            return
        }
        let changed = declarations.changedReferences
        declarations.changedReferences.removeAll()
        // The words by which they are sorted are made once each.
        for (_, reference) in changed.map({ ($0.description, $0) }).sorted(by: { $0.0 < $1.0 }) {
            if declarations.isReferenced(reference) {
                unreachable[reference] = nil
                if byReference[reference] == nil { openNamespace(reference) }
            }
            guard let state = byReference[reference] else { continue }
            unnamed.remove(state.id)
            if declarations.isReferenced(reference) { widen(state) }
            if isHeldByAnother(state) {
                leaveToHolder(state)
            } else {
                // Settings are listened to only where some are declared.
                watch(state)
            }
        }
        if changed.contains(where: { $0.hasOwnWatch || $0.container != nil }) { watchPlaces(watcher) }
        try refresh()
        leaveOthers()
    }

    /// Lets namespaces go that were looked into only for what is ours, once values are in our own namespace alone and nothing is
    /// left elsewhere. Every change that anybody makes there would wake us up.
    private func leaveOthers() {
        if unnamed.isEmpty || looksElsewhere { return }
        for state in unnamed.compactMap({ states[$0] }) where state.visitors == nil && !state.isFormer {
            let mayHaveOurs =
                state.isStale || state.isSimulated || state.hasOurs(ownership)
                || state.links.values.contains { !$0.addedAltNames.isEmpty }
            if !mayHaveOurs { drop(state) }
        }
    }

    /// Opens our own namespace, the named ones, and those that declared values name by process or file.
    func openNamespaces() throws(KernelError) {
        // Tried again, and those that went are no longer asked for.
        unreachable.removeAll()
        held.removeAll()
        if locksNamespaces { unlockAbandoned() }
        if byReference[.own] == nil {
            let own = adopt(try NetworkNamespace.current(), as: .own)
            states.loans.load(ownership, home: own)
            states.altNames.load(ownership, home: own)
        }
        // Which of them are namespaces is found as they are opened.
        let names = looksElsewhere ? try namespaceNames() : []
        for name in names where byReference[.named(name)]?.handle == nil {
            openNamespace(.named(name))
        }
        leftNames =
            looksElsewhere
            ? NetworkNamespace.leftNames(
                of: ownership.label, in: namespaceDirectory, besides: names.filter { byReference[.named($0)] != nil })
            : []
        for reference in declarations.referenced where byReference[reference] == nil { openNamespace(reference) }
        for reference in declarations.changedReferences {
            if let state = byReference[reference] { unnamed.remove(state.id) }
        }
        declarations.changedReferences.removeAll()
    }

    /// The namespace that our thread is in.
    var home: NetworkNamespace? { byReference[.own]?.handle }

    /// Whether to look into namespaces that no value names.
    var looksElsewhere: Bool { looksEverywhere || declarations.referenced.contains { $0 != .own } }

    /// The names of namespaces. A directory that can't be read is taken for an empty one, unless that may pass.
    private func namespaceNames() throws(KernelError) -> [String] {
        do throws(KernelError) {
            return try NetworkNamespace.names(in: namespaceDirectory)
        } catch {
            if error.meansShortage { throw error }
            return []
        }
    }

    /// Opens the namespace of a process or file, if it is there. Returns whether it is.
    @discardableResult
    func openNamespace(_ reference: NamespaceReference) -> Bool {
        let path: String
        switch reference {
        case .process(let pid): path = "/proc/\(pid)/ns/net"
        case .file(let file): path = file
        case .named(let name): path = "\(namespaceDirectory)/\(name)"
        case .microservice, .pod: return openContainer(reference)
        case .own, .former: return byReference[reference] != nil
        }
        guard let handle = handle(at: path, as: reference) else { return false }
        adopt(handle, as: reference)
        return true
    }

    /// The namespace behind a path. A file that is not a namespace, or that went away just now, is not reported; a
    /// namespace that exists but is not available is.
    func handle(at path: String, as reference: NamespaceReference) -> NetworkNamespace? {
        firstVisit = nil
        do throws(KernelError) {
            let handle = try NetworkNamespace(path: path, home: home) { visit($0, as: reference) }
            if !others.isEmpty, others.contains(handle.identity) {
                if !declarations.isReferenced(reference) { return nil }
                others.remove(handle.identity)
            }
            if byIdentity[handle.identity] == nil { try checkRoom() }
            return handle
        } catch {
            if error.meansShortage { note(unreachable: reference, error) }
            return nil
        }
    }

    /// Opens what it takes to be in a namespace that is new to us. Returns its socket.
    private func visit(_ identity: NetworkNamespace.Identity, as reference: NamespaceReference) -> RouteSocket? {
        let isReferenced = declarations.isReferenced(reference)
        guard byIdentity[identity] == nil, roomMistake == nil, isReferenced || !others.contains(identity),
            let socket = try? RouteSocket(in: nil)
        else { return nil }
        var visit = FirstVisit(identity: identity, socket: socket)
        if locksNamespaces, isReferenced { visit.hold = takeLock() }
        // That is closed after the first look, which has to wait until all of them are open.
        let isRoom = UInt64(socket.descriptor) < mostDescriptors / 2
        if isRoom, hasFilters { visit.filterSocket = try? FilterSocket(in: nil) }
        firstVisit = visit
        return socket
    }

    /// Why no other namespace can be opened: the descriptors meant for namespaces are used up.
    var roomMistake: KernelError? { byIdentity.count < mostNamespaces ? nil : KernelError(code: EMFILE) }

    /// Refuses another namespace when there is no room for it.
    func checkRoom() throws(KernelError) {
        if let roomMistake { throw roomMistake }
    }

    func note(unreachable reference: NamespaceReference, _ error: KernelError) {
        unreachable[reference] =
            error.meansShortage
            ? "\(reference) can't be opened: \(text(for: error))"
            : "\(reference) can't be entered: that takes CAP_SYS_ADMIN"
        // Nothing tells when there are descriptors again.
        if error.meansShortage { watcher?.scheduleRecheck() }
    }

    /// Lets a namespace go that can't be worked in. That hurts only values there.
    func giveUp(_ state: NamespaceState, _ error: KernelError) {
        for reference in state.references { note(unreachable: reference, error) }
        drop(state)
    }

    /// Reads the namespaces again that are marked as stale.
    func refresh() throws(KernelError) {
        var failure: KernelError?
        for state in takeStale() where state.handle != nil {
            // Those behind one that fails are still to be read.
            if failure != nil {
                markStale(state)
                continue
            }
            do {
                _ = try routeSocket(state)
                if isHeldByAnother(state) {
                    leaveToHolder(state)
                    continue
                }
                try read(state)
                // What is ours there may be what another agent made just now.
                if isHeldByAnother(state) { leaveToHolder(state) }
            } catch {
                markStale(state)
                // What was known of it stays in force until it can be read again. A namespace that was never read must
                // not be taken for an empty one.
                watcher?.scheduleRecheck()
                // Whose pods share one namespace may lack the right to enter others.
                let isElsewhere = error.code == EPERM || error.code == EACCES || error.meansShortage
                if !state.wasRead, isElsewhere, state.reference != .own {
                    giveUp(state, error)
                } else if !state.wasRead {
                    failure = KernelError(code: error.code, message: "\(state.reference) can't be read: \(error)")
                }
            }
        }
        // What is only planned is not written down.
        if simulated.isEmpty { states.altNames.save(states) }
        if let failure { throw failure }
    }

    /// The namespace that another one calls by a number, as in `IFLA_LINK_NETNSID`. Asks for one after the other.
    func namespace(numbered number: Int32, seenFrom state: NamespaceState) -> NamespaceState? {
        guard let socket = try? routeSocket(state) else { return nil }
        return states.first { other in
            guard let handle = other.handle else { return false }
            return (try? socket.namespaceID(of: handle.descriptor)) == number
        }
    }

    func routeSocket(_ state: NamespaceState) throws(KernelError) -> RouteSocket {
        if let socket = state.socket { return socket }
        guard let handle = state.handle else { throw KernelError(code: ENOENT, message: "the namespace is gone") }
        let socket: RouteSocket
        // Where we are already no move is needed, which would take CAP_SYS_ADMIN.
        if state.reference == .own {
            socket = try RouteSocket(in: nil)
        } else {
            // All that it takes to be there for, in one visit.
            let isFirstRead = !state.wasRead && state.reading == nil
            do {
                socket = try handle.run(from: home) {
                    if isLockWanted(state) { state.hold = takeLock() }
                    if isFirstRead, hasFilters { state.filterSocket = try? FilterSocket(in: nil) }
                    return try RouteSocket(in: nil)
                }
            } catch {
                throw error as? KernelError ?? KernelError(code: EINVAL, message: "\(error)")
            }
        }
        state.socket = socket
        return socket
    }

    /// Reads the namespaces that are marked as stale, and no other once one fails.
    func readStale() throws(KernelError) {
        for state in takeStale() { try read(state) }
    }

    /// Reads what every class of objects wants to know of a namespace.
    private func read(_ state: NamespaceState) throws(KernelError) {
        let socket = try routeSocket(state)
        defer { state.filterSocket = nil }
        // All of it first: a dump that fails leaves what was known.
        var dump = NamespaceDump()
        if let reading = state.reading {
            dump = try reading(socket)
        } else if let visitors = state.visitors {
            dump = try read(visitors: visitors, of: state, socket)
        } else {
            // One that stopped in the middle of a dump is another one afterwards.
            for kernelClass in KernelClasses.all {
                try kernelClass.dump(state, try routeSocket(state), self, into: &dump)
            }
        }
        let former = state.forget()
        for kernelClass in KernelClasses.all { kernelClass.takeIn(dump, state, former: former, self) }
        state.isSimulated = false
        state.wasRead = true
    }

    /// A route of someone else's that has the place of one that is wanted. Not asked for when ours has just been lost: it
    /// costs a look at all routes of the namespace.
    func foreignRoute(_ id: RouteID, in state: NamespaceState) -> Route? {
        if let known = state.foreignRoutes { return known[id] }
        guard state.handle != nil, !state.hasJustLost(id),
            let reports = try? routeSocket(state).dump(.routes(ignoringKernel: true))
        else { return nil }
        var routes: [RouteID: Route] = [:]
        var advertised: [Route] = []
        for case .route(let route) in reports where route.proto != ownership.proto {
            if route.isAdvertised { advertised.append(route) } else { routes[RouteID(route)] = route }
        }
        state.setForeignRoutes(routes)
        state.setAdvertised(advertised)
        return routes[id]
    }

    /// Routes of routers' advertisements in the place of one: the kernel keeps them beside it.
    func advertisedRoutes(_ id: RouteID, in state: NamespaceState) -> [Route] {
        if id.destination.family == .v4 { return [] }
        if state.advertised == nil, state.handle != nil,
            let reports = try? routeSocket(state).dump(.routes(family: .v6, proto: Route.advertised))
        {
            state.setAdvertised(
                reports.compactMap { report in
                    if case .route(let route) = report, route.isAdvertised { route } else { nil }
                })
        }
        return state.advertised?[id] ?? []
    }
}
