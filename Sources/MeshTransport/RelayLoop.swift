internal import CLinux
internal import Glibc
internal import Synchronization

/// The one thread of all relays and listeners of the process. It starts with the first one, and sleeps when nothing moves.
final class RelayLoop: Sendable {
    /// What the thread is asked to do.
    enum Command: Sendable {
        /// Takes ownership of both sockets.
        case relay(id: UInt64, outer: Int32, inner: Int32, DescriptorChannel)
        /// Takes connections from a listener. It is held until it is removed: the number of a socket that was closed before
        /// would be the next one's by then.
        case listen(id: UInt64, ServerListener, accepted: @Sendable (Int32) -> Void)
        /// Ends a relay, or stops watching a listener.
        case remove(id: UInt64)
    }

    private static let made = Mutex<RelayLoop?>(nil)

    /// The process's loop.
    ///
    /// - Throws: ``TransportError`` when the process has no descriptors or threads left; the next one who asks may be luckier.
    static func shared() throws(TransportError) -> RelayLoop {
        try made.withLock { loop throws(TransportError) in
            if let loop { return loop }
            let new = try RelayLoop()
            loop = new
            return new
        }
    }

    private let epoll: Int32
    private let waker: Int32
    private let commands = Mutex<[Command]>([])
    private let nextID = Atomic<UInt64>(1)

    /// How long a peer may take for the last words of a transport that has closed.
    private static let lastWait = Duration.seconds(2)
    /// How long a listener rests that found no descriptor left.
    private static let rest = Duration.milliseconds(100)

    private init() throws(TransportError) {
        epoll = cl_epoll_create()
        waker = cl_eventfd()
        guard epoll >= 0, waker >= 0, cl_epoll_add(epoll, waker, 0) == 0 else {
            if epoll >= 0 { close(epoll) }
            if waker >= 0 { close(waker) }
            throw TransportError.noDescriptors
        }
        var thread = pthread_t()
        let owned = Unmanaged.passRetained(self)
        guard pthread_create(&thread, nil, relayThread, owned.toOpaque()) == 0 else {
            owned.release()
            close(epoll)
            close(waker)
            throw TransportError.noThreads
        }
        pthread_detach(thread)
    }

    /// A number that no other relay or listener has.
    func newID() -> UInt64 { nextID.wrappingAdd(1, ordering: .relaxed).oldValue }

    func post(_ command: Command) {
        commands.withLock { $0.append(command) }
        var one: UInt64 = 1
        write(waker, &one, 8)
    }

    /// Begins to take connections from a listener, and holds it until it is removed.
    ///
    /// - Throws: ``TransportError`` when the kernel can't watch it.
    func listen(
        id: UInt64, _ listener: ServerListener, accepted: @escaping @Sendable (Int32) -> Void
    ) throws(TransportError) {
        post(.listen(id: id, listener, accepted: accepted))
        let result = cl_epoll_add(epoll, listener.socket, id << 1)
        guard result < 0 else { return }
        post(.remove(id: id))
        throw TransportError("the listener can't be watched: \(String(cString: strerror(-result)))")
    }

    // MARK: - The thread

    private struct Listener {
        let owner: ServerListener
        let accepted: @Sendable (Int32) -> Void
        var fd: Int32 { owner.socket }
    }

    /// What belongs to the thread.
    private struct Work {
        var relays: [UInt64: Relay] = [:]
        var listeners: [UInt64: Listener] = [:]
        /// Those with more to do at once.
        var busy: Set<UInt64> = []
        /// Relays whose transport has closed, until when they may live.
        var leaving: [UInt64: ContinuousClock.Instant] = [:]
        /// Listeners that found no descriptor left.
        var starved: Set<UInt64> = []
        var nextTry = ContinuousClock.now
    }

