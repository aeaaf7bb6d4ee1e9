internal import Concurrency
internal import Glibc
internal import Netlink
internal import NetworkTypes
public import Reconciler

extension LinuxWorld {
    /// Does the operations in order. Requests to one namespace are collected and leave together; they leave early only
    /// when a later operation needs to know the index of a link they make, or must not overtake them.
    public func execute(_ operations: [LinuxOperation]) -> [OperationResult] { execute(operations) { _ in } }

    /// As ``execute(_:)``; `progress` gets the number of operations handed to the kernel now and then.
    public func execute(_ operations: [LinuxOperation], progress: (Int) -> Void) -> [OperationResult] {
        isFresh = false
        let start = SteadyClock.monotonic
        defer {
            tally.batches += 1
            tally.operations += UInt64(operations.count)
            tally.nanoseconds += SteadyClock.monotonic - start
        }
        let isBulk = watcher != nil && isBulk(operations.count)
        if isBulk { pauseEvents() }
        defer { if isBulk { resumeEvents() } }
        var run = ExecutionRun(operations)
        let bystanders = saveBystanders()
        let mtus = mtusV6InPlace(before: operations)
        madeIndexes.removeAll(keepingCapacity: true)
        keptLinks.removeAll()
        creators.removeAll(keepingCapacity: true)
        let loads = RuleLoads(operations)
        for (index, operation) in operations.enumerated() {
            if index % 64 == 63 { progress(index) }
            if loads.isLater(index) { continue }
            guard let state = states[operation.namespace] else {
                run.set(index, .skipped)
                continue
            }
            switch operation.action {
            case .request(let request):
                if case .deleteQdisc(let qdisc) = request, qdisc.parent == Qdisc.ingress {
                    flush(state, &run)
                    run.set(index, deleteIngress(qdisc, in: state))
                    continue
                }
                // The kernel looks at the carrier, which a pair has when its other end is up.
                if case .addNextHop(let hop, _) = request, hop.linkIndex != 0 { flushOthers(than: state, &run) }
                if let request = withoutMark(request, in: state, &run) { enqueue(request, of: index, in: state, &run) }
            case .createLink(let creation): enqueue(creation, of: index, in: state, &run)
            case .deleteLinks(let indexes, let wholeGroup):
                flushAll(&run)
                run.set(index, deleteLinks(indexes, wholeGroup: wholeGroup, in: state))
            case .removeNamespace, .moveLink:
                flushAll(&run)
                run.set(index, perform(operation.action, in: state))
            case .desirable(_, let link):
                // The link has to be there, and nothing else that waits.
                let isThere = link > 0 || resolve(link, &run) != nil
                run.set(index, isThere ? perform(operation.action, in: state) : .skipped)
            case .wireGuard(let link, _):
                // What waits may take the link up, with the port that it has by then.
                let isThere = link > 0 || resolve(link, &run) != nil
                flush(state, &run)
                run.set(index, isThere ? perform(operation.action, in: state) : .skipped)
            case .load where loads.group(endingWith: index) != nil:
                flush(state, &run)
                perform(loads.group(endingWith: index) ?? [], of: operations, in: state, &run)
            case .createTUN, .rename, .createNamespace, .markNamespace, .sysctl, .offload, .load:
                flush(state, &run)
                run.set(index, perform(operation.action, in: state))
            }
        }
        putBack(bystanders, &run)
        tryAgain(operations, besides: bystanders.isEmpty, &run)
        if !run.isAllDone { takeBackIngress(after: operations, run.results) }
        markInherited(after: operations, &run)
        if run.isAllDone { keepChosenMTUs(after: operations) }
        keep(mtus, after: operations, run.results)
        takeTouchedTables(of: operations)
        states.altNames.save(states)
        progress(operations.count)
        if refusal == nil, let (index, error) = run.refusal { refusal = Refusal(operations[index], error, self) }
        if run.isAllDone {
            for state in simulated { state.isSimulated = false }
            simulated.removeAll(keepingCapacity: true)
        }
        forgetPlanned()
        return run.results
    }

