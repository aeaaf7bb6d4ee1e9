internal import Concurrency
internal import MeshTransport
internal import NSM
internal import SPIFFE

/// To whom names belong: of endpoints, of services, and the right to offer a service.
///
/// A name stays its owner's for a while after its last use, so that nobody takes it in the moment in which a program is
/// started again; then it is forgotten.
struct NameLedger {
    /// What a name is one of.
    enum Kind: Hashable {
        case endpoint, service, offer
    }
    struct Name: Hashable {
        let kind: Kind
        let text: String
    }
    private struct Holding {
        let owner: PeerIdentity
        let isOfHost: Bool
        /// How many registrations use it now.
        var uses = 0
        /// When it is forgotten; nil while it is in use.
        var end: Timestamp?
    }

    private var holdings: [Name: Holding] = [:]
    /// Names by the account of their owner.
    private var counts: [String: Int] = [:]
    private var pruned = Timestamp(nanoseconds: 0)

    /// Names of one account. Beyond it nothing new is registered.
    static let mostOfOneAccount = 2048
    /// Of root and of managers.
    static let mostOfTrusted = 65536
    /// How long a name of a user of the host is kept: it outlives a restart, and a reboot of its owner.
    static let hostMemory = Duration.seconds(86400)
    /// How long a name of a pod is kept: the time that a restarted container may take. The next pod is another owner,
    /// and must not have to wait long.
    static let podMemory = Duration.seconds(10)

    /// How many names are known.
    var count: Int { holdings.count }

    /// The owner of a name; nil: it has none.
    func owner(_ name: Name, now: Timestamp = .now) -> PeerIdentity? {
        guard let holding = holdings[name], holding.end.map({ $0 > now }) ?? true else { return nil }
        return holding.owner
    }

    /// Takes a name for a peer, once more with each call.
    ///
    /// - Returns: why it can't be his; nil when it is.
    mutating func take(_ name: Name, _ caller: Caller, now: Timestamp = .now) -> String? {
        if let owner = owner(name, now: now) {
            guard owner == caller.identity else { return "it belongs to somebody else" }
            holdings[name]?.uses += 1
            holdings[name]?.end = nil
            return nil
        }
        forget(name)
        if let refusal = refusalOfMore(caller, now) { return refusal }
        let isOfHost = caller.credentials?.isOfHost ?? true
        holdings[name] = Holding(owner: caller.identity, isOfHost: isOfHost, uses: 1)
        counts[caller.identity.account, default: 0] += 1
        return nil
    }

    /// Gives a name that is used once to another peer, whoever has it.
    ///
    /// - Returns: why he may not have it, and the name is still who had it; nil when it is his.
    mutating func pass(_ name: Name, to caller: Caller, now: Timestamp = .now) -> String? {
        if let refusal = refusalOfMore(caller, now) { return refusal }
        release(name, isForgotten: true, now: now)
        return take(name, caller, now: now)
    }

    /// Why a peer may have no more names; nil when he may.
    private mutating func refusalOfMore(_ caller: Caller, _ now: Timestamp) -> String? {
        let most = caller.isTrusted ? Self.mostOfTrusted : Self.mostOfOneAccount
        if counts[caller.identity.account, default: 0] < most { return nil }
        prune(now)
        if counts[caller.identity.account, default: 0] < most { return nil }
        return "\(caller.identity.account) has registered \(most) names, which is the most"
    }

    /// Ends one use of a name. It is kept for its owner, unless the owner will not come back for it.
    mutating func release(_ name: Name, isForgotten: Bool = false, now: Timestamp = .now) {
        guard var holding = holdings[name], holding.uses > 0 else { return }
        holding.uses -= 1
        if holding.uses == 0 {
            if isForgotten { return forget(name) }
            holding.end = now.advanced(by: holding.isOfHost ? Self.hostMemory : Self.podMemory)
        }
        holdings[name] = holding
    }

    /// Forgets names whose time is over. Looks at all of them, but not each time it is asked.
    mutating func prune(_ now: Timestamp = .now) {
        guard now.since(pruned) > .seconds(10) || now < pruned else { return }
        pruned = now
        for (name, holding) in holdings {
            if let end = holding.end, end <= now { forget(name) }
        }
    }

    private mutating func forget(_ name: Name) {
        guard let holding = holdings.removeValue(forKey: name) else { return }
        let account = holding.owner.account
        let left = counts[account, default: 1] - 1
        counts[account] = left > 0 ? left : nil
    }
}
