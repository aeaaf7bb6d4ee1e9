internal import CLinux
internal import MeshTransport
internal import Netlink
internal import Synchronization

/// The cookies of network namespaces that are held open here.
///
/// To ask the kernel for one takes a thread that enters the namespace, and each request would do so twice. The number of a
/// namespace's file means that namespace for as long as it is there, and is given again afterwards. So a cookie is remembered
/// only for as long as an object of ours that keeps its namespace there is alive; of itself this keeps none there.
final class NamespaceCookies: Sendable {
    fileprivate struct Known {
        let cookie: UInt64
        weak var space: NetworkNamespace?
        weak var descriptor: Descriptor?

        var isHeld: Bool { space != nil || descriptor != nil }
    }
    fileprivate struct State {
        var known: [NetworkNamespace.Identity: Known] = [:]
        /// With more than this, those are forgotten that nobody holds.
        var limit = 64
        var asked = 0
    }
    private let state = Mutex(State())

    /// How many are remembered.
    var count: Int { state.withLock { $0.known.count } }
    /// How often the kernel was asked.
    var asked: Int { state.withLock { $0.asked } }

    /// That of a namespace.
    ///
    /// - Parameter descriptor: Another one of the same namespace, which may live longer.
    /// - Throws: the kernel's error.
    func cookie(of space: NetworkNamespace, _ descriptor: Descriptor) throws(KernelError) -> UInt64 {
        if let known = state.withLock({ $0.cookie(of: space, descriptor) }) { return known }
        var cookie: UInt64 = 0
        let result = cl_namespace_cookie(space.descriptor, &cookie)
        guard result == 0 else { throw KernelError(errno: result) }
        state.withLock { state in
            state.asked += 1
            state.note(cookie, of: space, descriptor)
        }
        return cookie
    }
}

extension NamespaceCookies.State {
    fileprivate mutating func cookie(of space: NetworkNamespace, _ descriptor: Descriptor) -> UInt64? {
        // Both are open now, so the same number is the same namespace.
        guard let known = known[space.identity], known.isHeld else { return nil }
        note(known.cookie, of: space, descriptor)
        return known.cookie
    }

    fileprivate mutating func note(_ cookie: UInt64, of space: NetworkNamespace, _ descriptor: Descriptor) {
        // That of a connection is the first object of its namespace, and the descriptor that is kept is the latest one.
        let holder = known[space.identity]?.space ?? space
        known[space.identity] = .init(cookie: cookie, space: holder, descriptor: descriptor)
        if known.count <= limit { return }
        known = known.filter(\.value.isHeld)
        limit = max(64, 2 * known.count)
    }
}
