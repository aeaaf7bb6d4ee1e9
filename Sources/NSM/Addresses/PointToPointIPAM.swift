internal import SwiftProtobuf
public import NetworkTypes

/// Gives each connection a pair of addresses for each group of pools: the endpoint's and the client's.
///
/// The lowest free addresses are given. A client that comes back with addresses that are free gets them again.
public struct PointToPointIPAM: Sendable {
    /// What becomes of addresses in a request that lie outside of the pools.
    public enum Policy: Sendable {
        /// They stay: the client may have them from elsewhere. Unless set.
        case polite
        /// They and the routes to them are taken out, such as those of another endpoint the client was connected to before.
        case strict
    }

    /// What a connection has of one group.
    package struct Pair: Hashable, Sendable {
        /// The endpoint's address.
        package let destination: IPAddress
        /// The client's address.
        package let source: IPAddress
    }

    /// No address is left, or no pool is usable.
    package struct Exhausted: Error, Sendable, CustomStringConvertible {
        /// Which pools.
        package let description: String
    }

    private var groups: [[AddressPool]]
    private var pairs: [String: [Pair?]] = [:]
    private let policy: Policy
    /// Prefixes from which nobody is given an address.
    private let excluded: [IPPrefix]
    /// Networks of before, from which clients may still have addresses, and should not any more.
    private var retired: [IPPrefix] = []
    private static let mostRetired = 64
    /// What is not drawn as long as there is something else: addresses that connections of an earlier life may still have. Who
    /// comes back with one of them gets it.
    package var spared: SparedAddresses?

    /// Makes the groups; the pools of one group are taken one after the other.
    ///
    /// - Parameters:
    ///   - groups: The networks of each group. A client gets one pair of addresses from each group.
    ///   - policy: What becomes of addresses that a client brings and that are from elsewhere.
    ///   - excluded: Prefixes from which no address is given.
    public init(_ groups: [[IPPrefix]], policy: Policy = .polite, excluding excluded: [IPPrefix] = []) {
        self.groups = groups.map { $0.map(AddressPool.init) }
        self.policy = policy
        self.excluded = excluded
    }

