internal import Glibc
internal import LinuxKinds
internal import Netlink
internal import NetworkTypes

/// How a connection gets to be as it is wanted, and how it goes.
extension Forwarder {
    /// Returns whether its links are new.
    @discardableResult
    func make(_ wanted: Attachment, _ isKnown: (String) -> Bool) throws(ForwarderError) -> Bool {
        let isUpdate = made[wanted.id] != nil
        return try timed({ $0 ?? !isUpdate ? .create : .update }) { () throws(ForwarderError) in
            try bring(wanted, isKnown)
        }
    }

    private func bring(_ wanted: Attachment, _ isKnown: (String) -> Bool) throws(ForwarderError) -> Bool {
        try wanted.check()
        // A socket keeps its namespace alive as well.
        defer { for item in wanted.ends { forgetSocket(item.end.namespace) } }
        var sights = sights(of: wanted)
        var links = try standing(wanted, &sights)
        let known = made[wanted.id]
        if links != nil, let known, known.isComplete, known.form == wanted.form { return false }
        if links == nil { links = try look(wanted, isKnown, &sights) }
        let found = links ?? [:]
        let tables = try policyTables(wanted, known, &sights)
        let macs = wanted.macs(found)
        let values = try wanted.values(found, macs, tables, Self.ownership(of: wanted.id, group: group))
        let result = try reconcile(values, sights, tunnel: wanted.tunnel != nil, isNew: found.isEmpty)
        if let failure = result.failure {
            made[wanted.id]?.isComplete = false
            for number in made[wanted.id]?.links.indices ?? 0..<0 {
                guard let segment = made[wanted.id]?.links[number].segment else { continue }
                // A link that was made again in the course of an undoing has another one.
                if let index = result.indexes[segment] { made[wanted.id]?.links[number].index = index }
            }
            throw failure
        }
        remember(wanted, result.indexes, macs)
        // What a link carried before we knew it was counted by another process, or before it was let go.
        if known == nil, !found.isEmpty {
            let traffic = traffic(of: wanted.id)
            made[wanted.id]?.traffic = traffic
        }
        return found.isEmpty
    }

    /// Removes a connection. One that is not there is no error.
    ///
    /// - Throws: ``ForwarderError``.
    public func remove(_ id: String) throws(ForwarderError) {
        guard made[id] != nil else { return }
        readTraffic(of: id)
        try timed({ _ in .remove }) { () throws(ForwarderError) in try take(away: id) }
    }

    private func take(away id: String) throws(ForwarderError) {
        guard let known = made.removeValue(forKey: id) else { return }
        defer { release(known.namespace) }
        // The kernel removes the other end, and the addresses and routes of both. The index may be reused by now.
        guard let first = known.links.first, let link = try link(first.index, known.namespace),
            link.alias == Self.alias(id, first.segment)
        else { return }
        var sight = Sight(namespace: known.namespace, ownership: Self.ownership(of: id, group: group))
        sight.ends = [Sight.End(segment: first.segment, name: link.name)]
        sight.links = [link]
        sight.nobodys = [link.index]
        sight.hasRules = known.hasRules
        if let failure = try discard(sight).failure { throw failure }
    }

    /// Removes links without an owner, with what is on them. Rules that can't be read, as there are too many, do not
    /// block the removal: any process in the namespace could otherwise keep a link for ever.
    ///
    /// - Throws: ``ForwarderError`` when the links can't be read.
    func discard(_ sight: Sight) throws(ForwarderError) -> Outcome {
        if sight.hasRules, let outcome = try? reconcile([], [sight]) { return outcome }
        var links = sight
        links.hasRules = false
        return try reconcile([], [links])
    }

    private func remember(_ wanted: Attachment, _ indexes: [Segment: Int32], _ macs: [Segment: MACAddress]) {
        guard let first = wanted.ends.first else { return }
        let namespace = made[wanted.id]?.namespace ?? hold(first.end.namespace)
        let links = wanted.ends.compactMap { item -> Made.Placed? in
            indexes[item.segment].map { index in
                Made.Placed(
                    segment: item.segment, name: item.end.name, index: index, namespace: item.end.namespace.identity,
                    neighbours: wanted.neighbours(item, macs))
            }
        }
        let traffic = made[wanted.id]?.traffic
        made[wanted.id] = Made(form: wanted.form, links: links, namespace: namespace, traffic: traffic)
    }

    // MARK: - Looking

