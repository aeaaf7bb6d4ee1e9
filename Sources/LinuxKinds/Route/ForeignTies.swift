internal import Netlink
internal import NetworkTypes

/// What routes of others hang on: the links that they leave by and the addresses that they prefer.
///
/// It may name more than there is, as the kernel does not tell of every route that goes, but never less: who takes something away
/// that is not named here takes no route of others along, and need not ask for them.
struct ForeignTies {
    private var links: Set<Int32> = []
    private var sources: Set<IPAddress> = []
    /// Whether routes lead by next hop objects, which change without a word of the routes.
    private var hasObjects = false

    /// More than this are hardly all still there.
    private static let most = 4096

    /// Whether it has grown beyond what it is good for.
    var isTooMuch: Bool { links.count + sources.count > Self.most }

    /// A route is there.
    mutating func add(_ route: Route) {
        for hop in route.nextHops { links.insert(hop.linkIndex) }
        if let source = route.source { sources.insert(source) }
        if route.usesObjects { hasObjects = true }
    }

    /// Whether a route of others may go along with what is taken from some links, or with some addresses.
    func mayConcern(_ links: Set<Int32>, _ sources: Set<IPAddress>) -> Bool {
        hasObjects || !self.links.isDisjoint(with: links) || !self.sources.isDisjoint(with: sources)
    }
}

extension NamespaceState {
    /// Takes in all routes of others, as they are now or a little later. Only who hears of changes can know them for longer.
    func setForeignTies(_ ties: ForeignTies) { foreignTies = hearsOfRoutes && !ties.isTooMuch ? ties : nil }

    /// A route of someone else's is there.
    func noteTies(_ route: Route) {
        if route.isKernels { return }
        foreignTies?.add(route)
        if foreignTies?.isTooMuch == true { foreignTies = nil }
    }

    /// Whether routes of others may go along with what is about to be taken away. Sure only when nothing waits that the kernel
    /// told and nobody has read, and nothing was lost of what it told.
    var mayTakeForeignRoutes: Bool {
        guard hearsOfRoutes, !isStale, let ties = foreignTies, events?.isWaiting == false else { return true }
        return ties.mayConcern(bystanders.links, bystanders.sources)
    }

    /// Whether the kernel reports changes of routes to this agent.
    var hearsOfRoutes: Bool { events != nil && eventGroups.isSuperset(of: .routes) }
}

extension Route {
    /// Whether its next hops are objects of their own: `RTA_NH_ID`.
    fileprivate var usesObjects: Bool { nextHopID != 0 }

    /// Whether the kernel makes and takes it by itself, with an address or a link: such need not be put back.
    fileprivate var isKernels: Bool { proto == Self.kernel || (2...5).contains(type) }
}