    fileprivate func run() {
        var work = Work()
        var events = [cl_event](repeating: cl_event(), count: 256)
        withUnsafeTemporaryAllocation(byteCount: Relay.chunk, alignment: 16) { scratch in
            while true {
                let isWaiting = !work.starved.isEmpty || !work.leaving.isEmpty
                let timeout: Int32 = !work.busy.isEmpty ? 0 : isWaiting ? 100 : -1
                let count = cl_epoll_wait(epoll, &events, Int32(events.count), timeout)
                var ready = work.busy
                work.busy = []
                for event in events.prefix(Int(max(count, 0))) { handle(event, &work, &ready) }
                for command in takeCommands() { handle(command, &work, &ready) }
                // All that can move get a short turn each, so that nobody waits for those who send without end.
                for id in ready { move(id, scratch, &work) }
                if isWaiting { lookAround(&work) }
            }
        }
    }

    private func takeCommands() -> [Command] {
        commands.withLock { commands in
            defer { commands = [] }
            return commands
        }
    }

    private func handle(_ event: cl_event, _ work: inout Work, _ ready: inout Set<UInt64>) {
        let id = event.token >> 1
        if event.token == 0 {
            drainWaker()
        } else if let relay = work.relays[id] {
            relay.edge(isOuter: event.token & 1 == 1, events: event.events)
            ready.insert(id)
        } else if work.listeners[id] != nil {
            accept(id, &work)
        }
    }

    private func handle(_ command: Command, _ work: inout Work, _ ready: inout Set<UInt64>) {
        switch command {
        case .relay(let id, let outer, let inner, let channel):
            let relay = Relay(epoll: epoll, id: id, outer: outer, inner: inner, channel: channel)
            guard relay.watch() else { return }
            work.relays[id] = relay
            ready.insert(id)
        case .listen(let id, let listener, let accepted):
            work.listeners[id] = Listener(owner: listener, accepted: accepted)
        case .remove(let id):
            work.relays[id] = nil
            guard let listener = work.listeners.removeValue(forKey: id) else { return }
            withExtendedLifetime(listener) { _ = cl_epoll_remove(epoll, listener.fd) }
        }
    }

    private func move(_ id: UInt64, _ scratch: UnsafeMutableRawBufferPointer, _ work: inout Work) {
        guard let relay = work.relays[id] else { return }
        switch relay.turn(scratch) {
        case .idle: break
        case .more: work.busy.insert(id)
        case .ended:
            work.relays[id] = nil
            work.leaving[id] = nil
            return
        }
        if relay.isLeaving, work.leaving[id] == nil { work.leaving[id] = .now + Self.lastWait }
    }

    /// Looks after what no event tells.
    private func lookAround(_ work: inout Work) {
        let now = ContinuousClock.now
        for (id, end) in work.leaving where end <= now {
            work.relays[id] = nil
            work.leaving[id] = nil
        }
        if !work.starved.isEmpty, work.nextTry <= now {
            for listener in work.starved { accept(listener, &work) }
        }
    }

    private func accept(_ id: UInt64, _ work: inout Work) {
        guard let listener = work.listeners[id] else {
            work.starved.remove(id)
            return
        }
        // A bounded number, so that a flood of connections leaves the others their turn.
        for _ in 0..<64 {
            let fd = cl_accept(listener.fd)
            if fd >= 0 {
                listener.accepted(fd)
                continue
            }
            switch -fd {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // Watched for levels, it would wake us at once again; the queue is left alone for a while.
                if work.starved.insert(id).inserted { _ = cl_epoll_remove(epoll, listener.fd) }
                work.nextTry = .now + Self.rest
                return
            default:
                watchAgain(id, listener, &work)
                return
            }
        }
        watchAgain(id, listener, &work)
    }

    private func watchAgain(_ id: UInt64, _ listener: Listener, _ work: inout Work) {
        guard work.starved.contains(id) else { return }
        if cl_epoll_add(epoll, listener.fd, id << 1) == 0 { work.starved.remove(id) }
    }

    private func drainWaker() {
        var value: UInt64 = 0
        _ = read(waker, &value, 8)
    }
}

/// A free function, as closures passed to C inherit checks of where they were written.
private func relayThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<RelayLoop>.fromOpaque(context).takeUnretainedValue().run() }
    return nil
}
