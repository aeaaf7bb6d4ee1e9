internal import FoundationEssentials
internal import GRPCCore
internal import Synchronization

/// What a followed range holds, or what changed in it.
public enum EtcdUpdate: Sendable {
    /// All that it holds. Whatever was known before counts for nothing.
    case state(EtcdSnapshot)
    /// What happened since, in this order, up to a revision. Empty: nothing, but the revision has grown.
    case events([EtcdEvent], revision: Int64)
}

extension EtcdConnection {
    /// Reports each event in a range from a revision on, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - revision: The first one that is reported.
    ///   - body: Gets the events that etcd sends together, and the revision up to which all have been reported.
    /// - Throws: ``EtcdError``, such as with ``EtcdError/Code/compacted(_:)`` when etcd has forgotten that revision, and what
    ///   `body` throws.
    public func watch(
        _ range: EtcdRange, from revision: Int64, body: @escaping @Sendable ([EtcdEvent], Int64) async throws -> Void
    ) async throws {
        var create = Etcdserverpb_WatchCreateRequest()
        create.key = Data(range.key)
        create.rangeEnd = Data(range.end)
        create.startRevision = revision
        create.progressNotify = true
        create.fragment = true
        var request = Etcdserverpb_WatchRequest()
        request.createRequest = create
        let watch = Etcdserverpb_Watch.Client(wrapping: client)
        // The stream of requests must stay open: etcd ends the watch with it.
        let (open, close) = AsyncStream<Void>.makeStream()
        defer { close.finish() }
        do {
            try await watch.watch(
                metadata: streamMetadata(), options: Self.options(configuration, nil),
                requestProducer: { [request] writer in
                    try await writer.write(request)
                    for await _ in open {}
                },
                onResponse: { response in
                    defer { close.finish() }
                    var parts = WatchParts(limit: configuration.messageLimit * 16, endpoint: endpoint)
                    for try await message in response.messages {
                        try requireCluster(message.header)
                        if let events = try parts.take(message) { try await body(events, message.header.revision) }
                    }
                })
        } catch let error as RPCError {
            try Task.checkCancellation()
            throw EtcdError(error, endpoint)
        }
        try Task.checkCancellation()
        throw EtcdError(.unreachable, "the member ended the watch", endpoint)
    }

    /// Tells what a range holds and then each change, until the task is cancelled. What etcd has forgotten meanwhile is made up
    /// for by telling again what the range holds.
    ///
    /// What happens while `body` is busy comes together in its next call.
    ///
    /// - Throws: ``EtcdError``, and what `body` throws.
    public func follow(
        _ range: EtcdRange, body: @escaping @Sendable (EtcdUpdate) async throws -> Void
    ) async throws {
        while true {
            let snapshot = try await self.range(range)
            try await body(.state(snapshot))
            do {
                try await followEvents(range, from: snapshot.revision + 1, body)
            } catch let error as EtcdError {
                guard case .compacted = error.code else { throw error }
            }
        }
    }

    private func followEvents(
        _ range: EtcdRange, from revision: Int64, _ body: @escaping @Sendable (EtcdUpdate) async throws -> Void
    ) async throws {
        let buffer = EventBuffer()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await watch(range, from: revision) { events, revision in try await buffer.add(events, revision) }
            }
            group.addTask {
                for await _ in buffer.filled {
                    guard let (events, revision) = buffer.take() else { continue }
                    try await body(.events(events, revision: revision))
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

/// Puts the parts together in which etcd sends what does not fit in one message.
struct WatchParts {
    let limit: Int
    let endpoint: EtcdEndpoint
    private var events: [EtcdEvent] = []
    private var size = 0

    init(limit: Int, endpoint: EtcdEndpoint) {
        self.limit = limit
        self.endpoint = endpoint
    }

    /// What the message tells, together with those before it; nil: more parts follow, or it tells nothing.
    mutating func take(_ message: Etcdserverpb_WatchResponse) throws(EtcdError) -> [EtcdEvent]? {
        if message.canceled {
            if message.compactRevision > 0 {
                throw EtcdError(.compacted(message.compactRevision), "what changed has been compacted away", endpoint)
            }
            let reason = message.cancelReason.isEmpty ? "no reason given" : message.cancelReason
            if reason.contains("compacted") { throw EtcdError(.compacted(0), reason, endpoint) }
            throw EtcdError(
                reason.contains("permission") ? .forbidden : .unreachable, "the watch was ended: \(reason)", endpoint)
        }
        if message.created { return nil }
        events += message.events.map(EtcdEvent.init)
        for event in message.events { size += event.kv.value.count + event.kv.key.count }
        guard size <= limit else { throw EtcdError(.tooLarge, "more than \(limit) bytes in one revision", endpoint) }
        if message.fragment { return nil }
        defer { (events, size) = ([], 0) }
        return events
    }
}

/// Holds events for a reader that is busy.
final class EventBuffer: Sendable {
    private struct State {
        var events: [EtcdEvent] = []
        var bytes = 0
        var revision: Int64?

        /// Whether the watch has to wait, and with it etcd.
        var isFull: Bool { events.count >= 50_000 || bytes >= 64 << 20 }
    }
    private let state = Mutex(State())
    /// Yields once something is there.
    let filled: AsyncStream<Void>
    private let fill: AsyncStream<Void>.Continuation
    private let emptied: AsyncStream<Void>
    private let empty: AsyncStream<Void>.Continuation

    init() {
        (filled, fill) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (emptied, empty) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Adds events, once there is room.
    func add(_ events: [EtcdEvent], _ revision: Int64) async throws {
        let isFull = state.withLock { state in
            state.events += events
            state.bytes += events.reduce(0) { $0 + $1.byteCount }
            state.revision = revision
            return state.isFull
        }
        fill.yield()
        if !isFull { return }
        for await _ in emptied where state.withLock({ !$0.isFull }) { return }
        try Task.checkCancellation()
    }

    /// All that is there; nil: nothing.
    func take() -> ([EtcdEvent], Int64)? {
        let taken = state.withLock { state in
            defer { state = State() }
            return state.revision.map { (state.events, $0) }
        }
        empty.yield()
        return taken
    }
}
