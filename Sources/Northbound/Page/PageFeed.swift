internal import Concurrency
internal import NIOCore
internal import Synchronization

/// What the page shows, and what changes of it. It asks the engine once for all who look, and for nothing while nobody does.
actor PageFeed {
    /// What it takes.
    struct Limits: Sendable {
        /// Streams at once, of all peers and of one. Root has some more.
        var streams = 32
        var peerStreams = 8
        /// Places that streams leave to those who only read, of all peers and of one: a page that can't follow reads.
        var readers = 16
        var peerReaders = 4
        /// Changes that wait for a slow reader before its stream ends.
        var backlog = 16
        /// How long a stream lasts. Browsers come back by themselves, and then must still have the right to look.
        var lifetime: Duration = .seconds(900)
        /// How long a stream may be silent.
        var silence: Duration = .seconds(15)
        /// The least time from one look at the engine to the next. It is longer where a look takes long.
        var rest: Duration = .milliseconds(500)
        /// How old what somebody gets at first may be. It is older while the engine rests from a look that took long.
        var age: Duration = .seconds(1)
    }

    /// All of a snapshot, in one piece of memory for all who get it.
    private struct Whole {
        private static let (head, tail) = ("event: state\ndata: ", "\n\n")
        /// As a stream begins with it.
        let event: ByteBuffer
        /// As JSON.
        let json: ByteBuffer

        init(_ text: String) {
            event = ByteBuffer(string: Self.head + text + Self.tail)
            json = event.getSlice(at: Self.head.utf8.count, length: text.utf8.count) ?? ByteBuffer(string: text)
        }
    }

    /// The looks at the engine take no more than this part of the time.
    private static let share = 10

    nonisolated let limits: Limits
    private let backend: any RESTBackend
    private let places: Places
    private var followers = Broadcast<ByteBuffer, Never, Void>()
    /// What was seen last, and what followers know. It is forgotten when it is too old and nobody is there.
    private var snapshot: PageSnapshot?
    /// All of the snapshot; nil: nobody has asked for it.
    private var whole: Whole?
    /// When the last look began, and when there may be another: however often everybody leaves and comes back.
    private var lastLook: ContinuousClock.Instant?
    private var nextLook = ContinuousClock.now
    /// A look under way. There is one at a time.
    private var looking: Task<Void, Never>?
    private var work: Task<Void, Never>?
    private var forgetting: Task<Void, Never>?

    init(_ backend: any RESTBackend, limits: Limits = .init()) {
        self.backend = backend
        self.limits = limits
        places = Places(limits)
    }

    /// All of it, as it is now or was a moment ago.
    ///
    /// - Throws: ``RESTError`` when too many read or follow.
    func state(_ peer: ConnectionCount.Group) async throws(RESTError) -> PageState {
        guard let place = places.take(peer, .reader, for: self) else {
            throw RESTError("too many read this already; ask again in some seconds", .serviceUnavailable)
        }
        // Turns of the engine keep what followers know as it is now.
        if work == nil { await refresh() }
        return PageState(json: try all().json, place: place)
    }

    /// Whether the engine is followed.
    var isAtWork: Bool { work != nil }

    /// Whether something is kept of what was seen.
    var isMindful: Bool { snapshot != nil }

    /// Events of a stream, beginning with all there is.
    ///
    /// - Throws: ``RESTError`` when there are too many streams.
    func follow(_ peer: ConnectionCount.Group) async throws(RESTError) -> PageStream {
        guard let place = places.take(peer, .stream, for: self) else {
            throw RESTError("too many pages follow already; ask for /ui/state now and then", .serviceUnavailable)
        }
        let isFirst = work == nil
        if isFirst { begin() }
        if isFirst || snapshot == nil { await refresh() }
        // It includes what others got in the meantime.
        let start = try all().event
        return PageStream(
            events: followers.follow(backlog: .all(limit: limits.backlog), from: [start]), place: place)
    }

    private func all() throws(RESTError) -> Whole {
        if let whole { return whole }
        guard let snapshot else { throw RESTError("the agent is stopping", .serviceUnavailable) }
        let whole = Whole(snapshot.text)
        self.whole = whole
        return whole
    }

    /// Releases the engine when no client follows any more, and what was seen when no client came back for it.
    fileprivate func leave() {
        if places.streams == 0 {
            work?.cancel()
            work = nil
            followers.finish()
        }
        guard places.isEmpty else { return }
        forgetting?.cancel()
        forgetting = Task {
            await looking?.value
            guard (try? await Task.sleep(until: freshUntil, clock: .continuous)) != nil, places.isEmpty else { return }
            (snapshot, whole) = (nil, nil)
        }
    }

    // MARK: - Work

    private func begin() {
        // From before the first look, so that nothing is missed between.
        let turns = backend.turns()
        let start = ContinuousClock.now
        work = Task {
            await refresh()
            if Task.isCancelled { return }
            await withDiscardingTaskGroup { group in
                group.addTask { await self.follow(turns, since: start) }
                group.addTask { await self.breakSilence() }
            }
        }
    }

    private func follow(_ turns: AsyncStream<Void>, since start: ContinuousClock.Instant) async {
        guard await rest() else { return }
        // The first of them may have got what was seen before.
        if lastLook.map({ $0 < start }) ?? true {
            await look()
            guard await rest() else { return }
        }
        for await _ in turns {
            await look()
            guard await rest() else { return }
        }
    }

    private func breakSilence() async {
        while (try? await Task.sleep(for: limits.silence)) != nil {
            // Mistakes in files are no turn of the engine.
            let report = await backend.agentReport()
            let change = snapshot?.note(report)
            if change != nil { whole = nil }
            followers.tell(change.map { Self.event("change", $0) } ?? ByteBuffer(string: ": \n\n"))
        }
    }

    private static func event(_ name: String, _ data: String) -> ByteBuffer {
        ByteBuffer(string: "event: \(name)\ndata: \(data)\n\n")
    }

    // MARK: - Looks at the engine

    /// Until when nobody needs another look.
    private var freshUntil: ContinuousClock.Instant { max(nextLook, lastLook.map { $0 + limits.age } ?? nextLook) }

    /// Waits until there may be another look. False: the work is over.
    private func rest() async -> Bool {
        (try? await Task.sleep(until: nextLook, clock: .continuous)) != nil && !Task.isCancelled
    }

    /// Looks, unless somebody did a moment ago.
    private func refresh() async {
        if let looking { return await looking.value }
        if snapshot == nil || ContinuousClock.now >= freshUntil { await look() }
    }

    private func look() async {
        // It may have missed what happened since it began.
        while let looking { await looking.value }
        let look = Task { await read() }
        looking = look
        await look.value
    }

    private func read() async {
        let start = ContinuousClock.now
        let new = await PageSnapshot(backend, after: snapshot)
        let end = ContinuousClock.now
        lastLook = start
        nextLook = end + max(limits.rest, start.duration(to: end) * Self.share)
        looking = nil
        if let old = snapshot {
            guard let change = new.change(since: old) else { return }
            followers.tell(Self.event("change", change))
        }
        (snapshot, whole) = (new, nil)
    }
}

