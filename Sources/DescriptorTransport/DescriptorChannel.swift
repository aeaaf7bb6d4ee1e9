internal import Synchronization

/// The descriptors beside the bytes of one Unix connection.
///
/// What is sent goes with the next bytes. What arrives is kept by inode until somebody asks for it, or until the connection
/// ends. A peer sends descriptors again with every message that names them: each arrival is for one who asks, so that
/// messages side by side with the same inode all get it, and a connection that lives for long collects nothing.
public final class DescriptorChannel: Sendable {
    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Result<Descriptor, DescriptorError>, Never>
    }
    private struct State {
        var outgoing: [Descriptor] = []
        var incoming: [Inode: (descriptor: Descriptor, arrivals: Int)] = [:]
        /// In the order of arrival, so that the oldest go when there are too many.
        var arrivals: [Inode] = []
        var waiters: [Inode: [Waiter]] = [:]
        var next: UInt64 = 0
        var isFinished = false
        var dropped = 0
    }
    private let state = Mutex(State())
    /// More unclaimed descriptors than this make the oldest go.
    static let capacity = 1024

    init() {}

    /// Sends a descriptor with the next bytes of the connection.
    ///
    /// - Throws: ``DescriptorError`` when the connection has ended.
    public func send(_ descriptor: Descriptor) throws(DescriptorError) {
        let isOpen = state.withLock { state in
            if !state.isFinished { state.outgoing.append(descriptor) }
            return !state.isFinished
        }
        if !isOpen { throw DescriptorError("the connection has ended") }
    }

    /// A descriptor by its inode, now or when it arrives.
    ///
    /// - Throws: ``DescriptorError`` when it does not arrive in time, or the connection ends.
    public func receive(_ inode: Inode, within limit: Duration) async throws(DescriptorError) -> Descriptor {
        if let descriptor = take(inode) { return descriptor }
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let timer = Task {
            try? await Task.sleep(for: limit)
            self.giveUp(
                id, inode,
                DescriptorError("no descriptor for \(inode.url) arrived within \(limit); the peer must send one"))
        }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Result<Descriptor, DescriptorError>? = state.withLock { state in
                    if let descriptor = Self.remove(inode, &state) { return .success(descriptor) }
                    if state.isFinished { return .failure(DescriptorError("the connection has ended")) }
                    state.waiters[inode, default: []].append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            giveUp(id, inode, DescriptorError("cancelled"))
        }
        timer.cancel()
        return try result.get()
    }

    /// How many descriptors arrived that nobody has asked for.
    public var unclaimed: Int { state.withLock { $0.incoming.count } }

    // MARK: - The relay's side

    func takeOutgoing() -> Descriptor? {
        state.withLock { $0.outgoing.isEmpty ? nil : $0.outgoing.removeFirst() }
    }

    func putBack(_ descriptor: Descriptor) { state.withLock { $0.outgoing.insert(descriptor, at: 0) } }

    func arrived(_ descriptor: Descriptor) {
        let waiter = state.withLock { state -> Waiter? in
            if state.isFinished { return nil }
            if var waiters = state.waiters[descriptor.inode] {
                let first = waiters.removeFirst()
                state.waiters[descriptor.inode] = waiters.isEmpty ? nil : waiters
                return first
            }
            // The same inode again: one descriptor is enough for all who will ask, and this one is closed.
            guard state.incoming[descriptor.inode] == nil else {
                state.incoming[descriptor.inode]?.arrivals += 1
                return nil
            }
            state.incoming[descriptor.inode] = (descriptor, 1)
            state.arrivals.append(descriptor.inode)
            if state.incoming.count > Self.capacity, let oldest = state.arrivals.first {
                state.arrivals.removeFirst()
                state.incoming[oldest] = nil
                state.dropped += 1
            }
            return nil
        }
        waiter?.continuation.resume(returning: .success(descriptor))
    }

    /// The connection has ended: closes what nobody asked for.
    func finish() {
        let waiters = state.withLock { state in
            state.isFinished = true
            state.outgoing = []
            state.incoming = [:]
            state.arrivals = []
            defer { state.waiters = [:] }
            return state.waiters.values.flatMap { $0 }
        }
        for waiter in waiters {
            waiter.continuation.resume(returning: .failure(DescriptorError("the connection has ended")))
        }
    }

    private func take(_ inode: Inode) -> Descriptor? { state.withLock { Self.remove(inode, &$0) } }

    private static func remove(_ inode: Inode, _ state: inout State) -> Descriptor? {
        guard let (descriptor, arrivals) = state.incoming[inode] else { return nil }
        if arrivals > 1 {
            state.incoming[inode]?.arrivals -= 1
            return descriptor
        }
        state.incoming[inode] = nil
        if let index = state.arrivals.firstIndex(of: inode) { state.arrivals.remove(at: index) }
        return descriptor
    }

    private func giveUp(_ id: UInt64, _ inode: Inode, _ error: DescriptorError) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters[inode]?.firstIndex(where: { $0.id == id }) else { return nil }
            let waiter = state.waiters[inode]?.remove(at: index)
            if state.waiters[inode]?.isEmpty == true { state.waiters[inode] = nil }
            return waiter
        }
        waiter?.continuation.resume(returning: .failure(error))
    }
}
