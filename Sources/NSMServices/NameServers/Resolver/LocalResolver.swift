internal import Concurrency
internal import CoreMetrics
internal import Logging
internal import NIOCore
internal import NetworkTypes
internal import Synchronization

/// Answers the DNS questions of this network namespace's programs: names in a connection's domains by that connection's servers,
/// others by all servers.
///
/// Source: RFC 1035 and RFC 5625 for what a forwarder may do.
final class LocalResolver: Sendable {
    /// Whether it can be asked.
    enum Standing: Hashable, Sendable {
        /// It has not tried to listen.
        case starting
        case listening(ResolverAddress)
        /// - Parameter isTaken: Whether somebody else is asked at its address.
        case failed(String, isTaken: Bool = false)
    }

    /// What it has done.
    struct Counts: Hashable, Sendable {
        var queries: UInt64 = 0
        var cached: UInt64 = 0
        /// Without any server's answer.
        var failed: UInt64 = 0
        /// Not looked at, as there were too many at once.
        var refused: UInt64 = 0
    }

    /// What those get who wait for the same.
    private enum Shared {
        /// nil: no server had an answer.
        case answer(DNSAnswer?)
        /// Who asked has no use for it any more: another one has to ask.
        case abandoned
    }

    private struct State {
        var standing = Standing.starting
        var routes = ResolverRoutes()
        var cache = ResolverCache()
        var health = ServerHealth()
        var counts = Counts()
        /// Questions that servers are asked now, with those who wait for the same.
        var asked: [ResolverCache.Key: (route: ResolverRoutes.Route, waiting: [Promise<Shared>])] = [:]
        /// Questions that wait, by who asks.
        var clients: [String: Int] = [:]
        var waiting = 0
        /// Domains in which short names are looked for now.
        var searches = 0
    }

    /// Questions at once.
    static let mostWaiting = 512
    /// Questions of one client at once.
    static let mostOfClient = 64
    /// Lookups in domains of search at once. A short name takes one for each domain.
    static let mostSearches = 1024
    /// A question has an answer by then, or none. Programs ask again after five seconds.
    static let patience = Duration.milliseconds(4500)
    /// So long other servers may know better than one that knows nothing: they may have to ask others themselves.
    static let grace = Duration.milliseconds(2500)

    private let state = Mutex(State())
    let exchange: UpstreamExchange
    private let patience: Duration
    let logger: Logger
    /// Questions that must be looked up.
    let arrivals: AsyncStream<(ResolverArrival, DNSRequest)>
    private let arrived: AsyncStream<(ResolverArrival, DNSRequest)>.Continuation
    private let metrics = ResolverMetrics()

