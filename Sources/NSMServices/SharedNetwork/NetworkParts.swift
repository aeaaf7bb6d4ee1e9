internal import NSM
internal import NetworkTypes

/// Which parts of a network (vL3) are an endpoint's own, and which lie behind which other endpoint.
struct NetworkParts: Sendable {
    /// Networks that the endpoint's declaration leads its clients to.
    let declared: [IPPrefix]
    /// What the endpoint gives addresses from.
    var own: [IPPrefix] = []
    /// The whole networks, as IPAM servers say; empty: they are not known.
    var networks: [IPPrefix] = []
    /// What others say is theirs, each with the turn in which they said so first.
    private var claims: [String: [IPPrefix: Int]] = [:]
    private var turn = 0

    /// Parts of one other endpoint.
    static let mostOfOne = 8
    /// Networks that clients are led to.
    static let mostRoutes = 512

    init(declared: [IPPrefix] = []) { self.declared = declared }

    /// Takes in what another endpoint says is its own now. What is taken is a network of some size, which lies in those that are
    /// known and nowhere in our own parts.
    mutating func note(_ prefixes: [IPPrefix], of name: String) {
        turn += 1
        let known = claims[name] ?? [:]
        var now: [IPPrefix: Int] = [:]
        for prefix in prefixes.map(\.network) where now.count < Self.mostOfOne {
            guard !prefix.isHost, prefix.length >= (prefix.family == .v4 ? 8 : 16) else { continue }
            now[prefix] = known[prefix] ?? turn
        }
        claims[name] = now.isEmpty ? nil : now
    }

    /// Another endpoint is not there any more.
    mutating func forget(_ name: String) { claims[name] = nil }

    /// The other endpoints that have parts.
    var others: [String] { claims.keys.sorted() }

    /// What lies behind another endpoint. When a part goes from one to another, both may say for a moment that it is theirs: the
    /// last who came to have it counts.
    func routes(to name: String) -> [IPPrefix] {
        (claims[name] ?? [:]).filter { prefix, turn in isUsable(prefix) && !isTaken(prefix, since: turn, from: name) }
            .map(\.key).sorted { "\($0)" < "\($1)" }
    }

    private func isUsable(_ prefix: IPPrefix) -> Bool {
        if own.contains(where: prefix.overlaps) { return false }
        let known = networks.filter { $0.family == prefix.family }
        return known.isEmpty || known.contains { $0.contains(prefix) }
    }

    private func isTaken(_ prefix: IPPrefix, since turn: Int, from name: String) -> Bool {
        claims.contains { other, claims in
            other != name && claims.contains { $0.key.overlaps(prefix) && $0.value > turn }
        }
    }

    /// What a client of ours is led to: all of the network when that is known, or all of its parts.
    var routesOfClients: [IPPrefix] {
        var routes: [IPPrefix] = []
        for prefix in declared + networks + own + others.flatMap({ self.routes(to: $0) })
        where routes.count < Self.mostRoutes && !routes.contains(where: { $0.contains(prefix) }) {
            routes.append(prefix)
        }
        return routes
    }
}
