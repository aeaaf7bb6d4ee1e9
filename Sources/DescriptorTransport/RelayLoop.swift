internal import CLinux
internal import Glibc
internal import Synchronization

/// The one thread of all relays and listeners of the process. It starts with the first one, and sleeps when nothing moves.
final class RelayLoop: Sendable {
    /// What the thread is asked to do.
    enum Command: Sendable {
        /// Takes ownership of both sockets.
        case relay(id: UInt64, outer: Int32, inner: Int32, DescriptorChannel)
        /// Watches a listening socket, which stays its owner's.
        case listen(id: UInt64, listener: Int32, accepted: @Sendable (Int32) -> Void)
        /// Ends a relay, or stops watching a listener.
        case remove(id: UInt64)
    }

    /// The process's loop; nil when the process has no descriptors or threads left.
    static let shared: RelayLoop? = RelayLoop()

    private let epoll: Int32
    private let waker: Int32
    private let commands = Mutex<[Command]>([])
    private let nextID = Atomic<UInt64>(1)

    private init?() {
        epoll = cl_epoll_create()
        waker = cl_eventfd()
        guard epoll >= 0, waker >= 0, cl_epoll_add(epoll, waker, 0) == 0 else { return nil }
        var thread = pthread_t()
        guard pthread_create(&thread, nil, relayThread, Unmanaged.passRetained(self).toOpaque()) == 0 else {
            return nil
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

    // MARK: - The thread

    private struct Listener {
        let fd: Int32
        let accepted: @Sendable (Int32) -> Void
    }

    fileprivate func run() {
        var relays: [UInt64: Relay] = [:]
        var listeners: [UInt64: Listener] = [:]
        /// Those with more to do at once.
        var busy: Set<UInt64> = []
        /// Listeners that found no descriptor left; they are tried again after a rest.
        var starved: Set<UInt64> = []
        var events = [cl_event](repeating: cl_event(), count: 256)
        while true {
            let timeout: Int32 = !busy.isEmpty ? 0 : starved.isEmpty ? -1 : 100
            let count = cl_epoll_wait(epoll, &events, Int32(events.count), timeout)
            var ready = busy
            busy = []
            for listener in starved { accept(listener, listeners, &starved) }
            for event in events.prefix(Int(max(count, 0))) {
                let id = event.token >> 1
                if event.token == 0 {
                    drainWaker()
                } else if let relay = relays[id] {
                    relay.edge(isOuter: event.token & 1 == 1, events: event.events)
                    ready.insert(id)
                } else if listeners[id] != nil {
                    accept(id, listeners, &starved)
                }
            }
            for command in commands.withLock({ commands in
                defer { commands = [] }
                return commands
            }) {
                handle(command, &relays, &listeners, &ready)
            }
            for id in ready {
                guard let relay = relays[id] else { continue }
                switch relay.turn() {
                case .idle: break
                case .more: busy.insert(id)
                case .ended: relays[id] = nil
                }
            }
        }
    }

    private func handle(
        _ command: Command, _ relays: inout [UInt64: Relay], _ listeners: inout [UInt64: Listener],
        _ ready: inout Set<UInt64>
    ) {
        switch command {
        case .relay(let id, let outer, let inner, let channel):
            let relay = Relay(epoll: epoll, id: id, outer: outer, inner: inner, channel: channel)
            guard relay.watch() else { return }
            relays[id] = relay
            ready.insert(id)
        case .listen(let id, let fd, let accepted):
            listeners[id] = Listener(fd: fd, accepted: accepted)
            _ = cl_epoll_add(epoll, fd, id << 1)
        case .remove(let id):
            relays[id] = nil
            if let listener = listeners.removeValue(forKey: id) { _ = cl_epoll_remove(epoll, listener.fd) }
        }
    }

    private func accept(_ id: UInt64, _ listeners: [UInt64: Listener], _ starved: inout Set<UInt64>) {
        guard let listener = listeners[id] else {
            starved.remove(id)
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
                if starved.insert(id).inserted { _ = cl_epoll_remove(epoll, listener.fd) }
                return
            default:
                if starved.remove(id) != nil { _ = cl_epoll_add(epoll, listener.fd, id << 1) }
                return
            }
        }
        if starved.remove(id) != nil { _ = cl_epoll_add(epoll, listener.fd, id << 1) }
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