    /// Routes may lead by addresses that others had and that were put back only now.
    private func tryAgain(_ operations: [LinuxOperation], besides isNothingPutBack: Bool, _ run: inout ExecutionRun) {
        let restores = operations.contains { if case .request(.restore) = $0.action { true } else { false } }
        if run.isAllDone || isNothingPutBack && !restores { return }
        for (index, operation) in operations.enumerated() {
            guard case .failed = run.results[index], case .request(let request) = operation.action,
                request.addsRoute, let state = states[operation.namespace], state.handle != nil
            else { continue }
            run.startAfresh(index)
            enqueue(request, of: index, in: state, &run)
        }
        flushAll(&run)
    }

    /// Whether it costs less to read the namespaces anew than to hear of every change, for each of which the kernel looks
    /// at every listening socket of the machine. With 1000 sockets both cost the same at 2000 operations.
    private func isBulk(_ count: Int) -> Bool {
        count > 256 && count > 2 * states.reduce(0) { $0 + ($1.events == nil ? 0 : 1) }
    }

    private func pauseEvents() {
        for state in states { try? state.events?.subscribe(to: []) }
    }

    private func resumeEvents() {
        for state in states {
            guard let events = state.events else { continue }
            try? events.subscribe(to: state.eventGroups)
            _ = events.drain { _ in }
            markStale(state)
        }
        try? refresh()
        // What others did meanwhile has been read, but nobody compared it.
        hasMissedEvents = true
        watcher?.scheduleRecheck(after: 1)
    }

    // MARK: - Batches

    func enqueue(
        _ request: Request, of operation: Int, in state: NamespaceState, _ run: inout ExecutionRun
    ) {
        let resolved = request.resolved { resolve($0, &run) }
        guard let resolved else {
            markStale(state)
            run.set(operation, .skipped)
            return
        }
        if case .addAddress(let address, _) = resolved, address.local.family == .v6 {
            state.addressesV6[state.batch.count] = resolved
        }
        if resolved.isRemoval { state.removals.insert(state.batch.count) }
        if case .restore(let object) = resolved { state.restorations[state.batch.count] = object }
        noteTouched(resolved, in: state)
        noteKind(resolved, in: state)
        state.batch.append(resolved)
        state.batched.append(operation)
        run.dirty(state)
    }

    /// The index of a planned link; the request that makes it is sent if it still waits. nil: the link was never made.
    func resolve(_ planned: Int32, _ run: inout ExecutionRun) -> Int32? {
        if planned >= 0 { return planned }
        if madeIndexes[planned] == nil, let creator = creators[planned] { flush(creator, &run) }
        return madeIndexes[planned]
    }

    /// Remembers links of others that were changed, since only those are ever put back.
    private func noteTouched(_ request: Request, in state: NamespaceState) {
        let index: Int32
        switch request {
        case .setLink(let attributes): index = attributes.index
        case .addAltNames(_, let link), .deleteAltNames(_, let link): index = link
        case .deleteAddress(let address): index = address.linkIndex
        case .createLink, .deleteLink, .deleteLinkGroup, .addAddress, .addRoute, .appendRoute, .deleteRoute,
            .addNeighbour, .deleteNeighbour, .addForwarding, .deleteForwarding, .addVLANs, .deleteVLANs, .addRule,
            .deleteRule, .addQdisc, .changeQdisc, .deleteQdisc, .addFilter, .deleteFilter, .addNextHop, .deleteNextHop,
            .restore:
            return
        }
        guard let link = state.links[index], !ownership.owns(alias: link.link.alias) || link.link.index == 1 else {
            return
        }
        state.touched.insert(index)
    }

