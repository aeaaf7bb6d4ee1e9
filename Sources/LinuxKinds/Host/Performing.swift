internal import CLinux
internal import Glibc
internal import Netlink
internal import Reconciler

/// Operations that are not requests of a batch: system calls, files, and requests that need an answer in between.
extension LinuxWorld {
    /// Does an action that is not a single request of a batch.
    func perform(_ action: LinuxOperation.Action, in state: NamespaceState) -> OperationResult {
        modifyingRequests += 1
        do {
            switch action {
            case .createTUN(let name, let attributes, let alias, let index):
                try createTUN(name, attributes, alias: alias, planned: index, in: state)
            case .moveLink(let move): try self.move(move, from: state)
            case .rename(let index, _, let name, let up): try rename(index, to: name, wasUp: up, in: state)
            case .createNamespace(let name, let isImplied): try createNamespace(name, isImplied: isImplied)
            case .markNamespace(let name, let isImplied): try markNamespace(name, isImplied: isImplied)
            case .removeNamespace(let name): try removeNamespace(name)
            case .desirable(let settings, _): try writeIfPossible(settings, in: state)
            case .sysctl(let path, let value): try writeSysctl(path, value, in: state)
            case .offload(let index, let receive, let transmit):
                try setOffload(index, receive: receive, transmit: transmit, in: state)
            case .wireGuard(let index, let change): try setWireGuard(index, change, in: state)
            case .load(let load): try self.load(load, in: state)
            case .request, .createLink, .deleteLinks: break
            }
            return .done
        } catch let error as KernelError {
            markStale(state)
            if refusal == nil { refusal = Refusal(LinuxOperation(state, action), error, self) }
            return .failed(text(for: error), retriable: true)
        } catch let error as ProgramError {
            guard case .load(let load) = action else { return .failed("\(error)", retriable: true) }
            return .failed(error.text(load.places), retriable: true)
        } catch {
            return .failed("\(error)", retriable: true)
        }
    }

    /// One link goes by itself. Several get a link group of their own, so that the kernel waits for its readers once
    /// instead of once for each.
    func deleteLinks(_ indexes: [Int32], wholeGroup: Bool, in state: NamespaceState) -> OperationResult {
        let indexes = indexes.map { madeIndexes[$0] ?? $0 }
        do throws(KernelError) {
            let socket = try routeSocket(state)
            if indexes.count == 1 {
                modifyingRequests += 1
                try socket.perform(.deleteLink(index: indexes[0]))
                return .done
            }
            if state.visitors != nil {
                // Which groups the links have that are not known is not known either.
                try deleteLinks(oneByOne: indexes, socket)
                return .done
            }
            var group = ownership.linkGroup
            let batch = Batch()
            if !wholeGroup {
                group = throwAwayGroup(in: state)
                for index in indexes {
                    var attributes = LinkAttributes(index: index)
                    attributes.group = group
                    batch.append(.setLink(attributes))
                }
            }
            modifyingRequests += batch.count + 1
            if !batch.isEmpty {
                var refusal: KernelError?
                try socket.transact(batch) { _, error in if error.code != ENODEV { refusal = error } }
                if let refusal { throw refusal }
            }
            try socket.perform(.deleteLinkGroup(group))
            return .done
        } catch {
            // What is gone already needs no deleting.
            if error.code == ENODEV { return .done }
            markStale(state)
            return .failed(text(for: error), retriable: true)
        }
    }

    private func deleteLinks(oneByOne indexes: [Int32], _ socket: RouteSocket) throws(KernelError) {
        for index in indexes {
            modifyingRequests += 1
            do throws(KernelError) {
                try socket.perform(.deleteLink(index: index))
            } catch  where error.code == ENODEV {
                // The other end of its pair took it along.
                continue
            }
        }
    }

    /// A link group that no link of the namespace is in, nor is to leave later.
    private func throwAwayGroup(in state: NamespaceState) -> UInt32 {
        let used = state.formerGroups.union(state.links.values.lazy.map(\.link.group))
        var group = ownership.throwAwayGroup
        while used.contains(group) || group == 0 { group &+= 1 }
        return group
    }

    private func rename(_ index: Int32, to name: String, wasUp: Bool, in state: NamespaceState) throws(KernelError) {
        let socket = try routeSocket(state)
        // Seen before the link is taken down, which would cost it its IPv6 addresses.
        if try socket.link(name: name) != nil {
            throw KernelError(code: EEXIST, message: "a link named \(name) is there already\(state.reference.suffix)")
        }
        var attributes = LinkAttributes(index: madeIndexes[index] ?? index)
        if wasUp {
            attributes.up = false
            try socket.perform(.setLink(attributes))
        }
        attributes.up = nil
        attributes.name = name
        defer {
            attributes.name = nil
            attributes.up = true
            if wasUp { try? socket.perform(.setLink(attributes)) }
        }
        try socket.perform(.setLink(attributes))
    }