    /// Reads `a,b` (a group each) and `[a,b]` (pools of one group); nil when it can't be read.
    public init?(_ text: String, policy: Policy = .polite) {
        var groups: [[IPPrefix]] = []
        var open: [IPPrefix]?
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            var word = part.trimmingSpaces()
            let opens = word.hasPrefix("[")
            let closes = word.hasSuffix("]")
            if opens { word = word.dropFirst().trimmingSpaces() }
            if closes { word = word.dropLast().trimmingSpaces() }
            guard let prefix = IPPrefix(word), !(opens && open != nil), !(closes && !opens && open == nil) else {
                return nil
            }
            if opens || open != nil {
                open = (open ?? []) + [prefix]
                if closes, let group = open {
                    groups.append(group)
                    open = nil
                }
            } else {
                groups.append([prefix])
            }
        }
        guard open == nil else { return nil }
        self.init(groups, policy: policy)
    }

    /// Takes the place of another one: connections keep the addresses that lie in these pools, and lose the others when they
    /// are asked for again.
    package mutating func takeOver(from old: PointToPointIPAM) {
        if spared == nil { spared = old.spared }
        let present = Set(groups.joined().map(\.prefix))
        // A strict one takes all that is foreign anyway.
        if policy == .polite {
            let before = (old.retired + old.groups.joined().map(\.prefix)).filter { !present.contains($0) }
            retired = Array(before.suffix(Self.mostRetired))
        }
        for (id, oldPairs) in old.pairs {
            var own = [Pair?](repeating: nil, count: groups.count)
            for case let pair? in oldPairs {
                for group in groups.indices where own[group] == nil {
                    guard
                        let pool = groups[group].indices.first(where: { pool in
                            groups[group][pool].isFree(pair.source) && groups[group][pool].isFree(pair.destination)
                        })
                    else { continue }
                    groups[group][pool].take(pair.source)
                    groups[group][pool].take(pair.destination)
                    own[group] = pair
                    break
                }
            }
            pairs[id] = own
        }
    }

    /// The pairs of a connection.
    package func pairs(of id: String) -> [Pair] { (pairs[id] ?? []).compactMap { $0 } }

    /// Sets the addresses and routes of a connection in its context. Calling it again changes nothing, unless an address
    /// has become excluded. Other addresses in the context stay.
    ///
    /// - Throws: ``Exhausted``; the connection then keeps what it had that is not excluded.
    package mutating func allocate(_ id: String, _ context: inout NSMIPContext) throws(Exhausted) {
        let excluded = PrefixSet(context.excludedPrefixes.compactMap { NSMIPContext.prefix($0) } + excluded)
        var own = pairs[id] ?? Array(repeating: nil, count: groups.count)
        var made: [(group: Int, pair: Pair)] = []
        for group in groups.indices {
            if let pair = own[group] {
                let isExcluded = excluded.contains(pair.source) || excluded.contains(pair.destination)
                if !isExcluded { continue }
                free(pair, group)
                remove(pair, &context)
                own[group] = nil
            }
            guard let pair = claim(group, context, excluded) ?? drawSparing(group, excluded) else {
                for (group, pair) in made {
                    free(pair, group)
                    own[group] = nil
                }
                pairs[id] = own
                let pools = groups[group].map { "\($0.prefix)" }.joined(separator: ", ")
                throw Exhausted(description: "no two addresses are free in \(pools)")
            }
            made.append((group, pair))
            own[group] = pair
            spared?.take(pair)
        }
        pairs[id] = own
        removeForeign(&context, own: own)
        for case let pair? in own { add(pair, &context) }
    }

    /// Frees the addresses of a connection.
    package mutating func release(_ id: String) {
        guard let own = pairs.removeValue(forKey: id) else { return }
        for (group, pair) in own.enumerated() {
            if let pair { free(pair, group) }
        }
    }

    /// Addresses of the request that lie in the group and are free. A manager that started anew does not know the endpoint's
    /// any more; it was the one before the client's.
    private mutating func claim(_ group: Int, _ context: NSMIPContext, _ excluded: PrefixSet) -> Pair? {
        let sources = context.sourcePrefixes
        let destinations = context.destinationPrefixes
        for pool in groups[group].indices {
            func isFree(_ address: IPAddress) -> Bool {
                groups[group][pool].isFree(address) && !excluded.contains(address)
            }
            func wanted(_ prefixes: [IPPrefix]) -> IPAddress? {
                prefixes.first { $0.isHost && isFree($0.address) }?.address
            }
            guard let source = wanted(sources) else { continue }
            let before = source.predecessor
            guard let destination = wanted(destinations) ?? (isFree(before) ? before : nil), source != destination
            else { continue }
            groups[group][pool].take(source)
            groups[group][pool].take(destination)
            return Pair(destination: destination, source: source)
        }
        return nil
    }

    private mutating func drawSparing(_ group: Int, _ excluded: PrefixSet) -> Pair? {
        if let others = spared?.addresses(), !others.prefixes.isEmpty, let pair = draw(group, [excluded, others]) {
            return pair
        }
        return draw(group, [excluded])
    }

    private mutating func draw(_ group: Int, _ excluded: [PrefixSet]) -> Pair? {
        for pool in groups[group].indices {
            guard let destination = groups[group][pool].draw(excluded) else { continue }
            guard let source = groups[group][pool].draw(excluded) else {
                groups[group][pool].free(destination)
                continue
            }
            return Pair(destination: destination, source: source)
        }
        return nil
    }

    private mutating func free(_ pair: Pair, _ group: Int) {
        for pool in groups[group].indices {
            groups[group][pool].free(pair.destination)
            groups[group][pool].free(pair.source)
        }
    }

    /// Takes out what is not the connection's: addresses of the pools, which may be another client's by now, and with the
    /// strict policy all others; with them the routes to them.
    private func removeForeign(_ context: inout NSMIPContext, own: [Pair?]) {
        let mine = Set(own.compactMap { $0 }.flatMap { [$0.source, $0.destination] })
        func isForeign(_ address: IPAddress) -> Bool {
            if mine.contains(address) { return false }
            return policy == .strict || groups.contains { $0.contains { $0.prefix.contains(address) } }
                || retired.contains { $0.contains(address) }
        }
        func hostAddress(_ text: String) -> IPAddress? {
            NSMIPContext.prefix(text).flatMap { $0.isHost ? $0.address : nil }
        }
        let foreign = Set((context.sourcePrefixes + context.destinationPrefixes).map(\.address).filter(isForeign))
        guard !foreign.isEmpty else { return }
        context.srcIpAddrs.removeAll { NSMIPContext.prefix($0).map { foreign.contains($0.address) } ?? true }
        context.dstIpAddrs.removeAll { NSMIPContext.prefix($0).map { foreign.contains($0.address) } ?? true }
        context.srcRoutes.removeAll { hostAddress($0.prefix).map(foreign.contains) ?? false }
        context.dstRoutes.removeAll { hostAddress($0.prefix).map(foreign.contains) ?? false }
    }

    private func add(_ pair: Pair, _ context: inout NSMIPContext) {
        let source = "\(IPPrefix(host: pair.source))"
        let destination = "\(IPPrefix(host: pair.destination))"
        if !context.srcIpAddrs.contains(source) { context.srcIpAddrs.append(source) }
        if !context.dstIpAddrs.contains(destination) { context.dstIpAddrs.append(destination) }
        if !context.srcRoutes.contains(where: { $0.prefix == destination }) {
            context.srcRoutes.append(.with { $0.prefix = destination })
        }
        if !context.dstRoutes.contains(where: { $0.prefix == source }) {
            context.dstRoutes.append(.with { $0.prefix = source })
        }
    }

    private func remove(_ pair: Pair, _ context: inout NSMIPContext) {
        let source = "\(IPPrefix(host: pair.source))"
        let destination = "\(IPPrefix(host: pair.destination))"
        context.srcIpAddrs.removeAll { $0 == source }
        context.dstIpAddrs.removeAll { $0 == destination }
        context.srcRoutes.removeAll { $0.prefix == destination }
        context.dstRoutes.removeAll { $0.prefix == source }
    }
}

extension StringProtocol {
    /// The text without spaces at its ends.
    func trimmingSpaces() -> Substring {
        let all = Substring(self)
        guard let first = all.firstIndex(where: { $0 != " " }), let last = all.lastIndex(where: { $0 != " " }) else {
            return ""
        }
        return all[first...last]
    }
}