    /// Answers nobody before ``run(_:handed:changed:)``.
    init(_ exchange: UpstreamExchange, patience: Duration = LocalResolver.patience, logger: Logger) {
        self.exchange = exchange
        self.patience = patience
        self.logger = logger
        (arrivals, arrived) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.mostWaiting))
    }

    // MARK: - How it stands

    /// Whether it can be asked.
    var standing: Standing {
        get { state.withLock { $0.standing } }
        set { state.withLock { $0.standing = newValue } }
    }

    /// What it has done.
    var counts: Counts { state.withLock { $0.counts } }

    /// For status: `DNS 127.0.0.1:53: 3 servers, 120 queries, 40 from the cache, 2 failed`.
    var summary: String {
        state.withLock { state in
            switch state.standing {
            case .starting: return "DNS: not listening yet"
            case .failed(let reason, _): return "DNS: \(reason)"
            case .listening(let address):
                let counts = state.counts
                let servers = state.routes.servers.count
                let doubtful = state.health.doubtful
                return "DNS \(address): \(servers) server\(servers == 1 ? "" : "s")"
                    + (doubtful > 0 ? " (\(doubtful) silent)" : "")
                    + ", \(counts.queries) queries, \(counts.cached) from the cache, \(counts.failed) failed"
                    + (counts.refused > 0 ? ", \(counts.refused) refused" : "")
            }
        }
    }

    /// Takes other routes. What was answered by servers that are not asked for a name any more is forgotten.
    func use(_ routes: ResolverRoutes) {
        state.withLock { state in
            let old = state.routes
            if old == routes { return }
            state.routes = routes
            state.cache.remove { old.route($0) != routes.route($0) }
            state.health.keep(routes.servers)
        }
    }

    // MARK: - Questions

    /// Takes a question, and answers it at once or hands it on. Never waits.
    func take(_ arrival: ResolverArrival) {
        switch DNSRequest.verdict(arrival.bytes) {
        case .ignored: return
        case .refusal(let reply): arrival.reply(reply)
        case .request(let request):
            let admission = admit(arrival, request)
            metrics.note(admission)
            switch admission {
            case .known(let reply): arrival.reply(reply)
            case .waiting: arrived.yield((arrival, request))
            // Who sends datagrams too fast is not answered as fast.
            case .refused: if !arrival.isDatagram { arrival.reply(request.refusal(DNSNumber.serverFailure)) }
            }
        }
    }

    fileprivate enum Admission {
        /// The cache has the answer.
        case known([UInt8])
        case waiting
        case refused
    }

    private func admit(_ arrival: ResolverArrival, _ request: DNSRequest) -> Admission {
        state.withLock { state in
            state.counts.queries += 1
            // What the cache has of a short name is that of the name alone, and its domains come first.
            if !request.isSearched, let known = state.cache.answer(to: ResolverCache.Key(request), at: Self.seconds) {
                state.counts.cached += 1
                return .known(known.answer.reply(to: request, age: known.age, limit: arrival.limit(request)))
            }
            let free = Self.mostWaiting - state.waiting
            // A program may have many sockets: the less room is left, the less of it is for one.
            let share = min(Self.mostOfClient, max(free / 4, 1))
            guard free > 0, state.clients[arrival.client, default: 0] < share else {
                state.counts.refused += 1
                return .refused
            }
            state.waiting += 1
            state.clients[arrival.client, default: 0] += 1
            return .waiting
        }
    }

    /// Looks up what was asked, and replies.
    func serve(_ arrival: ResolverArrival, _ request: DNSRequest) async {
        let answer = await answer(request)
        state.withLock { state in
            state.waiting -= 1
            let others = state.clients[arrival.client, default: 1] - 1
            state.clients[arrival.client] = others > 0 ? others : nil
            if answer == nil { state.counts.failed += 1 }
        }
        if let answer {
            arrival.reply(answer.reply(to: request, age: 0, limit: arrival.limit(request)))
        } else {
            metrics.noteFailure()
            arrival.reply(request.refusal(DNSNumber.serverFailure))
        }
    }

    /// The answer to a question; nil: no server had one.
    func answer(_ request: DNSRequest) async -> DNSAnswer? {
        let name = request.question.name
        if name.isLocalhost, let answer = DNSAnswer.localhost(request) { return answer }
        guard request.isSearched else { return await lookUp(request) }
        let domains = state.withLock { state -> [DNSName]? in
            let domains = state.routes.search
            guard state.searches + domains.count <= Self.mostSearches else { return nil }
            state.searches += domains.count
            return domains
        }
        guard let domains else { return nil }
        defer { state.withLock { $0.searches -= domains.count } }
        return await search(request, domains)
    }

    /// What is known of a short name in one domain.
    private struct Finding: Sendable {
        /// The domain's place; behind the last: the name alone.
        let place: Int
        let answer: DNSAnswer?
    }

    /// Looks for a short name in domains, all at once. The first of them that has addresses counts, and at last the name alone.
    private func search(_ request: DNSRequest, _ domains: [DNSName]) async -> DNSAnswer? {
        await withTaskGroup(of: Finding.self) { group in
            defer { group.cancelAll() }
            var missing: Set<Int> = []
            for (place, domain) in domains.enumerated() {
                guard let longer = request.question.name.within(domain) else { continue }
                missing.insert(place)
                group.addTask {
                    Finding(place: place, answer: await self.lookUp(request.asking(longer))?.addresses(for: request))
                }
            }
            group.addTask { Finding(place: domains.count, answer: await self.lookUp(request)) }
            var found: [Int: DNSAnswer] = [:]
            for await finding in group {
                missing.remove(finding.place)
                found[finding.place] = finding.answer
                if let first = found.filter({ $0.value.kind == .records }).min(by: { $0.key < $1.key }),
                    missing.allSatisfy({ $0 > first.key })
                {
                    return first.value
                }
            }
            // The name is there, if only for another type.
            return found.values.first { $0.kind == .noData } ?? found[domains.count]
        }
    }

    private enum Turn {
        case known(DNSAnswer)
        case waiting(Promise<Shared>)
        case asking(ResolverRoutes.Route, isFirst: Bool)
    }

    /// The answer of the cache, of who asks the same, or of servers.
    private func lookUp(_ request: DNSRequest) async -> DNSAnswer? {
        let key = ResolverCache.Key(request)
        let turn = state.withLock { state -> Turn in
            if let known = state.cache.answer(to: key, at: Self.seconds) { return .known(known.answer) }
            let route = state.routes.route(request.question.name)
            guard let asked = state.asked[key] else {
                state.asked[key] = (route, [])
                return .asking(route, isFirst: true)
            }
            guard asked.route == route else { return .asking(route, isFirst: false) }
            let promise = Promise<Shared>()
            state.asked[key]?.waiting.append(promise)
            return .waiting(promise)
        }
        switch turn {
        case .known(let answer): return answer
        case .waiting(let promise):
            switch await promise.value(orIfCancelled: .answer(nil)) {
            case .answer(let answer): return answer
            case .abandoned: return await lookUp(request)
            }
        case .asking(let route, let isFirst):
            let (answer, isSure) = await ask(request, route.servers)
            let waiting = state.withLock { state -> [Promise<Shared>] in
                // Others may be asked for this name by now.
                if let answer, isSure, state.routes.route(request.question.name) == route {
                    state.cache.keep(answer, for: key, at: Self.seconds)
                }
                return isFirst ? state.asked.removeValue(forKey: key)?.waiting ?? [] : []
            }
            let isAbandoned = !isSure && Task.isCancelled
            for promise in waiting { promise.keep(isAbandoned ? .abandoned : .answer(answer)) }
            return answer
        }
    }

    private enum Event: Sendable {
        case outcome(FanIn.Outcome, from: Int)
        case timeOver
    }

    /// Asks servers at once. The answer may be kept when no other server could have known better.
    private func ask(_ request: DNSRequest, _ servers: [IPAddress]) async -> (DNSAnswer?, isSure: Bool) {
        if servers.isEmpty { return (nil, true) }
        let doubtful = state.withLock { state in
            Set(servers.indices.filter { state.health.isDoubtful(servers[$0]) })
        }
        return await withTaskGroup(of: Event.self) { group -> (DNSAnswer?, Bool) in
            defer { group.cancelAll() }
            for (place, server) in servers.enumerated() {
                group.addTask {
                    .outcome(await self.ask(request, server, isDoubtful: doubtful.contains(place)), from: place)
                }
            }
            group.addTask { await Self.timer(self.patience) }
            var fan = FanIn(servers.count, doubtful: doubtful)
            var hasGrace = false
            for await event in group {
                guard case .outcome(let outcome, let place) = event else { break }
                if fan.note(outcome, from: place) { break }
                if fan.preliminary != nil, !hasGrace {
                    hasGrace = true
                    group.addTask { await Self.timer(Self.grace) }
                }
            }
            // Those that were cut off failed for no fault of theirs.
            let isCut = Task.isCancelled && fan.preliminary?.kind != .records
            return (fan.preliminary, !isCut && !fan.isUnsure)
        }
    }

    private func ask(_ request: DNSRequest, _ server: IPAddress, isDoubtful: Bool) async -> FanIn.Outcome {
        do {
            let message = try await exchange.ask(request, server, tries: isDoubtful ? 1 : 2)
            state.withLock { $0.health.note(server, isAlive: true) }
            return DNSAnswer(message).map { .answer($0) } ?? .failure
        } catch UpstreamExchange.Failure.unasked {
            return .unasked
        } catch UpstreamExchange.Failure.cut(let time) where time < Self.grace * 0.9 {
            // It did not have its time.
            return .unasked
        } catch {
            state.withLock { $0.health.note(server, isAlive: false) }
            return .failure
        }
    }

    private static func timer(_ time: Duration) async -> Event {
        try? await Task.sleep(for: time)
        return .timeOver
    }

    /// Seconds of a clock that never goes back.
    private static var seconds: Int64 { SteadyClock.monotonic / 1_000_000_000 }
}

extension DNSRequest {
    /// Whether addresses of a short name are wanted, which is looked for in domains.
    fileprivate var isSearched: Bool {
        question.name.labelCount == 1 && !question.name.isLocalhost
            && [DNSNumber.a, DNSNumber.aaaa].contains(question.type)
    }
}

extension ResolverArrival {
    /// The longest reply.
    fileprivate func limit(_ request: DNSRequest) -> Int {
        isDatagram ? request.largestDatagram : Int(UInt16.max)
    }
}

/// Counters for Prometheus.
private struct ResolverMetrics: Sendable {
    private let queries = Counter(label: "nsm_agent_dns_queries_total")
    private let cached = Counter(label: "nsm_agent_dns_cached_total")
    private let failed = Counter(label: "nsm_agent_dns_failures_total")

    func note(_ admission: LocalResolver.Admission) {
        queries.increment()
        switch admission {
        case .known: cached.increment()
        case .waiting: break
        case .refused: failed.increment()
        }
    }

    func noteFailure() { failed.increment() }
}
