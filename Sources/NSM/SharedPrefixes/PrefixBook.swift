internal import Concurrency
internal import NetworkTypes
internal import Synchronization

/// Whose each shared prefix is, or was last: for a while nobody asks for it, as its owner or the server is started again, and then
/// nobody else shall have it.
///
/// An owner is who the kernel or a certificate says he is. A record keeps a prefix from others only as long as there is another one
/// for them.
package final class PrefixBook: Sendable {
    private struct Entry {
        var owner: String
        /// Streams that have it.
        var uses = 0
        /// When it was given or given back last, in turns.
        var turn: UInt64
    }
    private struct State {
        var entries: [IPPrefix: Entry] = [:]
        var byOwner: [String: Set<IPPrefix>] = [:]
        var turn: UInt64 = 0
    }
    private let state = Mutex(State())
    /// Says that the record is to be written.
    package let changes: AsyncStream<Void>
    private let change: AsyncStream<Void>.Continuation
    /// Prefixes that are remembered.
    package static let most = 4096
    /// Bytes of an owner; longer ones are not remembered.
    private static let longestOwner = 900
    /// Prefixes of one owner that nobody has at the moment.
    static let mostOfOne = 1024

    /// Takes up what another one knew, see ``lines``. What can't be read is left out.
    package init(_ lines: some Sequence<[String]> = []) {
        (changes, change) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        state.withLock { state in
            let longest = Self.longestOwner
            for words in lines.prefix(Self.most) where words.count == 2 && (1...longest).contains(words[1].utf8.count) {
                guard let prefix = IPPrefix(words[0])?.network, state.entries[prefix] == nil else { continue }
                Self.give(prefix, words[1], isHeld: false, &state)
            }
        }
    }

    /// Prefix and owner of each, the oldest first.
    package var lines: [[String]] {
        state.withLock { state in
            state.entries.sorted { $0.value.turn < $1.value.turn }.map { ["\($0.key)", $0.value.owner] }
        }
    }

    /// Whether a prefix is, or was last, somebody else's; without an owner: anybody's.
    func isOthers(_ prefix: IPPrefix, than owner: String?) -> Bool {
        state.withLock { $0.entries[prefix].map { $0.owner != owner } ?? false }
    }

    /// The prefix that an owner had last and nobody has now; nil: there is none.
    ///
    /// - Parameter isFit: Whether it can be given to him.
    func former(of owner: String, where isFit: (IPPrefix) -> Bool) -> IPPrefix? {
        let all = state.withLock { state in
            (state.byOwner[owner] ?? []).compactMap { prefix in
                state.entries[prefix].flatMap { $0.uses == 0 ? (prefix, $0.turn) : nil }
            }
        }
        return all.sorted { $0.1 > $1.1 }.first { isFit($0.0) }?.0
    }

    /// How many there are.
    var count: Int { state.withLock { $0.entries.count } }

    /// A prefix is an owner's from now on, until he gives it back.
    func hold(_ prefix: IPPrefix, _ owner: String) {
        guard (1...Self.longestOwner).contains(owner.utf8.count) else { return }
        let isNew = state.withLock { state in
            let isNew = state.entries[prefix]?.owner != owner
            Self.give(prefix, owner, isHeld: true, &state)
            Self.forget(of: owner, &state)
            return isNew
        }
        if isNew { change.yield() }
    }

    /// An owner has given a prefix back, or is away. It stays his.
    func release(_ prefix: IPPrefix, _ owner: String) {
        state.withLock { state in
            guard let entry = state.entries[prefix], entry.owner == owner, entry.uses > 0 else { return }
            state.turn += 1
            state.entries[prefix]?.uses -= 1
            state.entries[prefix]?.turn = state.turn
            Self.forget(of: owner, &state)
        }
    }

    private static func give(_ prefix: IPPrefix, _ owner: String, isHeld: Bool, _ state: inout State) {
        state.turn += 1
        let before = state.entries[prefix]
        if let before, before.owner != owner { remove(prefix, before.owner, &state) }
        let uses = before?.owner == owner ? before?.uses ?? 0 : 0
        state.entries[prefix] = Entry(owner: owner, uses: uses + (isHeld ? 1 : 0), turn: state.turn)
        state.byOwner[owner, default: []].insert(prefix)
    }

    private static func remove(_ prefix: IPPrefix, _ owner: String, _ state: inout State) {
        state.entries[prefix] = nil
        state.byOwner[owner]?.remove(prefix)
        if state.byOwner[owner]?.isEmpty == true { state.byOwner[owner] = nil }
    }

    /// Forgets what is too much: of those that nobody has, the oldest.
    private static func forget(of owner: String, _ state: inout State) {
        if let own = state.byOwner[owner], own.count > mostOfOne { dropOldest(among: own, &state) }
        if state.entries.count > most { dropOldest(among: Set(state.entries.keys), &state) }
    }

    private static func dropOldest(among prefixes: Set<IPPrefix>, _ state: inout State) {
        let oldest = prefixes.filter { state.entries[$0]?.uses == 0 }.min {
            (state.entries[$0]?.turn ?? 0) < (state.entries[$1]?.turn ?? 0)
        }
        if let oldest, let entry = state.entries[oldest] { remove(oldest, entry.owner, &state) }
    }
}