    /// What names a planned link in the attributes of a kind names it by its index now.
    private func noteKind(_ request: Request, in state: NamespaceState) {
        guard case .setLink(let attributes) = request, attributes.kind != nil, let link = state.links[attributes.index]
        else { return }
        var kind = link.link.kind
        if kind.resolve({ madeIndexes[$0] }) { link.link.kind = kind }
    }

    private func enqueue(
        _ creation: LinkCreation, of operation: Int, in state: NamespaceState, _ run: inout ExecutionRun
    ) {
        var attributes = creation.attributes
        let resolved = attributes.resolve { $0 >= 0 ? $0 : resolve($0, &run) }
        let peerTarget = creation.peer.flatMap { states[$0.target] }
        guard resolved, let target = states[creation.target], target.handle != nil,
            creation.peer == nil || peerTarget?.handle != nil
        else {
            run.set(operation, .skipped)
            return
        }
        if target !== state { attributes.namespaceDescriptor = target.handle?.descriptor }
        if let peerTarget, peerTarget !== state {
            attributes.peer?.namespaceDescriptor = peerTarget.handle?.descriptor
        }
        creators[creation.index] = state
        if let peer = creation.peer { creators[peer.index] = state }
        let position = state.batch.count
        state.batch.append(.createLink(attributes, echo: target === state))
        state.batched.append(operation)
        if let link = target.links[creation.index] {
            // What it is built on has got its index by now.
            var built = link.link
            if built.kind != .veth, let below = attributes.link { built.link = below }
            // What later operations change of the kind is in the picture already.
            _ = built.kind.resolve { madeIndexes[$0] }
            target.update(link, to: built, ownership: ownership)
            let (mtu, mac) = (link.link.mtu, link.link.mac)
            let asked = creation.attributes.newLink(index: creation.index)
            state.creations[position] = PendingLink(
                state: link, peer: creation.peer.flatMap { peerTarget?.links[$0.index] },
                mtu: mtu != asked.mtu ? mtu : nil, mac: mac != asked.mac ? mac : nil)
        }
        run.dirty(state)
    }

    func flushAll(_ run: inout ExecutionRun) {
        for state in run.waiting { flush(state, &run) }
        run.waiting.removeAll(keepingCapacity: true)
    }

    /// Sends what waits for other namespaces than this one.
    private func flushOthers(than state: NamespaceState, _ run: inout ExecutionRun) {
        for other in run.waiting where other !== state { flush(other, &run) }
        run.waiting.removeAll { $0 !== state }
    }

    /// Sends what waits for a namespace and takes in the answers.
    private func flush(_ state: NamespaceState, _ run: inout ExecutionRun) {
        guard !state.batch.isEmpty else { return }
        defer {
            state.batch.release()
            state.batched = []
            state.creations = [:]
            state.addressesV6 = [:]
            state.removals = []
            state.restorations = [:]
            state.bystanders.groupRequests = [:]
        }
        modifyingRequests += state.batch.count
        var answers: [(Int, KernelError)] = []
        do {
            try routeSocket(state).transact(state.batch) { position, report in
                if case .link(let link) = report { learn(link, position, in: state) }
            } onError: { position, error in
                answers.append((position, error))
            }
        } catch {
            // The outcome of the requests is unknown; the namespace is read again, and what is missing is done again.
            // No operation restores the objects of others again.
            for (position, object) in state.restorations where state.batched[position] == ExecutionRun.nobody {
                if !isThere(object, error, in: state) { lose(object, error, in: state) }
            }
            for operation in state.batched { run.set(operation, .failed(text(for: error), retriable: true), error) }
            markStale(state)
            return
        }
        for (position, error) in answers {
            run.set(state.batched[position], result(of: error, position, in: state, run), error)
        }
        for position in state.creations.keys where !answers.contains(where: { $0.0 == position }) {
            learnByName(position, in: state)
        }
    }

