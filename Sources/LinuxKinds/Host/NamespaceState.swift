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
    /// The open namespace; nil as long as it is only planned.
    var handle: NetworkNamespace?
    /// Requests and dumps.
    var socket: RouteSocket?
    /// Opened along with the other for the first read, which is about to follow.
    var filterSocket: FilterSocket?
    /// Reads what is to be known of the namespace; nil: all of it is.
    var reading: LinuxWorld.Reading?
    /// Aliases of our links that were moved into it, if these are all that is ours to touch there; nil: what has our mark is.
    var visitors: Set<String>?
    /// Names of links with our mark that are there besides, as long as nobody was told.
    var besideVisitors: [String] = []
    /// Multicast events, when the world is watched.
    var events: EventSocket?
    /// What the event socket listens to.
    var eventGroups: EventSocket.Groups = []
    /// Changes of tables of nf_tables, where some are declared and the world is watched.
    var filterEvents: FilterEvents?
    /// Tables that others changed while operations were done, not yet read again.
    var touchedTables: Set<FilterTable.ID> = []
    /// Requests waiting to be sent together.
    let batch = Batch()
    /// Which operation each request of the batch belongs to.
    var batched: [Int] = []
    /// The operation whose reply tells the indexes of a new link, by position in the batch.
    var creations: [Int: PendingLink] = [:]

    /// Positions of requests in the batch that remove something: what is gone already needs no removing.
    var removals: Set<Int> = []
    /// Requests of the batch that add an IPv6 address, by position: they may need IPv6 to be enabled first.
    var addressesV6: [Int: Request] = [:]

    /// Requests of the batch that put something back which others had, by position.
    var restorations: [Int: SavedObject] = [:]
    /// What others have on links from which something is about to be taken.
    var bystanders = Bystanders()

    private var contents = Contents()
    var links: [Int32: LinkState] { contents.links }
    var linksByName: [String: LinkState] { contents.linksByName }
    var ownedLinks: [String: LinkState] {
        get { contents.ownedLinks }
        _modify {
            version.number += 1
            yield &contents.ownedLinks
        }
    }
    var lent: [String: LinkState] { contents.lent }
    var distantUppers: Set<Int32> { contents.distantUppers }
    var routes: [RouteID: RouteState] { contents.routes }
    var rules: [Rule: Claim] {
        get { contents.rules }
        _modify { yield &contents.rules }
    }
    var nextHops: [UInt32: NextHopState] {
        get { contents.nextHops }
        _modify { yield &contents.nextHops }
    }
    var foreignRules: Set<Rule> {
        get { contents.foreignRules }
        _modify { yield &contents.foreignRules }
    }
    var tables: [FilterTable.ID: TableState] {
        get { contents.tables }
        _modify { yield &contents.tables }
    }
    var ruleTables: [FilterTable.ID: RuleTableState] {
        get { contents.ruleTables }
        _modify { yield &contents.ruleTables }
    }
    var tableGeneration: UInt32 {
        get { contents.tableGeneration }
        _modify { yield &contents.tableGeneration }
    }
    var neighbourCount: Int {
        get { contents.neighbourCount }
        _modify { yield &contents.neighbourCount }
    }
    /// Routes of others; nil as long as nobody asked.
    private(set) var foreignRoutes: [RouteID: Route]?
    /// What routes of others hang on; nil as long as nobody asked.
    var foreignTies: ForeignTies?
    /// Groups that links have until what was planned for them is done.
    var formerGroups: Set<UInt32> = []
    /// Networks whose every address is local here, by routes of others; nil as long as nobody asked.
    var localNetworks: [IPPrefix]?
    /// Routes of routers' advertisements; nil as long as nobody asked.
    private(set) var advertised: [RouteID: [Route]]?
    /// With more than this, many went of which the kernel did not tell.
    private var mostForeignRoutes = 0
    /// Routes that were ours and went since the last pass began, and in the pass before.
    private var lostRoutes: Set<RouteID> = []
    private var formerlyLostRoutes: Set<RouteID> = []
    /// How many of them are remembered; more than that went by somebody's design.
    private static let mostLostRoutes = 4096
    /// Whether the namespace was read again while events of it may wait.
    var wasReadAgain = false
    /// Whether there are so many routes that the kernel is to choose among them.
    var hasManyRoutes = false
    /// Whether it is known which addresses have lost the route to their network.
    var knowsLostNetworks = false
    /// Whether the namespace must be read again before it is trusted.
    var isStale = false
    /// Whether what is known of it includes operations that were planned and not done yet.
    var isSimulated = false
    /// Which declared namespace it is.
    var claim = Claim()
    /// What others have in it, as seen in a pass, when it was about to go.
    var strangers: (pass: Int32, words: [String])?
    /// Indexes of links that are known to be gone, though events from before their end may still come.
    var gone: Set<Int32> = []
    /// Links of others that we changed.
    var touched: Set<Int32> = []
    /// Whether this run made the namespace.
    var isMadeByUs = false
    /// Whether the namespace was ever read.
    var wasRead = false
    /// Whether it is ours alone.
    var hold = LinuxWorld.Hold.none
    /// Whether it was left, and only what is ours in it is still to go.
    var isFormer: Bool { if case .former = reference { true } else { false } }
    /// A named namespace that is about to be removed.
    var isDoomed = false
    /// Nothing leads here any more, and nothing will.
    var isLost = false

    /// That of the picture which this is a part of.
    private let version: PictureVersion

    private let loans: LoanBook
    /// That of the namespace, once it was asked for.
    var knownCookie: UInt64?

    init(
        id: Int, reference: NamespaceReference, handle: NetworkNamespace?, version: PictureVersion, loans: LoanBook
    ) {
        self.id = id
        self.version = version
        self.loans = loans
        self.reference = reference
        self.handle = handle
    }

    /// Forgets all objects, and returns what was known of them.
    @discardableResult
    func forget() -> Contents {
        gone.removeAll()
        isDoomed = false
        formerGroups = []
        foreignRoutes = nil
        foreignTies = nil
        localNetworks = nil
        advertised = nil
        knowsLostNetworks = false
        lostRoutes.removeAll(keepingCapacity: true)
        formerlyLostRoutes.removeAll()
        version.number += 1
        defer { contents = Contents() }
        return contents
    }

    /// Forgets what only the passes before needed.
    func beginPass() {
        if !formerGroups.isEmpty { formerGroups = [] }
        if lostRoutes.isEmpty, formerlyLostRoutes.isEmpty { return }
        formerlyLostRoutes = lostRoutes
        lostRoutes = []
    }

    /// How many places of routes are remembered beside the routes that are there.
    var rememberedRoutes: Int { lostRoutes.count + formerlyLostRoutes.count }

    /// Takes in all routes of others.
    func setForeignRoutes(_ routes: [RouteID: Route]) {
        foreignRoutes = routes
        mostForeignRoutes = 2 * routes.count + 1024
    }

    /// Takes in a route of someone else's, if these are known. IPv4 routes go with their link without a word, so what is
    /// only added to is dropped at some size, and asked for anew.
    func noteForeign(_ route: Route) {
        lostRoutes.remove(RouteID(route))
        formerlyLostRoutes.remove(RouteID(route))
        guard let count = foreignRoutes?.count else { return }
        if count < mostForeignRoutes { foreignRoutes?[RouteID(route)] = route } else { foreignRoutes = nil }
    }

    /// Takes in all routes of routers' advertisements.
    func setAdvertised(_ routes: [Route]) { advertised = Dictionary(grouping: routes, by: RouteID.init) }

    /// One of them came or went.
    func forgetAdvertised() { advertised = nil }

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

    /// Whether a route was ours and has just gone, so that a request whether it belongs to others is not needed.
    func hasJustLost(_ id: RouteID) -> Bool { lostRoutes.contains(id) || formerlyLostRoutes.contains(id) }

    /// Whether something in it carries our mark.
    func hasOurs(_ ownership: Ownership) -> Bool {
        !contents.ownedLinks.isEmpty || !contents.lent.isEmpty || !contents.routes.isEmpty || !contents.rules.isEmpty
            || !contents.nextHops.isEmpty
            || [ownership.namespaceGroup, ownership.impliedNamespaceGroup].contains(linksByName["lo"]?.link.group)
            || contents.ruleTables.values.contains { $0.isMarked }
            || contents.tables.values.contains { ownership.tableName(comment: $0.table.comment) != nil }
            || links.values.contains { link in
                link.link.group == ownership.linkGroup || QdiscClass.hasOurs(link, ownership)
                    || link.addresses.contains { $0.address.proto == ownership.proto }
            }
    }

    /// The link with a name, which may be an alternative one.
    func link(named name: String) -> LinkState? { contents.linksByName[name] ?? contents.linksByAltName[name] }

    /// Our link with an alias, also when it has not got it yet or has lost it; without an alias, any link of that name.
    func link(at place: Place.LinkPlace) -> LinkState? {
        if place.alias.isEmpty { return link(named: place.name) }
        if let link = ownedLinks[place.alias] ?? contents.lent[place.alias] { return link }
        if place.name.isEmpty { return links.values.first { $0.matchedAs == place.alias } }
        guard let link = linksByName[place.name], (link.link.alias ?? "").isEmpty else { return nil }
        return link
    }

    /// The ports, members and links that are built on one.
    func uppers(of index: Int32) -> [LinkState] {
        (contents.uppers[index] ?? []).sorted().compactMap { contents.links[$0] }
    }

    func insert(_ state: LinkState, ownership: Ownership) {
        version.number += 1
        contents.links[state.link.index] = state
        contents.linksByName[state.link.name] = state
        for name in state.link.altNames { contents.linksByAltName[name] = state }
        if let alias = state.link.alias, ownership.owns(alias: alias) {
            own(state, as: ownership.mark(in: alias))
            if state.link.group == 0, state.link.index > 1 { state.isInherited = true }
        }
        lend(state, ownership)
        enterUpper(state.link)
    }

    /// A link is given back.
    func forgetLoan(of state: LinkState) {
        contents.lent = contents.lent.filter { $0.value !== state }
        state.loan = nil
    }

    /// A link was moved by us, if the record says so.
    private func lend(_ state: LinkState, _ ownership: Ownership) {
        if state.loan == nil, let loan = loans.loan(of: state.link, in: self) { lend(state, as: loan, ownership) }
    }

    /// A link is one that we moved, for the interface that is named.
    func lend(_ state: LinkState, as loan: Loan, _ ownership: Ownership) {
        if state.loan != nil { forgetLoan(of: state) }
        state.loan = loan
        contents.lent[ownership.lentPrefix + loan.name] = state
        version.number += 1
    }

    func remove(_ state: LinkState) {
        version.number += 1
        if state.link.index > 0 { gone.insert(state.link.index) }
        contents.links[state.link.index] = nil
        if linksByName[state.link.name] === state { contents.linksByName[state.link.name] = nil }
        loseAltNames(of: state)
        disown(state)
        if state.loan != nil { forgetLoan(of: state) }
        leaveUpper(state.link)
        for id in state.routes { removeRoute(id) }
    }

    private func loseAltNames(of state: LinkState) {
        for name in state.link.altNames where contents.linksByAltName[name] === state {
            contents.linksByAltName[name] = nil
        }
    }

    /// A link is ours by an alias.
    func own(_ state: LinkState, as alias: String) {
        disown(state)
        contents.ownedLinks[alias] = state
        state.ownedAs = alias
    }

    private func disown(_ state: LinkState) {
        if let alias = state.ownedAs, ownedLinks[alias] === state { contents.ownedLinks[alias] = nil }
        state.ownedAs = nil
    }

    /// The kernel has reported the end of a link; its index may be used again.
    func forgetIndex(_ index: Int32) {
        gone.remove(index)
        touched.remove(index)
    }

    /// Replaces what is known of a link by a newer report.
    func update(_ state: LinkState, to link: Link, ownership: Ownership) {
        let old = state.link
        if old.name != link.name || old.alias != link.alias || old.index != link.index || old.mac != link.mac {
            version.number += 1
        }
        if old.name != link.name {
            if linksByName[old.name] === state { contents.linksByName[old.name] = nil }
            contents.linksByName[link.name] = state
        }
        if old.altNames != link.altNames {
            version.number += 1
            loseAltNames(of: state)
            for name in link.altNames { contents.linksByAltName[name] = state }
        }
        if old.alias != link.alias {
            disown(state)
            if let alias = link.alias, ownership.owns(alias: alias) { own(state, as: ownership.mark(in: alias)) }
        }
        if old.index != link.index {
            contents.links[old.index] = nil
            contents.links[link.index] = state
        }
        state.link = link
        if old.alias != link.alias { lend(state, ownership) }
        if old.master == link.master, old.lower == link.lower, old.index == link.index,
            old.isBuiltElsewhere == link.isBuiltElsewhere
        {
            return
        }
        leaveUpper(old)
        enterUpper(link)
    }

    private func enterUpper(_ link: Link) {
        for below in [link.master, link.lower] where below != 0 {
            contents.uppers[below, default: []].insert(link.index)
        }
        if link.isBuiltElsewhere { contents.distantUppers.insert(link.index) }
    }

    private func leaveUpper(_ link: Link) {
        for below in [link.master, link.lower] where below != 0 {
            contents.uppers[below]?.remove(link.index)
            if contents.uppers[below]?.isEmpty == true { contents.uppers[below] = nil }
        }
        contents.distantUppers.remove(link.index)
    }

    /// Routes that prefer an address.
    func routes(from source: IPAddress) -> Set<RouteID> { contents.routesBySource[source] ?? [] }

    /// A route is there, like this.
    func setRoute(_ route: Route) {
        let id = RouteID(route)
        lostRoutes.remove(id)
        if let old = contents.routes[id] {
            leave(old.route, id)
            old.route = route
        } else {
            contents.routes[id] = RouteState(route)
        }
        for hop in route.nextHops { links[hop.linkIndex]?.routes.insert(id) }
        if let source = route.source { contents.routesBySource[source, default: []].insert(id) }
    }

    /// A route of ours is gone.
    func removeRoute(_ id: RouteID) {
        guard let old = contents.routes.removeValue(forKey: id) else { return }
        if lostRoutes.count >= Self.mostLostRoutes { lostRoutes.removeAll() }
        lostRoutes.insert(id)
        leave(old.route, id)
    }

    private func leave(_ route: Route, _ id: RouteID) {
        for hop in route.nextHops { links[hop.linkIndex]?.routes.remove(id) }
        guard let source = route.source else { return }
        contents.routesBySource[source]?.remove(id)
        if contents.routesBySource[source]?.isEmpty == true { contents.routesBySource[source] = nil }
    }
}
