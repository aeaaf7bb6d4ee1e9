internal import Netlink
internal import NetworkTypes

/// What we believe one namespace looks like, and how to reach it.
final class NamespaceState {
    /// Number by which operations name the namespace.
    let id: Int
    /// The reference by which it is called: the first one, as long as it leads here.
    var reference: NamespaceReference
    /// More references that lead to the same namespace.
    var otherReferences: Set<NamespaceReference> = []
    /// All references that lead here.
    var references: Set<NamespaceReference> { otherReferences.union([reference]) }
    /// The open namespace; nil as long as it is only planned.
    var handle: NetworkNamespace?
    /// Requests and dumps.
    var socket: RouteSocket?
    /// Multicast events, when the world is watched.
    var events: EventSocket?
    /// What the event socket listens to.
    var eventGroups: EventSocket.Groups = []
    /// Requests waiting to be sent together.
    let batch = Batch()
    /// Which operation each request of the batch belongs to.
    var batched: [Int] = []
    /// The operation whose reply tells the indexes of a new link, by position in the batch.
    var creations: [Int: LinkCreation] = [:]

    /// Positions of requests in the batch that remove something: what is gone already needs no removing.
    var removals: Set<Int> = []
    /// Requests of the batch that add an IPv6 address, by position: they may need IPv6 to be enabled first.
    var addressesV6: [Int: Request] = [:]

    var links: [Int32: LinkState] = [:]
    var linksByName: [String: LinkState] = [:]
    /// Our links, by their whole alias.
    var ownedLinks: [String: LinkState] = [:]
    /// Routes with our protocol number.
    var routes: [RouteID: RouteState] = [:]
    /// Rules with our protocol number.
    var rules: [Rule: Int] = [:]
    /// Rules of others, as they would look if they were ours: what is there already need not be made.
    var foreignRules: Set<Rule> = []
    /// Those of them that stand for a declared one.
    var adoptedRules: Set<Rule> = []
    /// By which interface the declared route of each place leaves, and the pass that says so.
    var routeOwners: [RouteID: (pass: Int, interface: String)] = [:]
    /// Routes of others; nil as long as nobody asked.
    private(set) var foreignRoutes: [RouteID: Route]?
    /// With more than this, many went of which the kernel did not tell.
    private var mostForeignRoutes = 0
    /// Routes that were ours and went since the last pass began, and in the pass before.
    private var lostRoutes: Set<RouteID> = []
    private var formerlyLostRoutes: Set<RouteID> = []
    /// How many of them are remembered; more than that went by somebody's design.
    private static let mostLostRoutes = 4096
    /// Whether the namespace was read again while events of it may wait.
    var wasReadAgain = false
    /// Whether the namespace must be read again before it is trusted.
    var isStale = true
    /// Whether what is known of it includes operations that were planned and not done yet.
    var isSimulated = false
    /// Whether a declared namespace value owns it (the mark on its loopback interface).
    var claim = 0
    /// Indexes of links that are known to be gone, though events from before their end may still come.
    var gone: Set<Int32> = []
    /// Links of others that we changed.
    var touched: Set<Int32> = []
    /// Whether this run made the namespace.
    var isMadeByUs = false
    /// Whether the namespace was ever read.
    var wasRead = false
    /// A named namespace that is about to be removed.
    var isDoomed = false
    /// Nothing leads here any more, and nothing will.
    var isLost = false

    init(id: Int, reference: NamespaceReference, handle: NetworkNamespace?) {
        self.id = id
        self.reference = reference
        self.handle = handle
        isStale = handle != nil
    }

    func forget() {
        gone.removeAll()
        isDoomed = false
        links.removeAll(keepingCapacity: true)
        linksByName.removeAll(keepingCapacity: true)
        ownedLinks.removeAll(keepingCapacity: true)
        routes.removeAll(keepingCapacity: true)
        rules.removeAll(keepingCapacity: true)
        foreignRules.removeAll(keepingCapacity: true)
        adoptedRules.removeAll(keepingCapacity: true)
        foreignRoutes = nil
        lostRoutes.removeAll(keepingCapacity: true)
        formerlyLostRoutes.removeAll()
    }

    /// Forgets what only the passes before needed.
    func beginPass() {
        routeOwners.removeAll(keepingCapacity: true)
        if lostRoutes.isEmpty, formerlyLostRoutes.isEmpty { return }
        formerlyLostRoutes = lostRoutes
        lostRoutes = []
    }

    /// How many places of routes are remembered beside the routes that are there.
    var rememberedRoutes: Int { lostRoutes.count + formerlyLostRoutes.count + routeOwners.count }

