/// Answers that are given again until their time is over. Those that were not used for longest go first.
struct ResolverCache: Sendable {
    /// What an answer depends on.
    struct Key: Hashable, Sendable {
        let question: DNSQuestion
        let isDNSSEC: Bool
        let isCheckingDisabled: Bool

        init(_ request: DNSRequest) {
            question = request.question
            isDNSSEC = request.isDNSSEC
            isCheckingDisabled = request.isCheckingDisabled
        }
    }

    private struct Entry {
        let answer: DNSAnswer
        /// Seconds.
        let since: Int64
        let size: Int
        var use: UInt64

        func isFresh(at now: Int64) -> Bool { now - since < Int64(answer.lifetime) }
    }

    private var entries: [Key: Entry] = [:]
    private(set) var size = 0
    private var uses: UInt64 = 0
    private let mostEntries: Int
    private let mostBytes: Int

    /// Keeps nothing yet.
    init(entries: Int = 4096, bytes: Int = 2 << 20) {
        mostEntries = max(entries, 1)
        mostBytes = bytes
    }

    /// How many are kept, also those whose time is over.
    var count: Int { entries.count }

    /// The answer, and its age in seconds.
    ///
    /// - Parameter now: Seconds of a clock that never goes back.
    mutating func answer(to key: Key, at now: Int64) -> (answer: DNSAnswer, age: UInt32)? {
        guard let entry = entries[key] else { return nil }
        guard entry.isFresh(at: now) else {
            remove(key)
            return nil
        }
        uses += 1
        entries[key]?.use = uses
        return (entry.answer, UInt32(clamping: now - entry.since))
    }

    /// Keeps an answer as long as it may be.
    mutating func keep(_ answer: DNSAnswer, for key: Key, at now: Int64) {
        let size = answer.size + key.question.name.wire.count
        guard answer.lifetime > 0, size <= mostBytes / 8 else { return }
        remove(key)
        if entries.count >= mostEntries || self.size + size > mostBytes { makeRoom(at: now, for: size) }
        uses += 1
        entries[key] = Entry(answer: answer, since: now, size: size, use: uses)
        self.size += size
    }

    /// Forgets those of which this is true.
    mutating func remove(where isDoomed: (DNSName) -> Bool) {
        for key in entries.keys where isDoomed(key.question.name) { remove(key) }
    }

    private mutating func remove(_ key: Key) {
        if let entry = entries.removeValue(forKey: key) { size -= entry.size }
    }

    /// Takes away an eighth at once, as looking for those is the work of all.
    private mutating func makeRoom(at now: Int64, for added: Int) {
        for (key, entry) in entries where !entry.isFresh(at: now) { remove(key) }
        for (key, _) in entries.sorted(by: { $0.value.use < $1.value.use }) {
            if entries.count < mostEntries - mostEntries / 8, size + added <= mostBytes - mostBytes / 8 { return }
            remove(key)
        }
    }
}
