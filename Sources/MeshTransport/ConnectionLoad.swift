internal import Synchronization

/// What one connection of a server uses.
final class ConnectionLoad: Sendable {
    private struct State {
        var info: ConnectionInfo?
        var streams = 0
        var bytes = 0
        var hasBegun = false
        var isShaking = true
        var hasEnded = false
        /// When the last call ended, or the connection began.
        var lastUse = ContinuousClock.now
    }
    let id: UInt64
    let account: PeerAccount
    private let state = Mutex(State())

    /// Of a connection that the account has added.
    init(id: UInt64, _ account: PeerAccount) {
        self.id = id
        self.account = account
    }

    deinit { end() }

    private var limits: TransportLimits { account.table.limits }

    /// Who calls; nil until the handshake is done.
    var info: ConnectionInfo? {
        get { state.withLock { $0.info } }
        set { state.withLock { $0.info = newValue } }
    }

    /// Whether a word of HTTP/2 has come.
    var hasBegun: Bool { state.withLock { $0.hasBegun } }
    func begin() { state.withLock { $0.hasBegun = true } }

    /// For how long there has been no call.
    var idleTime: Duration {
        state.withLock { $0.streams > 0 ? Duration.zero : ContinuousClock.now - $0.lastUse }
    }

    func endHandshake() {
        let ends = state.withLock { state in
            defer { state.isShaking = false }
            return state.isShaking
        }
        if ends { account.endHandshake() }
    }

    /// The connection has ended.
    func end() {
        endHandshake()
        let ends = state.withLock { state in
            defer { state.hasEnded = true }
            return !state.hasEnded
        }
        if ends { account.removeConnection() }
    }

    func report(_ cause: String) { account.table.report(account.key, cause) }

    func openStream() -> String? {
        let most = account.isRoot ? limits.rootStreams : limits.streams
        return state.withLock { state in
            if state.streams >= most { return "\(most) calls are running on this connection" }
            state.streams += 1
            return nil
        }
    }

    func closeStream() {
        state.withLock { state in
            state.streams -= 1
            state.lastUse = .now
        }
    }

    func add(bytes: Int) -> String? {
        let most = limits.connectionBytes
        let fits = state.withLock { state in
            guard state.bytes + bytes <= most else { return false }
            state.bytes += bytes
            return true
        }
        guard fits else { return "messages on their way on this connection exceed \(most) bytes" }
        guard let reason = account.add(bytes: bytes) else { return nil }
        state.withLock { $0.bytes -= bytes }
        return reason
    }

    func remove(bytes: Int) {
        state.withLock { $0.bytes -= bytes }
        account.remove(bytes: bytes)
    }
}

/// What one call uses. It gives all back when neither its stream nor its handler holds it any more.
final class CallLoad: Sendable {
    private struct State {
        /// Bytes of messages that have come as a whole and that the handler has not left behind, in their order.
        var messages: [Int] = []
        /// Bytes of the message that is coming.
        var coming = 0
        /// Bytes of the headers.
        var headers = 0
    }
    let number: UInt64
    let connection: ConnectionLoad
    private let state = Mutex(State())

    static func begin(_ number: UInt64, on connection: ConnectionLoad) -> Result<CallLoad, Refusal> {
        if let reason = connection.account.addCall() { return .failure(Refusal(reason: reason)) }
        return .success(CallLoad(number, connection))
    }

    /// Why a call is refused.
    struct Refusal: Error {
        /// For the peer.
        let reason: String
        /// For the log: the same each time.
        let cause: String
        init(reason: String, cause: String? = nil) {
            self.reason = reason
            self.cause = cause ?? reason
        }
    }

    private init(_ number: UInt64, _ connection: ConnectionLoad) {
        self.number = number
        self.connection = connection
    }

    deinit {
        let bytes = state.withLock { $0.headers + $0.coming + $0.messages.reduce(0, +) }
        if bytes > 0 { connection.remove(bytes: bytes) }
        connection.account.removeCall()
    }

    /// Headers came, which stay as long as the call; returns why they may not.
    func keep(_ bytes: Int) -> String? {
        if let reason = connection.add(bytes: bytes) { return reason }
        state.withLock { $0.headers += bytes }
        return nil
    }

    /// Bytes of a message came; returns why it may not.
    func receive(_ bytes: Int) -> String? {
        if let reason = connection.add(bytes: bytes) { return reason }
        state.withLock { $0.coming += bytes }
        return nil
    }

    /// The message has come as a whole.
    func finishMessage() {
        state.withLock { state in
            state.messages.append(state.coming)
            state.coming = 0
        }
    }

    /// The handler has got another message, and is done with the one before.
    func leaveMessage() {
        let bytes = state.withLock { $0.messages.isEmpty ? 0 : $0.messages.removeFirst() }
        if bytes > 0 { connection.remove(bytes: bytes) }
    }
}

/// The calls of a server by their numbers.
final class CallTable: Sendable {
    private struct State {
        var calls: [UInt64: CallLoad] = [:]
        var next: UInt64 = 1
    }
    private let state = Mutex(State())

    /// Begins a call.
    func begin(on connection: ConnectionLoad) -> Result<CallLoad, CallLoad.Refusal> {
        let number = state.withLock { state in
            defer { state.next += 1 }
            return state.next
        }
        let call = CallLoad.begin(number, on: connection)
        if case .success(let call) = call { state.withLock { $0.calls[number] = call } }
        return call
    }

    func remove(_ number: UInt64) { state.withLock { _ = $0.calls.removeValue(forKey: number) } }
    /// Calls whose answer has not gone out as a whole.
    var count: Int { state.withLock { $0.calls.count } }
    subscript(number: UInt64) -> CallLoad? { state.withLock { $0.calls[number] } }
}
