internal import Netlink
internal import NetworkTypes
public import Reconciler

/// A place in the kernel: where an object can be once.
public struct Place: Hashable, Sendable {
    /// What lets the kernel tell two objects of a class apart in one namespace.
    enum Object: Hashable, Sendable {
        /// The namespace itself.
        case namespace
        case link(LinkPlace)
        /// What a link is a port or member of.
        case master(Int32)
        /// An alternative name of a link.
        indirect case altName(Int32, String)
        case address(Int32, IPPrefix, peer: IPAddress?)
        case route(RouteID)
        case neighbour(Int32, IPAddress, isProxy: Bool)
        indirect case forwarding(Int32, ForwardingPlace)
        case nextHop(UInt32)
        /// The root qdisc of a link.
        case qdisc(Int32)
        /// The limit for what arrives by a link.
        case police(Int32)
        indirect case rule(Rule)
        indirect case table(FilterTable.ID)
        /// What has a mark in a table of iptables.
        indirect case rules(FilterTable.ID, RuleMark)
    }

    /// A link is known by our alias; without one, as somebody else's, by its name.
    struct LinkPlace: Hashable, Sendable {
        let alias: String
        /// The name under which it is looked for as long as it has no alias.
        let name: String

        static func == (left: Self, right: Self) -> Bool {
            left.alias == right.alias && (!left.alias.isEmpty || left.name == right.name)
        }

        func hash(into hasher: inout Hasher) { hasher.combine(alias.isEmpty ? name : alias) }
    }

    /// Number of the namespace.
    let namespace: Int
    let object: Object

    init(_ state: NamespaceState, _ object: Object) {
        namespace = state.id
        self.object = object
    }
}

/// Whose an object of the picture is, as far as declared values say.
struct Claim {
    /// No value: it is planned, or left over.
    static let nobody: Claimant = -1

    /// The pass in which it was claimed.
    var pass: Int32 = 0
    var claimant: Claimant = nobody
}

extension LinuxWorld {
    /// Whether a value claimed an object in this pass.
    func isClaimed(_ claim: Claim) -> Bool { claim.pass == pass }

    /// The claim on a planned object: it is not a leftover, whichever value it belongs to.
    var plannedClaim: Claim { Claim(pass: pass) }

    /// Takes a claim back, unless another value has it by now.
    public func release(_ place: Place, by claimant: Claimant) {
        guard let state = states[place.namespace] else { return }
        func clear(_ claim: inout Claim) {
            if claim.claimant == claimant || claim.claimant == Claim.nobody { claim = Claim() }
        }
        switch place.object {
        case .namespace: clear(&state.claim)
        case .link(let place):
            if let link = state.link(at: place) { clear(&link.claim) }
        case .master(let index):
            if let link = state.links[index] { clear(&link.masterClaim) }
        case .altName(let index, let name):
            guard let link = state.links[index], var claim = link.altNameClaims[name] else { return }
            clear(&claim)
            link.altNameClaims[name] = claim
        case .address(let index, let local, let peer):
            guard let link = state.links[index], let position = link.position(of: local, peer: peer) else { return }
            clear(&link.addresses[position].claim)
        case .route(let id):
            if let route = state.routes[id] { clear(&route.claim) }
        case .neighbour(let index, let destination, let isProxy):
            guard let link = state.links[index],
                let position = link.position(ofNeighbour: destination, isProxy: isProxy)
            else { return }
            clear(&link.neighbours[position].claim)
        case .forwarding(let index, let place):
            guard let link = state.links[index], var entry = link.forwarding[place] else { return }
            clear(&entry.claim)
            link.forwarding[place] = entry
        case .nextHop(let id):
            guard var hop = state.nextHops[id] else { return }
            clear(&hop.claim)
            state.nextHops[id] = hop
        case .qdisc(let index):
            if let link = state.links[index] { clear(&link.qdiscClaim) }
        case .police(let index):
            if let link = state.links[index] { clear(&link.policeClaim) }
        case .rule(let rule):
            guard var claim = state.rules[rule] else { return }
            clear(&claim)
            state.rules[rule] = claim
        case .table(let id):
            guard var table = state.tables[id] else { return }
            clear(&table.claim)
            state.tables[id] = table
        case .rules(let id, let mark):
            guard var claim = state.ruleTables[id]?.claims[mark] else { return }
            clear(&claim)
            state.ruleTables[id]?.claims[mark] = claim
        }
    }

    /// Name of the link that an object of the agent's own namespace is on: an address, a neighbour, a route, a membership.
    public func linkName(at place: Place) -> String? {
        guard let own = byReference[.own], own.id == place.namespace else { return nil }
        switch place.object {
        case .master(let index), .altName(let index, _), .address(let index, _, _), .neighbour(let index, _, _),
            .forwarding(let index, _), .qdisc(let index), .police(let index):
            return own.links[index]?.link.name
        case .route(let id):
            return own.routes[id]?.route.nextHops.first.flatMap { own.links[$0.linkIndex]?.link.name }
        case .nextHop(let id):
            return own.nextHops[id].flatMap { own.links[$0.object.linkIndex]?.link.name }
        case .namespace, .link, .rule, .table, .rules: return nil
        }
    }

    /// The table that a route or rule of the agent's own namespace is in or leads to.
    public func table(at place: Place) -> UInt32? {
        guard let own = byReference[.own], own.id == place.namespace else { return nil }
        switch place.object {
        case .route(let id): return id.table
        case .rule(let rule): return rule.table
        case .namespace, .link, .master, .altName, .address, .neighbour, .forwarding, .qdisc, .police, .nextHop, .table,
            .rules:
            return nil
        }
    }
}
