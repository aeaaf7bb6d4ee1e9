/// What several sources declare under the same keys.
///
/// The last writer of a key is heard. What the others declare is kept, so that it counts again once the writer withdraws its
/// own. A key that only files declare costs nothing here.
struct SourceTable<Value> {
    /// What one source declares under a key.
    struct Claim {
        /// Such as `files` or `grpc`.
        var source: String
        /// Where the source has it from.
        var origin: Origin
        var value: Value
    }

    /// By key, the last writer last.
    private var claims: [String: [Claim]] = [:]
    /// Keys of each source.
    private var keys: [String: Set<String>] = [:]

    /// Whether nothing is kept.
    var isEmpty: Bool { claims.isEmpty }

    /// Who declares a key, the one that is heard last; empty: nobody, or files alone.
    func claims(_ key: String) -> [Claim] { claims[key] ?? [] }

    /// The claims of every key that is kept, the one that is heard last.
    var all: some Sequence<[Claim]> { claims.values }

    /// The sources that declare something, as far as that is kept here, sorted.
    var sources: [String] { keys.keys.sorted() }

    /// Keys under which a source declares something.
    func keys(of source: String) -> Set<String> { keys[source] ?? [] }

    /// Takes in that a source writes a key: from now on it is heard.
    mutating func write(_ key: String, _ claim: Claim) {
        claims[key, default: []].removeAll { $0.source == claim.source }
        claims[key, default: []].append(claim)
        keys[claim.source, default: []].insert(key)
    }

    /// Takes in that a source has the value of a key from elsewhere than before.
    mutating func move(_ key: String, of source: String, to origin: Origin) {
        guard let index = claims[key]?.firstIndex(where: { $0.source == source }) else { return }
        claims[key]?[index].origin = origin
    }

    /// What a source withdraws from a key.
    enum Withdrawal {
        /// It was not heard, or declared nothing.
        case unheard
        /// Nobody else declares the key.
        case last
        /// Another one is heard now.
        case uncovered(Claim)
    }

    /// Takes in that a source declares nothing under a key any more.
    mutating func withdraw(_ key: String, of source: String) -> Withdrawal {
        guard let before = claims[key], let index = before.firstIndex(where: { $0.source == source }) else {
            return .unheard
        }
        claims[key]?.remove(at: index)
        keys[source]?.remove(key)
        if keys[source]?.isEmpty == true { keys[source] = nil }
        guard let next = claims[key]?.last else {
            claims[key] = nil
            return .last
        }
        return index == before.count - 1 ? .uncovered(next) : .unheard
    }

    /// Forgets a key that only one source declares, which keeps it elsewhere.
    mutating func forgetLone(_ key: String, of source: String) {
        guard let only = claims[key], only.count == 1, only[0].source == source else { return }
        claims[key] = nil
        keys[source]?.remove(key)
        if keys[source]?.isEmpty == true { keys[source] = nil }
    }
}
