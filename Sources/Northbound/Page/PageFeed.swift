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
        /// Changes that wait for a slow reader before its stream ends.
        var backlog = 16
        /// How long a stream lasts. Browsers come back by themselves, and then must still have the right to look.
        var lifetime: Duration = .seconds(900)
        /// How long a stream may be silent.
        var silence: Duration = .seconds(15)
        /// The least time from one look at the engine to the next. It is longer where a look takes long.
        var rest: Duration = .milliseconds(500)
    }

    /// The looks at the engine take no more than this part of the time.
    private static let share = 10

    nonisolated let limits: Limits
    private let backend: any RESTBackend
    private let places: Places
    private let recent: Recent<PageSnapshot>
    private var followers = Broadcast<ByteBuffer, Never, Void>()
    /// What followers know; nil: nobody follows, or it is made for the first of them.
    private var snapshot: PageSnapshot?
    private var first: Task<Void, Never>?
    private var work: Task<Void, Never>?

    init(_ backend: any RESTBackend, limits: Limits = .init()) {
        self.backend = backend
        self.limits = limits
        var most = RESTSettings.Limits()
        (most.connections, most.peerConnections) = (limits.streams, limits.peerStreams)
        places = Places(ConnectionCount(most))
        recent = Recent { await PageSnapshot(backend) }
    }

    /// All of it, as it is now or was a second ago.
    func state() async -> String {
        if let snapshot { return snapshot.text }
        return await recent.value().text
    }

    /// Whether the engine is followed.
    var isAtWork: Bool { work != nil }

    /// Events of a stream, beginning with all there is.
    ///
    /// - Throws: ``RESTError`` when there are too many streams.
    func follow(_ peer: ConnectionCount.Group) async throws(RESTError) -> PageStream {
        guard let place = places.take(peer, for: self) else {
            throw RESTError("too many pages follow already; ask for /ui/state now and then", .serviceUnavailable)
        }
        if work == nil { begin() }
        await first?.value
        // What others were told in the meantime is in it.
        guard let snapshot else { throw RESTError("the agent is stopping", .serviceUnavailable) }
        let start = Self.event("state", snapshot.text)
        return PageStream(
            events: followers.follow(backlog: .all(limit: limits.backlog), from: [start]), place: place)
    }

    /// Lets go of the engine when nobody follows any more.
    fileprivate func leave() {
        guard places.isEmpty else { return }
        work?.cancel()
        first?.cancel()
        (work, first, snapshot) = (nil, nil, nil)
        followers.finish()
    }

    // MARK: - Work

    private func begin() {
        // From before the first look, so that nothing is missed between.
        let turns = backend.turns()
        // Who waits for it finds the snapshot there.
        let first = Task {
            let start = await PageSnapshot(backend)
            if !Task.isCancelled { snapshot = start }
        }
        self.first = first
        work = Task {
            await first.value
            if Task.isCancelled { return }
            await withDiscardingTaskGroup { group in
                group.addTask { await self.follow(turns) }
                group.addTask { await self.breakSilence() }
            }
        }
    }

    private func follow(_ turns: AsyncStream<Void>) async {
        for await _ in turns {
            let start = ContinuousClock.now
            await look()
            let time = start.duration(to: .now)
            let rest = max(limits.rest, time * Self.share)
            guard (try? await Task.sleep(for: rest)) != nil else { return }
        }
    }

    private func breakSilence() async {
        while (try? await Task.sleep(for: limits.silence)) != nil {
            // Mistakes in files are no turn of the engine.
            let report = await backend.agentReport()
            let change = snapshot?.note(report)
            followers.tell(change.map { Self.event("change", $0) } ?? ByteBuffer(string: ": \n\n"))
        }
    }

    private func look() async {
        let new = await PageSnapshot(backend, after: snapshot)
        guard !Task.isCancelled, let old = snapshot else { return }
        snapshot = new
        if let change = new.change(since: old) { followers.tell(Self.event("change", change)) }
    }

    private static func event(_ name: String, _ data: String) -> ByteBuffer {
        ByteBuffer(string: "event: \(name)\ndata: \(data)\n\n")
    }
}

/// What one who follows gets.
struct PageStream: Sendable {
    let events: AsyncStream<ByteBuffer>
    /// Whoever holds it is counted.
    let place: Places.Place
}

/// Counts streams, each until the last reference to its place is gone, however it ended.
final class Places: Sendable {
    final class Place: Sendable {
        private let peer: ConnectionCount.Group
        private let places: Places
        private let feed: PageFeed

        fileprivate init(_ peer: ConnectionCount.Group, _ places: Places, _ feed: PageFeed) {
            (self.peer, self.places, self.feed) = (peer, places, feed)
        }

        deinit {
            places.give(peer)
            Task { [feed] in await feed.leave() }
        }
    }

    private struct State {
        var count: ConnectionCount
        var taken = 0
    }

    private let state: Mutex<State>

    fileprivate init(_ count: ConnectionCount) { state = Mutex(State(count: count)) }

    fileprivate var isEmpty: Bool { state.withLock { $0.taken == 0 } }

    /// Nil: there are too many.
    fileprivate func take(_ peer: ConnectionCount.Group, for feed: PageFeed) -> Place? {
        let hasRoom = state.withLock { state in
            guard state.count.begin(peer) else { return false }
            state.taken += 1
            return true
        }
        return hasRoom ? Place(peer, self, feed) : nil
    }

    private func give(_ peer: ConnectionCount.Group) {
        state.withLock { state in
            state.count.end(peer)
            state.taken -= 1
        }
    }
}