    /// Takes in all routes of others.
    func setForeignRoutes(_ routes: [RouteID: Route]) {
        foreignRoutes = routes
        mostForeignRoutes = 2 * routes.count + 1024
    }

    /// Takes in a route of someone else's, if these are known. IPv4 routes go with their link without a word, so what is
    /// only added to is dropped at some size, and asked for anew.
    func noteForeign(_ route: Route) {
        guard let count = foreignRoutes?.count else { return }
        if count < mostForeignRoutes { foreignRoutes?[RouteID(route)] = route } else { foreignRoutes = nil }
    }

    /// Returns whether it was known.
    func loseForeign(_ route: Route) -> Bool { foreignRoutes?.removeValue(forKey: RouteID(route)) != nil }

    /// Takes away a reference that no longer leads here. Returns whether another one does.
    func lose(_ reference: NamespaceReference) -> Bool {
        if otherReferences.remove(reference) == nil {
            guard let next = otherReferences.min(by: { $0.description < $1.description }) else { return false }
            otherReferences.remove(next)
            self.reference = next
        }
        return true
    }

    /// Whether a route was ours and has just gone, so that there is no need to ask whether it is someone else's.
    func hasJustLost(_ id: RouteID) -> Bool { lostRoutes.contains(id) || formerlyLostRoutes.contains(id) }

    func insert(_ state: LinkState, ownership: Ownership) {
        links[state.link.index] = state
        linksByName[state.link.name] = state
        if let alias = state.link.alias, ownership.owns(alias: alias) { ownedLinks[alias] = state }
    }

    func remove(_ state: LinkState) {
        if state.link.index > 0 { gone.insert(state.link.index) }
        links[state.link.index] = nil
        if linksByName[state.link.name] === state { linksByName[state.link.name] = nil }
        if let alias = state.link.alias, ownedLinks[alias] === state { ownedLinks[alias] = nil }
        for id in state.routes { removeRoute(id) }
    }

    /// Replaces what is known of a link by a newer report.
    func update(_ state: LinkState, to link: Link, ownership: Ownership) {
        if state.link.name != link.name {
            if linksByName[state.link.name] === state { linksByName[state.link.name] = nil }
            linksByName[link.name] = state
        }
        if state.link.alias != link.alias {
            if let alias = state.link.alias, ownedLinks[alias] === state { ownedLinks[alias] = nil }
            if let alias = link.alias, ownership.owns(alias: alias) { ownedLinks[alias] = state }
        }
        if state.link.index != link.index {
            links[state.link.index] = nil
            links[link.index] = state
        }
        state.link = link
    }

    func setRoute(_ route: Route) {
        let id = RouteID(route)
        lostRoutes.remove(id)
        if let old = routes[id] {
            for hop in old.route.nextHops { links[hop.linkIndex]?.routes.remove(id) }
            old.route = route
        } else {
            routes[id] = RouteState(route)
        }
        for hop in route.nextHops { links[hop.linkIndex]?.routes.insert(id) }
    }

    func removeRoute(_ id: RouteID) {
        guard let old = routes.removeValue(forKey: id) else { return }
        if lostRoutes.count >= Self.mostLostRoutes { lostRoutes.removeAll() }
        lostRoutes.insert(id)
        for hop in old.route.nextHops { links[hop.linkIndex]?.routes.remove(id) }
    }
}

/// What we believe one link looks like, with everything that goes when it goes.
final class LinkState {
    var link: Link
    unowned let namespace: NamespaceState
    var addresses: [AddressState] = []
    /// Neighbours with our protocol number.
    var neighbours: [NeighbourState] = []
    /// Our routes that leave by this link.
    var routes: Set<RouteID> = []
    /// The pass in which a value claimed the link.
    var claim = 0
    /// The pass in which a bridge or VRF claimed the membership.
    var masterClaim = 0

    init(_ link: Link, in namespace: NamespaceState) {
        self.link = link
        self.namespace = namespace
    }
}

/// An address with its claim.
struct AddressState {
    var address: Address
    var claim = 0
}

/// A neighbour with its claim.
struct NeighbourState {
    var neighbour: Neighbour
    var claim = 0
}

/// A route with its claim.
final class RouteState {
    var route: Route
    var claim = 0

    init(_ route: Route) { self.route = route }
}

/// What tells two routes of a namespace apart in the kernel.
struct RouteID: Hashable {
    var destination: IPPrefix
    var table: UInt32
    var metric: UInt32

    init(_ route: Route) {
        destination = route.destination
        table = route.table
        metric = route.metric
    }
}

/// A link that an operation makes, before the kernel has given it an index.
struct LinkCreation {
    var state: LinkState
    var peer: LinkState?
}