    private func move(_ move: LinkMove, from state: NamespaceState) throws(KernelError) {
        do throws(KernelError) {
            guard let target = states[move.target], target.handle != nil else {
                throw KernelError(code: ENOENT, message: "the namespace is gone")
            }
            let index = madeIndexes[move.index] ?? move.index
            guard let link = try routeSocket(state).link(index: index) else { throw KernelError(code: ENODEV) }
            let isOwnName = link.altNames.contains(move.name)
            if !isOwnName, try routeSocket(target).link(name: move.name) != nil {
                throw KernelError(
                    code: EEXIST, message: "a link named \(move.name) is there already\(target.reference.suffix)")
            }
            // Before it goes: what is not written down is not given back.
            if let loan = move.loan { try states.loans.enter(loan, of: link, in: target) }
            do throws(KernelError) {
                // The kernel takes no name that the link has already.
                if isOwnName { try routeSocket(state).perform(.deleteAltNames([move.name], linkIndex: index)) }
                try carry(link, move, from: state, to: target)
            } catch {
                if move.loan != nil { states.loans.remove(index, in: target) }
                if isOwnName { try? routeSocket(state).perform(.addAltNames([move.name], linkIndex: index)) }
                throw error
            }
            states.loans.remove(index, in: state)
        } catch {
            keptLinks.insert(state.id)
            if let target = states[move.target] { markStale(target) }
            throw error
        }
    }

    /// The kernel moves a link first, then changes its name, then its alias: where that fails half way, the link is brought back.
    private func carry(
        _ link: Link, _ move: LinkMove, from state: NamespaceState, to target: NamespaceState
    ) throws(KernelError) {
        guard let handle = target.handle else { return }
        var attributes = LinkAttributes(index: link.index, name: move.name)
        attributes.alias = move.alias
        if move.isUp { attributes.up = true }
        attributes.namespaceDescriptor = handle.descriptor
        do throws(KernelError) {
            try routeSocket(state).perform(.setLink(attributes))
        } catch {
            bringBack(link, from: target, to: state)
            throw error
        }
        guard let moved = try routeSocket(target).link(name: move.name) else { throw KernelError(code: ENODEV) }
        if move.loan != nil { states.loans.settle(from: link.index, as: moved.index, in: target) }
        // It may have gone on in the picture.
        madeIndexes[move.planned] = moved.index
        // MAC and MTU may be set by later requests, of which the picture already knows.
        if let known = target.links[move.planned] {
            settle(known, as: moved.index, mac: known.link.mac ?? moved.mac, mtu: known.link.mtu)
        }
    }

    /// Brings a link back that got to the other namespace, though its move failed.
    private func bringBack(_ link: Link, from target: NamespaceState, to state: NamespaceState) {
        guard let handle = state.handle, (try? routeSocket(state).link(index: link.index)) == .some(nil),
            let stray = try? routeSocket(target).link(index: link.index), stray.kind.name == link.kind.name,
            stray.mac == link.mac, stray.permanentMAC == link.permanentMAC
        else { return }
        var attributes = LinkAttributes(index: stray.index, name: link.name)
        attributes.alias = link.alias ?? ""
        if link.isUp { attributes.up = true }
        attributes.namespaceDescriptor = handle.descriptor
        try? routeSocket(target).perform(.setLink(attributes))
    }

    private func createTUN(
        _ name: String, _ tun: TUNAttributes, alias: String, planned: Int32, in state: NamespaceState
    ) throws {
        guard let handle = state.handle else { throw KernelError(code: ENOENT, message: "the namespace is gone") }
        let device = try handle.run {
            cl_tap_create(
                name, tun.isTUN, tun.multiQueue, tun.vnetHeader, tun.owner.map(Int64.init) ?? -1,
                tun.group.map(Int64.init) ?? -1)
        }
        guard device >= 0 else { throw KernelError(errno: device) }
        // Closing the device removes it again, unless it was made persistent: so it is never there without its mark.
        defer { close(device) }
        let socket = try routeSocket(state)
        guard let link = try socket.link(name: name) else { throw KernelError(code: ENODEV) }
        var attributes = LinkAttributes(index: link.index)
        attributes.alias = alias
        attributes.group = ownership.linkGroup
        try socket.perform(.setLink(attributes))
        let result = cl_tap_persist(device, true)
        guard result == 0 else { throw KernelError(errno: result) }
        // MAC and MTU are set by later requests, of which the picture already knows.
        if let known = state.links[planned] {
            settle(known, as: link.index, mac: known.link.mac ?? link.mac, mtu: known.link.mtu)
        }
    }
}
