internal import Concurrency
internal import Synchronization

/// The descriptors beside the bytes of one Unix connection.
///
/// What is sent goes with the next bytes. What arrives is kept by inode until somebody asks for it, for a minute, or until
/// the connection ends. A peer sends descriptors again with every message that names them: each arrival is for one who asks,
/// so that messages side by side with the same inode all get it, and a connection that lives for long collects nothing.
///
/// A peer that sends unrequested descriptors, or reads none of those that it is sent, costs a bounded number of them.
package final class DescriptorChannel: Sendable {
    private typealias Answer = Result<Descriptor, DescriptorError>
    private struct Arrival {
        let descriptor: Descriptor
        /// The peer's right to leave it here; nil where nothing is counted.
        let claim: DescriptorClaim?
        var count = 1
        var last: ContinuousClock.Instant
    }
    private struct Departure {
        let descriptor: Descriptor
        let claim: DescriptorClaim?
    }
    private struct State {
        var outgoing: [Departure] = []
        /// How far those in `outgoing` have been sent.
        var sent = 0
        var incoming: [Inode: Arrival] = [:]
        /// In the order of arrival, so that the oldest go when there are too many.
        var arrivals: [Inode] = []
        var waiters: [Inode: [Promise<Answer>]] = [:]
        var isFinished = false
        var isSweeping = false
    }
    private let state = Mutex(State())
    /// Whether anybody here asks for descriptors.
    let isTaking: Bool
    private let longestWait: Duration
    private let account: PeerAccount?
    /// More unclaimed descriptors than this make the oldest go.
    static let capacity = 256
    /// More that wait to be sent than this are refused.
    static let longestQueue = 4096

    /// - Parameters:
    ///   - isTaking: Whether anybody here will ask for descriptors. Otherwise they are closed as they arrive.
    ///   - longestWait: How long an unclaimed descriptor is kept.
    ///   - account: Counts those of all connections of the peer.
    init(isTaking: Bool = true, longestWait: Duration = .seconds(60), account: PeerAccount? = nil) {
        self.isTaking = isTaking
        self.longestWait = longestWait
        self.account = account
    }

    /// Sends a descriptor with the next bytes of the connection.
    ///
    /// - Throws: ``DescriptorError`` when the connection has ended, or the peer does not take what it is sent.
    package func send(_ descriptor: Descriptor) throws(DescriptorError) {
        let problem = state.withLock { state -> String? in
            if state.isFinished { return "the connection has ended" }
            let waiting = state.outgoing[state.sent...]
            if waiting.count >= Self.longestQueue { return "\(waiting.count) descriptors wait for the peer to read" }
            // Many messages side by side name the same file; one descriptor held for all of them is enough.
            let same = waiting.last {
                $0.descriptor.inode == descriptor.inode && $0.descriptor.flags == descriptor.flags
            }
            if let same {
                state.outgoing.append(same)
                return nil
            }
            let claim = account?.claimDescriptor(isSent: true)
            if account != nil, claim == nil { return "too many descriptors wait for this peer to read" }
            state.outgoing.append(Departure(descriptor: descriptor, claim: claim))
            return nil
        }
        if let problem { throw DescriptorError(problem) }
    }

    /// A descriptor by its inode, now or when it arrives.
    ///
    /// - Throws: ``DescriptorError`` when it does not arrive in time, the connection ends, or the task is cancelled.
    package func receive(_ inode: Inode, within limit: Duration) async throws(DescriptorError) -> Descriptor {
        let answer = Promise<Answer>()
        state.withLock { state in
            if let descriptor = Self.remove(inode, &state) {
                answer.keep(.success(descriptor))
            } else if state.isFinished {
                answer.keep(.failure(DescriptorError("the connection has ended")))
            } else {
                state.waiters[inode, default: []].append(answer)
            }
        }
        if let answer = answer.present { return try answer.get() }
        let timer = Task {
            guard (try? await Task.sleep(for: limit)) != nil else { return }
            answer.keep(
                .failure(
                    DescriptorError("no descriptor for \(inode.url) arrived within \(limit); the peer must send one")))
        }
        defer { timer.cancel() }
        let result = await answer.value(orIfCancelled: .failure(DescriptorError("cancelled")))
        if case .failure = result { forget(answer, inode) }
        return try result.get()
    }

    /// Gives up one arrival of a descriptor, if there is one.
    func drop(_ inode: Inode) { _ = state.withLock { state in Self.remove(inode, &state) } }

    private func forget(_ answer: Promise<Answer>, _ inode: Inode) {
        state.withLock { state in
            state.waiters[inode]?.removeAll { $0 === answer }
            if state.waiters[inode]?.isEmpty == true { state.waiters[inode] = nil }
        }
    }

    /// How many descriptors arrived that no caller has requested.
    package var unclaimed: Int { state.withLock { $0.incoming.count } }

    // MARK: - The relay's side

    private func takeDeparture() -> Departure? {
        state.withLock { state in
            guard state.sent < state.outgoing.count else { return nil }
            defer {
                state.sent += 1
                // Not one by one, as each removal moves all that follow.
                if state.sent == state.outgoing.count || state.sent >= 64 {
                    state.outgoing.removeFirst(state.sent)
                    state.sent = 0
                }
            }
            return state.outgoing[state.sent]
        }
    }

    func takeOutgoing() -> Descriptor? { takeDeparture()?.descriptor }

    func putBack(_ descriptor: Descriptor) {
        // It keeps its place, and has no claim for the moment: there was room for it before.
        state.withLock { state in
            if state.isFinished { return }
            state.outgoing.insert(Departure(descriptor: descriptor, claim: nil), at: state.sent)
        }
    }

    func arrived(_ descriptor: Descriptor) {
        guard isTaking else { return }
        let sweeps = state.withLock { state in
            if state.isFinished { return false }
            let inode = descriptor.inode
            // Who gave up meanwhile does not take it from those behind.
            while let first = state.waiters[inode]?.first {
                state.waiters[inode]?.removeFirst()
                if state.waiters[inode]?.isEmpty == true { state.waiters[inode] = nil }
                if first.keep(.success(descriptor)) { return false }
            }
            // The same inode again: one descriptor is enough for all who will ask, and this one is closed.
            if state.incoming[inode] != nil {
                state.incoming[inode]?.count += 1
                state.incoming[inode]?.last = .now
                return false
            }
            switch room(&state) {
            case .none: return false
            case .uncounted: state.incoming[inode] = Arrival(descriptor: descriptor, claim: nil, last: .now)
            case .counted(let claim):
                state.incoming[inode] = Arrival(descriptor: descriptor, claim: claim, last: .now)
            }
            state.arrivals.append(inode)
            defer { state.isSweeping = true }
            return !state.isSweeping
        }
        if sweeps { sweepLater() }
    }

    /// Whether another one may be left here.
    private enum Room {
        case counted(DescriptorClaim)
        case uncounted
        case none
    }

    /// Makes room for another one, if need be in place of the oldest.
    private func room(_ state: inout State) -> Room {
        if state.incoming.count >= Self.capacity { state.incoming[state.arrivals.removeFirst()] = nil }
        guard let account else { return .uncounted }
        if let claim = account.claimDescriptor() { return .counted(claim) }
        guard !state.arrivals.isEmpty else { return .none }
        state.incoming[state.arrivals.removeFirst()] = nil
        return account.claimDescriptor().map { .counted($0) } ?? .none
    }

    /// Looks after what nobody asks for, as long as there is some: a namespace that is held outlives its pod.
    private func sweepLater() {
        Task { [weak self, longestWait] in
            repeat { try? await Task.sleep(for: longestWait, tolerance: longestWait / 4) } while self?.sweep() == true
        }
    }

    private func sweep() -> Bool {
        state.withLock { state in
            let limit = ContinuousClock.now - longestWait
            let old = state.incoming.filter { $0.value.last <= limit }
            for inode in old.keys { state.incoming[inode] = nil }
            state.arrivals.removeAll { old[$0] != nil }
            state.isSweeping = !state.incoming.isEmpty
            return state.isSweeping
        }
    }

    /// The connection has ended: closes the unclaimed descriptors.
    func finish() {
        let waiters = state.withLock { state in
            state.isFinished = true
            state.outgoing = []
            state.sent = 0
            state.incoming = [:]
            state.arrivals = []
            defer { state.waiters = [:] }
            return state.waiters.values.flatMap { $0 }
        }
        for waiter in waiters { waiter.keep(.failure(DescriptorError("the connection has ended"))) }
    }

    private static func remove(_ inode: Inode, _ state: inout State) -> Descriptor? {
        guard let arrival = state.incoming[inode] else { return nil }
        if arrival.count > 1 {
            state.incoming[inode]?.count -= 1
            return arrival.descriptor
        }
        state.incoming[inode] = nil
        if let index = state.arrivals.firstIndex(of: inode) { state.arrivals.remove(at: index) }
        return arrival.descriptor
    }
}
