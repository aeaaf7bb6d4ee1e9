internal import Concurrency
internal import NetworkTypes
internal import Synchronization

/// Whose each shared prefix is, or was last: for a while nobody asks for it, as its owner or the server is started again, and then
/// nobody else shall have it.
///
/// An owner is who the kernel or a certificate says he is, and the service that he asks for: an agent may have endpoints of several,
/// and each comes back for its own. A record keeps a prefix from others only as long as there is another one
/// for them.
package final class PrefixBook: Sendable {
    /// Who has a prefix.
    struct Owner: Hashable, Sendable {
        /// Who that is, proven.
        let identity: String
        /// What he asks for it for; empty: he does not say.
        let service: String

        /// - Parameter service: Left out when it is longer than names of services are.
        init(_ identity: String, service: String = "") {
            self.identity = identity
            self.service = service.utf8.count <= Self.longestService ? service : ""
        }

        /// The same, of whom it was not known for which service, as earlier versions did not ask.
        var ofAnyService: Owner { Owner(identity) }

        /// Bytes of a service's name.
        private static let longestService = 253
    }
    private struct Entry {
        var owner: Owner
        /// Streams that have it.
        var uses = 0
        /// When it was given or given back last, in turns.
        var turn: UInt64
    }
    private struct State {
        var entries: [IPPrefix: Entry] = [:]
        /// By who has them, for whatever service: that counts for the limits.
        var byIdentity: [String: Set<IPPrefix>] = [:]
        var turn: UInt64 = 0
    }
    private let state = Mutex(State())
    /// Says that the record is to be written.
    package let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation
    /// Prefixes that are remembered.
    package static let most = 4096
    /// Bytes of an identity; longer ones are not remembered.
    private static let longestIdentity = 900
    /// Prefixes of one identity that nobody has at the moment.
    static let mostOfOne = 1024

    /// Takes up what another one knew, see ``lines``. What can't be read is left out.
    package init(_ lines: some Sequence<[String]> = []) {
        (changes, change) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { state in
            let longest = Self.longestIdentity
            for words in lines.prefix(Self.most)
            where (2...3).contains(words.count) && (1...longest).contains(words[1].utf8.count) {
                guard let prefix = IPPrefix(words[0])?.network, state.entries[prefix] == nil else { continue }
                let owner = Owner(words[1], service: words.count > 2 ? words[2] : "")
                Self.give(prefix, owner, isHeld: false, &state)
            }
        }
    }

    /// Prefix, identity and service, if there is one, of each, the oldest first.
    package var lines: [[String]] {
        state.withLock { state in
            state.entries.sorted { $0.value.turn < $1.value.turn }.map { prefix, entry in
                let owner = entry.owner
                return ["\(prefix)", owner.identity] + (owner.service.isEmpty ? [] : [owner.service])
            }
        }
    }

    /// Whether a prefix is, or was last, somebody else's; without an owner: anybody's. One of which it is not known for which
    /// service it was is its owner's for each.
    func isOthers(_ prefix: IPPrefix, than owner: Owner?) -> Bool {
        state.withLock { state in
            guard let known = state.entries[prefix]?.owner else { return false }
            return known != owner && known != owner?.ofAnyService
        }
    }

    /// The prefix that an owner had last for his service and nobody has now, or else for an unknown one; nil: there is none.
    ///
    /// - Parameter isFit: Whether it can be given to him.
    func former(of owner: Owner, where isFit: (IPPrefix) -> Bool) -> IPPrefix? {
        let all = state.withLock { state in
            (state.byIdentity[owner.identity] ?? []).compactMap { prefix in
                state.entries[prefix].flatMap { $0.uses == 0 ? (prefix, $0.owner, $0.turn) : nil }
            }
        }
        let newest = all.sorted { $0.2 > $1.2 }
        return newest.first { $0.1 == owner && isFit($0.0) }?.0
            ?? newest.first { $0.1 == owner.ofAnyService && isFit($0.0) }?.0
    }

    /// How many there are.
    var count: Int { state.withLock { $0.entries.count } }

    /// A prefix is an owner's from now on, until he gives it back.
    func hold(_ prefix: IPPrefix, _ owner: Owner) {
        guard (1...Self.longestIdentity).contains(owner.identity.utf8.count) else { return }
        let isNew = state.withLock { state in
            let isNew = state.entries[prefix]?.owner != owner
            Self.give(prefix, owner, isHeld: true, &state)
            Self.forget(of: owner.identity, &state)
            return isNew
        }
        if isNew { change.yield() }
    }

    /// An owner has given a prefix back, or is away. It stays his.
    func release(_ prefix: IPPrefix, _ owner: Owner) {
        state.withLock { state in
            guard let entry = state.entries[prefix], entry.owner == owner, entry.uses > 0 else { return }
            state.turn += 1
            state.entries[prefix]?.uses -= 1
            state.entries[prefix]?.turn = state.turn
            Self.forget(of: owner.identity, &state)
        }
    }

    private static func give(_ prefix: IPPrefix, _ owner: Owner, isHeld: Bool, _ state: inout State) {
        state.turn += 1
        let before = state.entries[prefix]
        if let before, before.owner != owner { remove(prefix, before.owner, &state) }
        let uses = before?.owner == owner ? before?.uses ?? 0 : 0
        state.entries[prefix] = Entry(owner: owner, uses: uses + (isHeld ? 1 : 0), turn: state.turn)
        state.byIdentity[owner.identity, default: []].insert(prefix)
    }

    private static func remove(_ prefix: IPPrefix, _ owner: Owner, _ state: inout State) {
        state.entries[prefix] = nil
        state.byIdentity[owner.identity]?.remove(prefix)
        if state.byIdentity[owner.identity]?.isEmpty == true { state.byIdentity[owner.identity] = nil }
    }

    /// Forgets what is too much: of those that nobody has, the oldest.
    private static func forget(of identity: String, _ state: inout State) {
        if let own = state.byIdentity[identity], own.count > mostOfOne { dropOldest(among: own, &state) }
        if state.entries.count > most { dropOldest(among: Set(state.entries.keys), &state) }
    }

    private static func dropOldest(among prefixes: Set<IPPrefix>, _ state: inout State) {
        let oldest = prefixes.filter { state.entries[$0]?.uses == 0 }.min {
            (state.entries[$0]?.turn ?? 0) < (state.entries[$1]?.turn ?? 0)
        }
        if let oldest, let entry = state.entries[oldest] { remove(oldest, entry.owner, &state) }
    }
}
