internal import CLinux
internal import Glibc
internal import Logging
internal import Synchronization

/// Whose connections count together.
enum PeerKey: Hashable, Sendable, CustomStringConvertible {
    /// The host's root.
    case root
    /// A user, wherever its sockets were made, as every user can make network namespaces without end.
    case user(UInt32)
    /// User 0 of a network namespace, as every pod has one: the namespace's cookie, or else its inode; 0 when the kernel tells neither.
    case rootOf(namespace: UInt64)
    case address(String)
    /// The kernel tells nothing.
    case unknown

    init(_ credentials: PeerCredentials?, _ address: String?) {
        if credentials?.isHostRoot == true {
            self = .root
        } else if let credentials {
            let namespace = credentials.namespace
            self =
                credentials.uid == 0
                ? .rootOf(namespace: namespace?.cookie ?? namespace?.inode?.number ?? 0) : .user(credentials.uid)
        } else {
            self = address.map { .address(PeerNetwork.name(of: $0)) } ?? .unknown
        }
    }

    var description: String {
        switch self {
        case .root: "the host's root"
        case .user(let user): "user \(user)"
        case .rootOf(let namespace): "user 0 of network namespace \(namespace)"
        case .address(let address): address
        case .unknown: "unknown"
        }
    }
}

/// What the process has for all peers of all its servers.
final class Capacity: Sendable {
    static let ofProcess = Capacity(files: nil)

    private struct Used {
        var connections = 0
        var descriptors = 0
        var bytes = 0
    }
    private let used = Mutex(Used())
    private let fixed: UInt64?

    /// - Parameter files: The limit of open files; nil: that of the process, whatever it is at the moment.
    init(files: UInt64?) { fixed = files }

    private var files: Int { Int(clamping: fixed ?? cl_file_limit()) }
    /// Connections that there can be.
    var mostConnections: Int { max(files / 6, 8) }
    private var mostDescriptors: Int { files / 8 }

    func addConnection(isRoot: Bool, reserved: Int) -> Bool {
        let most = mostConnections - (isRoot ? 0 : min(reserved, mostConnections / 8))
        return used.withLock { used in
            guard used.connections < most else { return false }
            used.connections += 1
            return true
        }
    }
    func removeConnection() { used.withLock { $0.connections -= 1 } }

    func addDescriptor(isRoot: Bool) -> Bool {
        // What others can't take is left for root.
        let most = isRoot ? mostDescriptors + mostDescriptors / 8 : mostDescriptors
        return used.withLock { used in
            guard used.descriptors < most else { return false }
            used.descriptors += 1
            return true
        }
    }
    func removeDescriptor() { used.withLock { $0.descriptors -= 1 } }

    func add(bytes: Int, most: Int) -> Bool {
        used.withLock { used in
            guard used.bytes + bytes <= most else { return false }
            used.bytes += bytes
            return true
        }
    }
    func remove(bytes: Int) { used.withLock { $0.bytes -= bytes } }
}

/// The peers of a server, and what each of them uses. A peer is known for as long as it uses something.
final class PeerTable: Sendable {
    private struct Known {
        /// Which one it is, so that one that went does not take along another that came in its place.
        let number: UInt64
        weak var account: PeerAccount?
    }
    private struct Peers {
        var known: [PeerKey: Known] = [:]
        var next: UInt64 = 0
    }
    /// What was said of whom.
    private struct Said: Hashable {
        let peer: PeerKey
        let cause: String
    }
    let limits: TransportLimits
    let capacity: Capacity
    private let logger: Logger
    private let place: String
    private let peers = Mutex(Peers())
    private let said = Mutex<[Said: ContinuousClock.Instant]>([:])

    /// Refusals of the same peer for the same cause are logged again after this time.
    private static let silence = Duration.seconds(600)
    /// Of more peers and causes than this nothing is logged until then.
    private static let mostSaid = 256

    init(_ limits: TransportLimits, capacity: Capacity, place: String, logger: Logger) {
        self.limits = limits
        self.capacity = capacity
        self.place = place
        self.logger = logger
    }

    /// Peers that use something.
    var count: Int { peers.withLock { $0.known.count } }

    /// The account of a peer.
    func account(_ key: PeerKey) -> PeerAccount {
        peers.withLock { peers in
            if let account = peers.known[key]?.account { return account }
            peers.next += 1
            let account = PeerAccount(key, number: peers.next, self)
            peers.known[key] = Known(number: peers.next, account: account)
            return account
        }
    }

    /// Looks at no account: one that is looked at here as the last one would come here again when it ends.
    fileprivate func forget(_ key: PeerKey, number: UInt64) {
        peers.withLock { peers in
            if peers.known[key]?.number == number { peers.known[key] = nil }
        }
    }

