/// Which of several servers' answers is the one: the first with records; or one that says that there are none, when the others
/// had their chance to know better.
struct FanIn: Sendable {
    /// What became of one server.
    enum Outcome: Sendable {
        case answer(DNSAnswer)
        /// It failed, or did not answer.
        case failure
        /// It was not asked, as too many wait for it, or not for long enough.
        case unasked
    }

    /// Servers that have not answered yet, by their places.
    private var waiting: Set<Int>
    /// Those of them that did not answer lately.
    private let doubtful: Set<Int>
    private var best: DNSAnswer?
    private var hasUnasked = false

    /// - Parameters:
    ///   - count: How many servers are asked.
    ///   - doubtful: The places of those that did not answer lately: nobody waits for them who has an answer.
    init(_ count: Int, doubtful: Set<Int> = []) {
        waiting = Set(0..<count)
        // When all are doubtful, none is.
        self.doubtful = doubtful.count < count ? doubtful : []
    }

    /// The best so far.
    var preliminary: DNSAnswer? { best }

    /// Whether a server that is not heard yet could still know better.
    var isUnsure: Bool { best?.kind != .records && (hasUnasked || !waiting.isSubset(of: doubtful)) }

    /// Takes in what became of a server.
    ///
    /// - Returns: Whether there is nothing to wait for any more.
    mutating func note(_ outcome: Outcome, from place: Int) -> Bool {
        waiting.remove(place)
        switch outcome {
        case .failure: break
        case .unasked: hasUnasked = true
        case .answer(let answer):
            switch (answer.kind, best?.kind) {
            case (.records, _):
                best = answer
                return true
            // That a name is there is more than that it is not.
            case (.noData, nil), (.noData, .noName), (.noName, nil): best = answer
            case (.noData, _), (.noName, _): break
            }
        }
        return waiting.isEmpty || best != nil && waiting.isSubset(of: doubtful)
    }
}
