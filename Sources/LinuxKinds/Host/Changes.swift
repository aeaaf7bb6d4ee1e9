internal import Netlink
internal import NetworkTypes
public import Reconciler

/// What happened in the world, as far as declared values are concerned.
public struct WorldChanges: Sendable {
    /// Values to look at again.
    public var keys: Set<String> = []
    /// Namespaces came or went, or what was read is not to be trusted: everything has to be looked at again.
    public var needsFullPass = false

    /// Links whose values are in ``keys`` already, by number of the namespace and name.
    var noted: [Int: Set<String>] = [:]

    /// Links that went down or lost ports, by number of the namespace: perhaps the first sign that they go altogether.
    var downs: [Int: Set<Int32>] = [:]

    /// Links of ours that somebody moved away: the number of the namespace, which one they went to in its numbering, and their
    /// aliases.
    var moves: [(from: Int, to: Int32, alias: String)] = []

    /// Nothing happened.
    public init() {}

    /// Whether nothing happened.
    public var isEmpty: Bool { keys.isEmpty && !needsFullPass }
}

/// Why the picture changes.
enum ChangeCause {
    /// An operation is planned.
    case planned
    /// The kernel told it.
    case told
}

extension LinuxWorld {
    /// Changes the picture as a report says, side effects included: the one way for what the kernel tells and for what is
    /// planned, so that what a plan says is what happens.
    func apply(_ report: Report, in state: NamespaceState) {
        switch report {
        case .link(let link): LinkClass.put(link, in: state, self)
        case .linkRemoved(let link):
            if let target = link.newNamespaceID, cause == .told, let alias = link.alias, ownership.owns(alias: alias) {
                told.moves.append((state.id, target, alias))
            }
            LinkClass.remove([link.index], in: state, self)
        case .address(let address): AddressClass.put(address, in: state, self)
        case .addressRemoved(let address): AddressClass.remove(address, in: state, self)
        case .route(let route): RouteClass.put(route, in: state, self)
        case .routeRemoved(let route): RouteClass.remove(route, in: state, self)
        case .neighbour(let neighbour): NeighbourClass.put(neighbour, in: state, self)
        case .neighbourRemoved(let neighbour): NeighbourClass.remove(neighbour, in: state, self)
        case .forwarding(let entry): ForwardingClass.put(entry, in: state, self)
        case .forwardingRemoved(let entry): ForwardingClass.remove(entry, in: state, self)
        case .qdisc(let qdisc): QdiscClass.put(qdisc, in: state, self)
        case .qdiscRemoved(let qdisc): QdiscClass.remove(qdisc, in: state, self)
        case .filter(let filter): PoliceClass.put(filter, in: state, self)
        case .filterRemoved(let filter): PoliceClass.remove(filter, in: state, self)
        case .nextHop(let hop): NextHopClass.put(hop, in: state, self)
        case .nextHopRemoved(let hop): NextHopClass.remove(hop, in: state, self)
        case .rule(let rule): RuleClass.put(rule, in: state, self)
        case .ruleRemoved(let rule): RuleClass.remove(rule, in: state, self)
        case .port(let index, let port, let vlans):
            if let port { LinkClass.put(port, of: index, in: state, self) }
            if let vlans { BridgeVLANClass.put(vlans, of: index, in: state, self) }
        case .settings(let index): if let name = state.links[index]?.link.name { concern(name, in: state) }
        }
    }

    /// Applies the effect of an operation to the picture.
    public func simulate(_ operation: LinuxOperation) {
        guard let state = states[operation.namespace] else { return }
        cause = .planned
        noteSimulated(state)
        switch operation.action {
        case .request(let request): simulate(request, in: state)
        case .createLink(let creation): LinkClass.simulate(creation, from: state, self)
        case .createTUN(let name, let attributes, let alias, let index):
            notePlanned(index: index)
            let link = Link(
                index: index, name: name, mtu: 1500, alias: alias, group: ownership.linkGroup, kind: .tun(attributes))
            apply(.link(link), in: state)
        case .moveLink(let move): LoanClass.move(move, from: state, self)
        case .rename(let index, _, let name, let up): LinkClass.rename(index, to: name, wasUp: up, in: state, self)
        case .deleteLinks(let indexes, _): LinkClass.remove(indexes, in: state, self)
        case .createNamespace(let name, let isImplied): NamespaceClass.plan(name, isImplied: isImplied, self)
        case .markNamespace(let name, let isImplied):
            byReference[.named(name)]?.linksByName["lo"]?.link.group = namespaceGroup(isImplied: isImplied)
        case .removeNamespace(let name): NamespaceClass.doom(name, self)
        case .load(let load):
            switch load.effect {
            case .table(let id, let text, let comment):
                FilterTableClass.put(id, text, comment: comment, in: state, self)
            case .rules(let id, _, let table): RuleChainClass.put(id, table, in: state, self)
            }
        case .sysctl(let path, let value): SettingClass.put(path, value, in: state, self)
        case .desirable(let settings, _):
            for setting in settings { SettingClass.put(setting.path, setting.value, in: state, self) }
        case .wireGuard(let index, let change): WireGuardClass.put(change, of: index, in: state, self)
        case .offload(let index, _, _): SettingClass.put(offloadsOf: index, in: state, self)
        }
    }