    /// Logs a refusal, once for each peer and cause.
    func report(_ peer: PeerKey, _ cause: String) {
        let now = ContinuousClock.now
        let isNew = said.withLock { said in
            if let last = said[Said(peer: peer, cause: cause)], now - last < Self.silence { return false }
            if said.count >= Self.mostSaid {
                said = said.filter { now - $0.value < Self.silence }
                if said.count >= Self.mostSaid { return false }
            }
            said[Said(peer: peer, cause: cause)] = now
            return true
        }
        guard isNew else { return }
        logger.warning(
            "peer refused", metadata: ["at": "\(place)", "peer": "\(peer)", "error": "\(cause)"])
    }
}

/// What one peer uses of a server.
final class PeerAccount: Sendable {
    private struct Used {
        var connections = 0
        var handshakes = 0
        var calls = 0
        var bytes = 0
        var descriptors = 0
        var sentDescriptors = 0
    }
    let key: PeerKey
    private let number: UInt64
    let table: PeerTable
    let frames: SharedFrameBudget
    private let used = Mutex(Used())

    fileprivate init(_ key: PeerKey, number: UInt64, _ table: PeerTable) {
        self.key = key
        self.number = number
        self.table = table
        frames = SharedFrameBudget(burst: table.limits.peerFrames, rate: table.limits.peerFrameRate)
    }

    deinit { table.forget(key, number: number) }

    var isRoot: Bool { key == .root }

    private var limits: TransportLimits { table.limits }

    /// A connection came, and its handshake begins; returns why it may not.
    func addConnection() -> String? {
        let most = min(
            isRoot ? limits.rootConnections : limits.connections, max(table.capacity.mostConnections / 2, 1))
        let reason = used.withLock { used -> String? in
            if used.connections >= most { return "it has \(most) connections" }
            if used.handshakes >= limits.handshakes, !isRoot {
                return "it has \(limits.handshakes) connections without a finished handshake"
            }
            used.connections += 1
            used.handshakes += 1
            return nil
        }
        if let reason { return reason }
        if table.capacity.addConnection(isRoot: isRoot, reserved: limits.reservedConnections) { return nil }
        used.withLock { used in
            used.connections -= 1
            used.handshakes -= 1
        }
        return "all connections that there can be are taken"
    }

    func removeConnection() {
        used.withLock { $0.connections -= 1 }
        table.capacity.removeConnection()
    }

    func endHandshake() { used.withLock { $0.handshakes -= 1 } }

    func addCall() -> String? {
        let most = isRoot ? limits.rootCalls : limits.calls
        return used.withLock { used in
            if used.calls >= most { return "\(most) calls of this peer are running" }
            used.calls += 1
            return nil
        }
    }

    func removeCall() { used.withLock { $0.calls -= 1 } }

    func add(bytes: Int) -> String? {
        let fits = used.withLock { used in
            guard used.bytes + bytes <= limits.peerBytes else { return false }
            used.bytes += bytes
            return true
        }
        guard fits else { return "messages of this peer that are on their way exceed \(limits.peerBytes) bytes" }
        if isRoot || table.capacity.add(bytes: bytes, most: limits.allBytes) { return nil }
        used.withLock { $0.bytes -= bytes }
        return "messages of all peers that are on their way exceed \(limits.allBytes) bytes"
    }

    func remove(bytes: Int) {
        used.withLock { $0.bytes -= bytes }
        if !isRoot { table.capacity.remove(bytes: bytes) }
    }

    /// The right to hold one descriptor for the peer: one that it sent and nobody has asked for, or one that it is sent and does
    /// not read; nil when there is none left.
    func claimDescriptor(isSent: Bool = false) -> DescriptorClaim? {
        let fits = used.withLock { used in
            if isSent {
                guard used.sentDescriptors < limits.sentDescriptors else { return false }
                used.sentDescriptors += 1
            } else {
                guard used.descriptors < limits.descriptors else { return false }
                used.descriptors += 1
            }
            return true
        }
        guard fits else { return nil }
        if table.capacity.addDescriptor(isRoot: isRoot) { return DescriptorClaim(self, isSent: isSent) }
        giveBackDescriptor(isSent)
        return nil
    }

    private func giveBackDescriptor(_ isSent: Bool) {
        used.withLock { used in
            if isSent { used.sentDescriptors -= 1 } else { used.descriptors -= 1 }
        }
    }

    fileprivate func endClaim(_ isSent: Bool) {
        giveBackDescriptor(isSent)
        table.capacity.removeDescriptor()
    }
}

/// The right to hold one descriptor; it returns when its last reference is gone.
final class DescriptorClaim: Sendable {
    private let account: PeerAccount
    private let isSent: Bool
    fileprivate init(_ account: PeerAccount, isSent: Bool) {
        self.account = account
        self.isSent = isSent
    }
    deinit { account.endClaim(isSent) }
}
