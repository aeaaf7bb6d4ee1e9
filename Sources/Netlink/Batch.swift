import CLinux
import CMnl

/// Requests on their way to the kernel, encoded as they are appended.
///
/// Used by one thread. Memory is taken with the first request, and ``removeAll()`` keeps it; there is one batch for each of
/// thousands of namespaces, so ``release()`` gives it back.
public final class Batch {
    private(set) var storage: UnsafeMutableRawPointer
    private var allocated = 0
    private let capacity: Int
    private(set) var used = 0
    /// Where each request starts; a request that could not be encoded has no bytes.
    private(set) var starts: [Int] = []
    /// Positions that leave in one system call with the one after them.
    private(set) var joined: Set<Int> = []

    /// Makes an empty batch.
    ///
    /// - Parameter capacity: bytes to begin with, at least 2048; it grows as needed. A request has 40 to 300 bytes.
    public init(capacity: Int = 4096) {
        self.capacity = max(capacity, 2048)
        storage = .allocate(byteCount: 0, alignment: 8)
    }

    deinit { storage.deallocate() }

    /// Number of requests.
    public var count: Int { starts.count }
    /// Whether there are no requests.
    public var isEmpty: Bool { starts.isEmpty }

    /// Encodes a request at the next position.
    ///
    /// A name or alias above 1 KiB or a route with more than 1024 next hops fits no message: its position stays
    /// empty and ``RouteSocket/transact(_:onReply:onError:)`` reports `EMSGSIZE` for it.
    public func append(_ request: Request) {
        if request.staysWithNext { joined.insert(starts.count) }
        starts.append(used)
        guard let needed = request.capacity else { return }
        if used + needed > allocated { grow(to: used + needed) }
        // Messages start at multiples of 4 (NLMSG_ALIGNTO); so does every attribute, hence every length.
        used += request.write(at: storage + used).count
    }

    /// Forgets the requests and keeps the memory.
    public func removeAll() {
        starts.removeAll(keepingCapacity: true)
        joined.removeAll(keepingCapacity: true)
        used = 0
    }

    /// Forgets the requests, and gives the memory back.
    public func release() {
        starts = []
        joined = []
        used = 0
        if allocated == 0 { return }
        storage.deallocate()
        storage = .allocate(byteCount: 0, alignment: 8)
        allocated = 0
    }

    /// Where the request at `position` ends.
    func end(of position: Int) -> Int { position + 1 < starts.count ? starts[position + 1] : used }

    private func grow(to size: Int) {
        allocated = max(size, allocated * 2, capacity)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: allocated, alignment: 8)
        larger.copyMemory(from: storage, byteCount: used)
        storage.deallocate()
        storage = larger
    }
}
