internal import NSM
internal import NetworkTypes

/// Which parts of a network (vL3) are an endpoint's own, and which lie behind which other endpoint.
///
/// Of those that say the same, who came first has it as long as he is reached. While he is not, another one may have it, and gives it
/// back when the first is reached again. Who says something that overlaps what somebody holds is never believed.
struct NetworkParts: Sendable {
    private struct Claims {
        /// Each with the turn in which it was heard first.
        var turns: [IPPrefix: Int]
        /// Those that it held once: they are settled, also while another one has them in its place.
        var settled: Set<IPPrefix> = []
        /// Whether the other endpoint is reached.
        var isLive: Bool
    }
    /// Somebody's claim of one prefix.
    private struct Claim {
        let turn: Int
        let name: String
        let isLive: Bool
        let isSettled: Bool

        func isEarlier(than other: Claim) -> Bool { (turn, name) < (other.turn, other.name) }
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
        let before = claims[name]
        if let before, before.turns == now, before.isLive == isLive { return [] }
        turn += 1
        let settled = before?.settled.intersection(now.keys) ?? []
        claims[name] = Claims(turns: now, settled: settled, isLive: isLive)
        return settle()
    }

    /// Another endpoint is not reached: what it said stays its own, unless another one that is reached says the same. Returns those
    /// for whom something is different.
    mutating func noteUnreached(_ name: String) -> Set<String> {
        guard claims[name]?.isLive == true else { return [] }
        claims[name]?.isLive = false
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
    ///
    /// What somebody held once, and still says, is settled: it goes to one of those that say the same, so that nothing that overlaps
    /// it ever takes its place. Settled prefixes do not overlap each other.
    private mutating func settle() -> Set<String> {
        let before = held
        var holders: [IPPrefix: String] = [:]
        for (name, prefixes) in before { for prefix in prefixes { holders[prefix] = name } }
        var settled: [(prefix: IPPrefix, winner: Claim)] = []
        var others: [(prefix: IPPrefix, winner: Claim)] = []
        for (prefix, candidates) in claimsByPrefix() {
            guard let winner = Self.winner(of: candidates, holder: holders[prefix]) else { continue }
            if candidates.contains(where: \.isSettled) {
                settled.append((prefix, winner))
            } else {
                others.append((prefix, winner))
            }
        }
        // Of what was heard at once the smaller ones first: a whole network is said beside the part, too.
        let rank = { (claim: (prefix: IPPrefix, winner: Claim)) in
            (claim.winner.turn, -Int(claim.prefix.length), claim.prefix)
        }
        others.sort { rank($0) < rank($1) }
        var taken = DisjointPrefixes()
        held = [:]
        for (prefix, winner) in settled + others where taken.insert(prefix) {
            held[winner.name, default: []].append(prefix)
            claims[winner.name]?.settled.insert(prefix)
        }
        for name in held.keys { held[name]?.sort() }
        routesOfClients = routes()
        return Set(before.keys).union(held.keys).filter { before[$0] != held[$0] }
    }

    /// Who says what of what can be true.
    private mutating func claimsByPrefix() -> [IPPrefix: [Claim]] {
        var all: [IPPrefix: [Claim]] = [:]
        var useless: [(name: String, prefix: IPPrefix)] = []
        for (name, claims) in claims {
            for (prefix, turn) in claims.turns {
                guard isUsable(prefix) else {
                    useless.append((name, prefix))
                    continue
                }
                all[prefix, default: []].append(
                    Claim(
                        turn: turn, name: name, isLive: claims.isLive, isSettled: claims.settled.contains(prefix)))
            }
        }
        for (name, prefix) in useless { claims[name]?.settled.remove(prefix) }
        return all
    }

    /// Who has a prefix of those that say it is theirs: the first that is reached; when none is, who has it stays.
    private static func winner(of claims: [Claim], holder: String?) -> Claim? {
        if let first = claims.filter(\.isLive).min(by: { $0.isEarlier(than: $1) }) { return first }
        return claims.first { $0.name == holder } ?? claims.min { $0.isEarlier(than: $1) }
    }

    private func isUsable(_ prefix: IPPrefix) -> Bool {
        if own.contains(where: prefix.overlaps) { return false }
        let known = networks.filter { $0.family == prefix.family }
        return known.isEmpty || known.contains { $0.contains(prefix) }
    }

    private func routes() -> [IPPrefix] {
        var routes: [IPPrefix] = []
        for prefix in declared + networks + own
        where routes.count < Self.mostRoutes && !routes.contains(where: { $0.contains(prefix) }) {
            routes.append(prefix)
        }
        // What others hold overlaps nothing else that others hold.
        let covered = PrefixSet(routes)
        for prefix in held.values.joined().sorted() where !covered.contains(allOf: prefix) {
            guard routes.count < Self.mostRoutes else { break }
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