    /// Takes the index of a new link, and of its other end, from the kernel's reply.
    private func learn(_ link: Link, _ position: Int, in state: NamespaceState) {
        guard let creation = state.creations.removeValue(forKey: position) else { return }
        settle(creation.state, as: link.index, mac: creation.mac ?? link.mac, mtu: creation.mtu ?? link.mtu)
        if let peer = creation.peer { settle(peer, as: link.link, mac: peer.link.mac, mtu: peer.link.mtu) }
    }

    /// A link that was made for another namespace is announced there, and a kernel before 6.2 tells nothing of new links
    /// (`NLM_F_ECHO`), so the index has to be asked for.
    private func learnByName(_ position: Int, in state: NamespaceState) {
        guard let creation = state.creations.removeValue(forKey: position) else { return }
        let target = creation.state.namespace
        guard let link = try? routeSocket(target).link(name: creation.state.link.name) else { return }
        settle(creation.state, as: link.index, mac: creation.mac ?? link.mac, mtu: creation.mtu ?? link.mtu)
        if let peer = creation.peer { settle(peer, as: link.link, mac: peer.link.mac, mtu: peer.link.mtu) }
    }

    func settle(_ link: LinkState, as index: Int32, mac: MACAddress?, mtu: UInt32) {
        let planned = link.link.index
        madeIndexes[planned] = index
        journals.remember(newLink: index, in: link.namespace)
        var known = link.link
        known.index = index
        known.mac = mac
        known.mtu = mtu
        link.namespace.update(link, to: known, ownership: ownership)
        for position in link.addresses.indices { link.addresses[position].address.linkIndex = index }
        for position in link.neighbours.indices { link.neighbours[position].neighbour.linkIndex = index }
        link.qdisc?.linkIndex = index
        link.ingress?.qdisc.linkIndex = index
        link.ingress?.police?.linkIndex = index
        NextHopClass.settle(planned, as: index, in: link.namespace)
        for id in link.routes {
            guard let route = link.namespace.routes[id] else { continue }
            for hop in route.route.nextHops.indices where route.route.nextHops[hop].linkIndex == planned {
                route.route.nextHops[hop].linkIndex = index
            }
        }
        for other in plannedDependants.removeValue(forKey: planned) ?? [] {
            var known = other.link
            if known.link == planned { known.link = index }
            if known.master == planned { known.master = index }
            other.namespace.update(other, to: known, ownership: ownership)
        }
    }

    // MARK: - Answers

    private func result(
        of error: KernelError, _ position: Int, in state: NamespaceState, _ run: ExecutionRun
    ) -> OperationResult {
        if state.removals.contains(position), error.meansGone { return .done }
        if let object = state.restorations[position] {
            if isThere(object, error, in: state) { return .done }
            if state.batched[position] == ExecutionRun.nobody {
                lose(object, error, in: state)
            }
        }
        if let group = state.bystanders.groupRequests[position] { lose(group, error, in: state) }
        markStale(state)
        if let repaired = secondTry(error, position, in: state) { return repaired }
        return .failed(text(for: error, run.operation(state.batched[position]), in: state), retriable: true)
    }

    /// An IPv6 address on a link with IPv6 disabled: it is wanted, so IPv6 is enabled there.
    private func secondTry(_ error: KernelError, _ position: Int, in state: NamespaceState) -> OperationResult? {
        guard error.code == EACCES || error.code == EPERM, let request = state.addressesV6[position],
            case .addAddress(let address, _) = request, let link = state.links[address.linkIndex]
        else { return nil }
        for name in Set(["lo", link.link.name]) {
            let path = "/proc/sys/net/ipv6/conf/\(name)/disable_ipv6"
            SettingClass.remember(SettingFile(path: path, in: state), in: state, self)
            _ = try? writeSysctl(path, "0", in: state)
        }
        do {
            modifyingRequests += 1
            try routeSocket(state).perform(request)
            return .done
        } catch {
            return .failed(text(for: error), retriable: true)
        }
    }
}