    /// The namespaces of a connection's ends, of which nothing was looked at yet.
    private func sights(of wanted: Attachment) -> [Sight] {
        var sights: [Sight] = []
        let known = made[wanted.id]
        for item in wanted.ends {
            let placed = known?.links.first { $0.segment == item.segment }
            let end = Sight.End(
                segment: item.segment, name: item.end.name, index: placed?.index, neighbours: placed?.neighbours ?? [],
                ownsAddresses: !item.end.addresses.isEmpty)
            if let place = sights.firstIndex(where: { $0.namespace.identity == item.end.namespace.identity }) {
                sights[place].ends.append(end)
            } else {
                sights.append(
                    Sight(
                        namespace: item.end.namespace, ends: [end],
                        ownership: Self.ownership(of: wanted.id, group: group)))
            }
        }
        return sights
    }

    /// The links that we made, if they are where the connection wants them. What stands elsewhere is removed.
    private func standing(_ wanted: Attachment, _ sights: inout [Sight]) throws(ForwarderError) -> [Segment: Link]? {
        guard let known = made[wanted.id] else { return nil }
        var links: [Segment: Link] = [:]
        if known.isAt(wanted) {
            for item in wanted.ends {
                guard let index = known.index(item.segment), let link = try link(index, item.end.namespace),
                    link.alias == Self.alias(wanted.id, item.segment), link.name == item.end.name
                else { break }
                links[item.segment] = link
                sights.see(link, item.segment)
            }
        }
        if links.count == wanted.ends.count { return links }
        for place in sights.indices { sights[place].links = [] }
        try remove(wanted.id)
        return nil
    }

    /// Links of this connection that are there already, and those of nobody that are in the way.
    private func look(
        _ wanted: Attachment, _ isKnown: (String) -> Bool, _ sights: inout [Sight]
    ) throws(ForwarderError) -> [Segment: Link] {
        var own: [Segment: Link] = [:]
        for item in wanted.ends {
            let (name, namespace) = (item.end.name, item.end.namespace)
            let found = try told("link \(name)", namespace) { () throws(KernelError) in
                try socket(namespace).link(name: name)
            }
            guard let link = found else { continue }
            if link.alias == Self.alias(wanted.id, item.segment) {
                own[item.segment] = link
                sights.see(link, item.segment)
                continue
            }
            let isUnfinished = link.group == group && link.alias == nil
            let isAbandoned = isMarked(link) && Self.connectionID(ofAlias: link.alias).map { !isKnown($0) } ?? false
            guard isUnfinished || isAbandoned else {
                throw ForwarderError(
                    "link \(name)", in: namespace,
                    "there is one that is not this connection's; choose another name or remove it")
            }
            sights.see(link, item.segment, isNobodys: true)
        }
        if own.count == wanted.ends.count, own[.client]?.link == own[.endpoint]?.index || own.count == 1 { return own }
        // Half a pair is of no use.
        for (segment, link) in own { sights.see(link, segment, isNobodys: true) }
        return [:]
    }

    /// Rules and tables of the namespaces in which the connection has rules, is to have some, or may have some.
    private func policyTables(
        _ wanted: Attachment, _ known: Made?, _ sights: inout [Sight]
    ) throws(ForwarderError) -> [Segment: PolicyTables] {
        var tables: [Segment: PolicyTables] = [:]
        for item in wanted.ends {
            guard let place = sights.place(of: item.segment) else { continue }
            let sight = sights[place]
            let mayHaveRules = known.map(\.hasRules) ?? !sight.links.isEmpty
            guard !item.end.policies.isEmpty || item.segment != .endpoint && mayHaveRules || !sight.nobodys.isEmpty
            else { continue }
            let read = try told("policy rules", sight.namespace) { () throws(KernelError) in
                try PolicyTables(socket(sight.namespace), toAssign: !item.end.policies.isEmpty)
            }
            tables[item.segment] = read
            sights[place].tables = read
            sights[place].hasRules = true
        }
        return tables
    }
}

extension [Sight] {
    /// Where the namespace of an end is in the list.
    fileprivate func place(of segment: Segment) -> Int? {
        firstIndex { $0.ends.contains { $0.segment == segment } }
    }

    /// Notes a link that was read.
    fileprivate mutating func see(_ link: Link, _ segment: Segment, isNobodys: Bool = false) {
        guard let place = place(of: segment) else { return }
        if isNobodys { self[place].nobodys.insert(link.index) }
        if !self[place].links.contains(where: { $0.index == link.index }) { self[place].links.append(link) }
    }
}
