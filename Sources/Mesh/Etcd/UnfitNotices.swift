internal import Concurrency

/// Which records that can't be used are worth a line in the log: each key once, and few in a minute, whatever is written to
/// etcd. Pure.
struct UnfitNotices {
    /// A key, and why what is stored there is not used.
    typealias Unfit = (key: [UInt8], reason: RegistryRecord.Unfit)

    /// The most records that are named in a ``period``.
    static let mostNamed = 5
    /// After it more are named.
    static let period = Duration.seconds(60)
    /// The most keys that are remembered. Beyond them all may be named again, as seldom as others.
    static let mostKnown = 1024

    /// Hashes of the keys that were named: keys have any length.
    private var known: Set<Int> = []
    private var end: Timestamp?
    private var left = 0
    private var isMoreTold = false
    private var hidden = 0

    /// Takes in records that can't be used. Returns those to be named, and how many others there were since that was last
    /// said; 0: that is not to be said now.
    mutating func take(_ unfit: [Unfit], now: Timestamp) -> (named: [Unfit], more: Int) {
        if end.map({ $0 <= now || $0 > now.advanced(by: Self.period) }) ?? true {
            end = now.advanced(by: Self.period)
            (left, isMoreTold) = (Self.mostNamed, false)
        }
        var named: [Unfit] = []
        for item in unfit where !known.contains(item.key.hashValue) {
            guard left > 0 else {
                hidden += 1
                continue
            }
            left -= 1
            if known.count >= Self.mostKnown { known = [] }
            known.insert(item.key.hashValue)
            named.append(item)
        }
        guard hidden > 0, !isMoreTold else { return (named, 0) }
        defer { (hidden, isMoreTold) = (0, true) }
        return (named, hidden)
    }
}