/// What a follower gets.
struct PageStream: Sendable {
    let events: AsyncStream<ByteBuffer>
    /// Counts the client while it is held.
    let place: Places.Place
}

/// What a reader gets.
struct PageState: Sendable {
    let json: ByteBuffer
    /// Counts the client while it is held.
    let place: Places.Place
}

/// Counts streams and readers, each until the last reference to its place is gone, however it ended.
final class Places: Sendable {
    final class Place: Sendable {
        private let peer: ConnectionCount.Group
        private let use: Use
        private let places: Places
        private let feed: PageFeed

        fileprivate init(_ peer: ConnectionCount.Group, _ use: Use, _ places: Places, _ feed: PageFeed) {
            (self.peer, self.use, self.places, self.feed) = (peer, use, places, feed)
        }

        deinit {
            places.give(peer, use)
            Task { [feed] in await feed.leave() }
        }
    }

    /// What a place is for.
    fileprivate enum Use: Sendable { case stream, reader }

    private struct State {
        /// All of them, and those that are streams.
        var all: ConnectionCount
        var streams: ConnectionCount
        var taken = 0
        var streamsTaken = 0
    }

    private let state: Mutex<State>

    fileprivate init(_ limits: PageFeed.Limits) {
        var (all, streams) = (RESTSettings.Limits(), RESTSettings.Limits())
        (streams.connections, streams.peerConnections) = (limits.streams, limits.peerStreams)
        all.connections = limits.streams + limits.readers
        all.peerConnections = limits.peerStreams + limits.peerReaders
        state = Mutex(State(all: ConnectionCount(all), streams: ConnectionCount(streams)))
    }

    fileprivate var isEmpty: Bool { state.withLock { $0.taken == 0 } }

    fileprivate var streams: Int { state.withLock { $0.streamsTaken } }

    /// Nil: there are too many.
    fileprivate func take(_ peer: ConnectionCount.Group, _ use: Use, for feed: PageFeed) -> Place? {
        let hasRoom = state.withLock { state in
            guard state.all.begin(peer) else { return false }
            switch use {
            case .reader: break
            case .stream:
                guard state.streams.begin(peer) else {
                    state.all.end(peer)
                    return false
                }
                state.streamsTaken += 1
            }
            state.taken += 1
            return true
        }
        return hasRoom ? Place(peer, use, self, feed) : nil
    }

    private func give(_ peer: ConnectionCount.Group, _ use: Use) {
        state.withLock { state in
            state.all.end(peer)
            state.taken -= 1
            switch use {
            case .reader: break
            case .stream:
                state.streams.end(peer)
                state.streamsTaken -= 1
            }
        }
    }
}