    /// What a request would do is what the kernel would report of it.
    private func simulate(_ request: Request, in state: NamespaceState) {
        switch request {
        case .createLink(let attributes, _): apply(.link(attributes.newLink(index: attributes.index)), in: state)
        case .setLink(let attributes):
            if let link = state.links[attributes.index] { apply(.link(link.link.changed(by: attributes)), in: state) }
        case .addAltNames(let names, let index):
            AltNameClass.change(index, in: state, self) { $0 + names }
        case .deleteAltNames(let names, let index):
            AltNameClass.change(index, in: state, self) { $0.filter { !names.contains($0) } }
        case .deleteLink(let index): LinkClass.remove([index], in: state, self)
        case .deleteLinkGroup(let group):
            LinkClass.remove(state.links.values.filter { $0.link.group == group }.map(\.link.index), in: state, self)
        case .addAddress(let address, _): apply(.address(address), in: state)
        case .deleteAddress(let address):
            drop(address, in: state)
            apply(.addressRemoved(address), in: state)
        case .addRoute(let route, _), .appendRoute(let route): apply(.route(route), in: state)
        case .deleteRoute(let route): apply(.routeRemoved(route), in: state)
        case .addNeighbour(let neighbour, _): apply(.neighbour(neighbour), in: state)
        case .deleteNeighbour(let neighbour): apply(.neighbourRemoved(neighbour), in: state)
        case .addForwarding(let entry): apply(.forwarding(entry), in: state)
        case .deleteForwarding(let entry): apply(.forwardingRemoved(entry), in: state)
        case .addVLANs(let vlans, let index, _):
            BridgeVLANClass.put((state.links[index]?.vlans ?? .kernelDefault).adding(vlans), of: index, in: state, self)
        case .deleteVLANs(let vlans, let index, _):
            BridgeVLANClass.put(
                (state.links[index]?.vlans ?? .kernelDefault).removing(vlans), of: index, in: state, self)
        case .addQdisc(let qdisc), .changeQdisc(let qdisc): apply(.qdisc(qdisc), in: state)
        case .deleteQdisc(let qdisc): apply(.qdiscRemoved(qdisc), in: state)
        case .addFilter(let filter): apply(.filter(filter), in: state)
        case .deleteFilter(let filter): apply(.filterRemoved(filter), in: state)
        case .addNextHop(let hop, _): apply(.nextHop(hop), in: state)
        case .deleteNextHop(let hop): apply(.nextHopRemoved(hop), in: state)
        case .addRule(let rule): apply(.rule(rule), in: state)
        case .deleteRule(let rule): apply(.ruleRemoved(rule), in: state)
        case .restore: break
        }
    }

    /// Notes that what is known of a namespace includes what was not done yet.
    func noteSimulated(_ state: NamespaceState) {
        if state.isSimulated { return }
        state.isSimulated = true
        simulated.append(state)
    }

    /// Notes that a claimed object went along with another one, so that its value is compared again.
    func lose(_ claim: Claim) {
        if cause == .planned, isClaimed(claim) { disturbed.append(claim.claimant) }
    }

    /// Claimants whose objects were taken along by operations that were simulated since the last call.
    public func takeDisturbed() -> [Claimant] {
        defer { disturbed.removeAll() }
        return disturbed
    }

    /// Keys of routes whose preferred address was declared or withdrawn since the last call.
    public func takeConcerned() -> Set<Key> {
        defer { concerned.removeAll() }
        return concerned
    }

    /// Marks the values of a policy rule for a check, when the kernel reported the rule.
    func concern(_ rule: Rule, in state: NamespaceState) {
        guard cause == .told else { return }
        declarations.addKeys(of: rule, in: state.reference, to: &told.keys)
        for reference in state.otherReferences { declarations.addKeys(of: rule, in: reference, to: &told.keys) }
    }

    /// Marks the values that concern a link for a check, when the kernel reported it; the empty name stands for the
    /// namespace itself.
    func concern(_ name: String, in state: NamespaceState) {
        suspect(name, in: state)
        guard cause == .told else { return }
        let link = state.linksByName[name]
        // What it is may be other than when it was noted.
        if let link { concernMatches(link) }
        guard told.noted[state.id, default: []].insert(name).inserted else { return }
        declarations.addKeys(of: name, in: state.reference, to: &told.keys)
        for reference in state.otherReferences { declarations.addKeys(of: name, in: reference, to: &told.keys) }
        for other in link?.link.altNames ?? [] { concern(other, in: state) }
    }
}

extension LinkAttributes {
    /// The link that a create makes.
    func newLink(index: Int32) -> Link {
        let kind = kind ?? .none
        return Link(
            index: index, name: name ?? "", flags: up == true ? LinkFlags.up : 0, mtu: mtu ?? kind.kernelMTU, mac: mac,
            alias: alias, master: master ?? 0, link: link ?? 0, group: group ?? 0, kind: kind)
    }
}

extension Link {
    /// The same link after a request that sets some attributes.
    func changed(by attributes: LinkAttributes) -> Link {
        var new = self
        if let name = attributes.name { new.name = name }
        if let mtu = attributes.mtu { new.mtu = mtu }
        if let mac = attributes.mac { new.mac = mac }
        if let alias = attributes.alias { new.alias = alias.isEmpty ? nil : alias }
        if let group = attributes.group { new.group = group }
        if let master = attributes.master { new.master = master }
        if let kind = attributes.kind { new.kind = new.kind.merged(with: kind) }
        if let port = attributes.port { new.port = new.port.map { $0.merged(with: port) } ?? port }
        if let up = attributes.up { new.flags = up ? new.flags | LinkFlags.up : new.flags & ~LinkFlags.up }
        return new
    }
}
