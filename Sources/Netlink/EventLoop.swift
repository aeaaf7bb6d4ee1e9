import CLinux
import Glibc

/// Waits for descriptors to become readable: epoll(7), level-triggered.
///
/// Used by one thread, except for its ``Waker``.
public final class EventLoop {
    /// Ends a wait from any thread.
    public final class Waker: Sendable {
        fileprivate let event: Descriptor

        fileprivate init() throws(KernelError) { event = try Descriptor(cl_eventfd()) }

        /// Makes the wait under way, or else the next one, return. Several calls may be seen as one.
        public func wakeUp() {
            var one: UInt64 = 1
            // EAGAIN: the counter is full, so the loop is awake already.
            _ = write(event.rawValue, &one, MemoryLayout<UInt64>.size)
        }

        fileprivate func reset() {
            var count: UInt64 = 0
            _ = read(event.rawValue, &count, MemoryLayout<UInt64>.size)
        }
    }

    /// The token that ``add(_:token:)`` refuses, as the waker has it.
    public static let reservedToken = UInt64.max
    /// Tokens returned by one wait.
    private static let capacity = 256

    /// Wakes this loop up; may be passed to any thread and may outlive the loop.
    public let waker: Waker
    private let epoll: Descriptor
    private let events: UnsafeMutableBufferPointer<cl_event>

    /// Makes a loop that waits for its waker only.
    ///
    /// - Throws: `EMFILE` and others of epoll_create(2) and eventfd(2).
    public init() throws(KernelError) {
        let epoll = try Descriptor(cl_epoll_create())
        let waker = try Waker()
        let result = cl_epoll_add(epoll.rawValue, waker.event.rawValue, Self.reservedToken)
        guard result == 0 else { throw KernelError(errno: result) }
        self.epoll = epoll
        self.waker = waker
        events = .allocate(capacity: Self.capacity)
    }

    deinit { events.deallocate() }

    /// Watches a descriptor.
    ///
    /// - Parameter token: comes back from ``wait(timeoutMilliseconds:)``; any number but ``reservedToken``.
    /// - Throws: `EEXIST` when it is watched already; `EINVAL` for the reserved token.
    public func add(_ descriptor: Int32, token: UInt64) throws(KernelError) {
        guard token != Self.reservedToken else { throw KernelError(code: EINVAL, message: "this token is reserved") }
        let result = cl_epoll_add(epoll.rawValue, descriptor, token)
        guard result == 0 else { throw KernelError(errno: result) }
    }

    /// Watches a descriptor for priority data only, which is how files of /proc tell that they changed.
    ///
    /// - Parameter token: as with ``add(_:token:)``.
    /// - Throws: `EEXIST` when it is watched already; `EINVAL` for the reserved token.
    public func addPriority(_ descriptor: Int32, token: UInt64) throws(KernelError) {
        guard token != Self.reservedToken else { throw KernelError(code: EINVAL, message: "this token is reserved") }
        let result = cl_epoll_add_priority(epoll.rawValue, descriptor, token)
        guard result == 0 else { throw KernelError(errno: result) }
    }

    /// Stops watching a descriptor. Call it before the descriptor is closed.
    ///
    /// - Throws: `ENOENT` when it is not watched.
    public func remove(_ descriptor: Int32) throws(KernelError) {
        let result = cl_epoll_remove(epoll.rawValue, descriptor)
        guard result == 0 else { throw KernelError(errno: result) }
    }

    /// Waits until a descriptor is readable, the waker was used, a signal came or the time is over.
    ///
    /// - Parameter timeoutMilliseconds: -1: for ever; 0: not at all.
    /// - Returns: the tokens of readable descriptors, at most 256; the others come with the next call.
    public func wait(timeoutMilliseconds: Int32) throws(KernelError) -> [UInt64] {
        let count = cl_epoll_wait(epoll.rawValue, events.baseAddress, Int32(Self.capacity), timeoutMilliseconds)
        guard count >= 0 else { throw KernelError(errno: count) }
        var tokens: [UInt64] = []
        tokens.reserveCapacity(Int(count))
        for event in events[..<Int(count)] {
            if event.token == Self.reservedToken { waker.reset() } else { tokens.append(event.token) }
        }
        return tokens
    }

    /// ``Waker/wakeUp()`` of this loop's waker.
    public func wakeUp() { waker.wakeUp() }
}
