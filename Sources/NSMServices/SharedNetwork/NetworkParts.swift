internal import NSM
internal import NetworkTypes

/// Which parts of a network (vL3) are an endpoint's own, and which lie behind which other endpoint.
///
/// Who came first with a part holds it. Another one that says the same is believed only when the first says so no more, or is not
/// reached; one that says something that overlaps it is never believed.
struct NetworkParts: Sendable {
    private struct Claims {
        /// Each with the turn in which it was heard first.
        var turns: [IPPrefix: Int]
        /// Whether the other endpoint is reached.
        var isLive: Bool
    }
    /// Networks that the endpoint's declaration leads its clients to.
    let declared: [IPPrefix]
    /// What the endpoint gives addresses from.
    private(set) var own: [IPPrefix] = []
    /// The whole networks, as IPAM servers say; empty: they are not known.
    private(set) var networks: [IPPrefix] = []
    /// What a client of ours is led to: all of the network when that is known, or all of its parts.
    private(set) var routesOfClients: [IPPrefix] = []
    private var claims: [String: Claims] = [:]
    private var held: [String: [IPPrefix]] = [:]
    private var turn = 0

    /// Parts of one other endpoint.
    static let mostOfOne = 8
    /// Networks that clients are led to.
    static let mostRoutes = 512

    init(declared: [IPPrefix] = [], own: [IPPrefix] = []) {
        self.declared = declared
        self.own = own
        _ = settle()
    }

    /// The endpoint has other parts, perhaps of another network. Returns the others for whom something is different.
    mutating func set(own: [IPPrefix], networks: [IPPrefix]) -> Set<String> {
        (self.own, self.networks) = (own, networks)
        return settle()
    }

    /// Takes in what another endpoint says is its own now. Returns those for whom something is different.
    mutating func note(_ prefixes: [IPPrefix], of name: String, isLive: Bool = true) -> Set<String> {
        let known = claims[name]?.turns ?? [:]
        var now: [IPPrefix: Int] = [:]
        for prefix in prefixes.map(\.network) where now.count < Self.mostOfOne {
            guard !prefix.isHost, prefix.length >= (prefix.family == .v4 ? 8 : 16) else { continue }
            now[prefix] = known[prefix] ?? turn + 1
        }
        if let before = claims[name], before.turns == now, before.isLive == isLive { return [] }
        turn += 1
        claims[name] = Claims(turns: now, isLive: isLive)
        return settle()
    }

    /// Another endpoint is not there any more. Returns those for whom something is different.
    mutating func forget(_ name: String) -> Set<String> {
        claims.removeValue(forKey: name) == nil ? [] : settle()
    }

    /// What lies behind another endpoint.
    func routes(to name: String) -> [IPPrefix] { held[name] ?? [] }

    /// Why a connection to another endpoint is of no use; nil: it is. The addresses of both ends are of that one's part: any other
    /// would take the packets of somebody else.
    func mistake(in addresses: NSMIPContext, of name: String) -> String? {
        let parts = routes(to: name)
        for prefix in addresses.sourcePrefixes + addresses.destinationPrefixes {
            if !prefix.isHost { return "\(prefix) is no single address" }
            if !parts.contains(where: { $0.contains(prefix.address) }) {
                return "\(prefix.address) lies in no part of its own"
            }
        }
        return parts.isEmpty ? "it has no part of its own" : nil
    }

    // MARK: - Who holds what

    /// Works out who holds what. Returns those for whom something is different.
    private mutating func settle() -> Set<String> {
        let before = held
        var all: [(turn: Int, prefix: IPPrefix, name: String)] = []
        var live: [IPPrefix: [(turn: Int, name: String)]] = [:]
        for (name, claims) in claims {
            for (prefix, turn) in claims.turns where isUsable(prefix) {
                all.append((turn, prefix, name))
                if claims.isLive { live[prefix, default: []].append((turn, name)) }
            }
        }
        var taken = DisjointPrefixes()
        held = [:]
        func give(_ prefix: IPPrefix, _ name: String) {
            if taken.insert(prefix) { held[name, default: []].append(prefix) }
        }
        // Who holds something comes before those who said so earlier, and had nothing of it.
        for (name, prefixes) in before.sorted(by: { $0.key < $1.key }) {
            for prefix in prefixes where claims[name]?.turns[prefix] != nil && isUsable(prefix) {
                let other = claims[name]?.isLive == true ? nil : live[prefix]?.min { $0 < $1 }?.name
                give(prefix, other ?? name)
            }
        }
        // Of what was heard at once the smaller ones first: a whole network is said beside the part, too.
        all.sort { ($0.turn, $1.prefix.length, $0.prefix, $0.name) < ($1.turn, $0.prefix.length, $1.prefix, $1.name) }
        for (_, prefix, name) in all where claims[name]?.isLive == true || live[prefix] == nil { give(prefix, name) }
        for name in held.keys { held[name]?.sort() }
        routesOfClients = routes()
        return Set(before.keys).union(held.keys).filter { before[$0] != held[$0] }
    }

    private func isUsable(_ prefix: IPPrefix) -> Bool {
        if own.contains(where: prefix.overlaps) { return false }
        let known = networks.filter { $0.family == prefix.family }
        return known.isEmpty || known.contains { $0.contains(prefix) }
    }

    private func routes() -> [IPPrefix] {
        var routes: [IPPrefix] = []
        for prefix in declared + networks + own + held.values.joined().sorted()
        where routes.count < Self.mostRoutes && !routes.contains(where: { $0.contains(prefix) }) {
            routes.append(prefix)
        }
        return routes
    }
}

/// Prefixes of which none overlaps another, in order.
private struct DisjointPrefixes {
    private var prefixes: [IPPrefix] = []

    /// Adds one, unless it overlaps one that is there.
    mutating func insert(_ prefix: IPPrefix) -> Bool {
        var (low, high) = (0, prefixes.count)
        while low < high {
            let middle = (low + high) / 2
            if prefixes[middle] < prefix { low = middle + 1 } else { high = middle }
        }
        if low > 0, prefixes[low - 1].overlaps(prefix) { return false }
        if low < prefixes.count, prefixes[low].overlaps(prefix) { return false }
        prefixes.insert(prefix, at: low)
        return true
    }
}
