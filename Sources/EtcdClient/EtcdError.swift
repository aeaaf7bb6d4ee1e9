internal import GRPCCore

/// Why etcd did not do what it was asked for.
public struct EtcdError: Error, Sendable, CustomStringConvertible {
    /// What kind of obstacle it is.
    public enum Code: Sendable, Hashable {
        /// The member can't be reached, or the cluster has no leader.
        case unreachable
        /// It did not answer in time.
        case timedOut
        /// What was asked for has been compacted away; the oldest revision that is left.
        case compacted(Int64)
        /// The user or the password is wrong, or a certificate is needed.
        case unauthenticated
        /// The user may not do this.
        case forbidden
        /// An answer, or what is sent, is too large.
        case tooLarge
        /// The database is full.
        case noSpace
        /// The lease is not there any more.
        case leaseExpired
        /// It was refused for another reason.
        case refused
    }

    /// What kind of obstacle it is.
    public let code: Code
    /// What happened, for people.
    public let text: String
    /// Who said so; nil: nobody in particular.
    public let endpoint: EtcdEndpoint?

    /// `etcd 127.0.0.1:2379: …`
    public var description: String { endpoint.map { "etcd \($0): \(text)" } ?? "etcd: \(text)" }

    /// Whether another member, or another connection, may do better.
    public var isOfConnection: Bool {
        switch code {
        case .unreachable, .timedOut: true
        case .compacted, .unauthenticated, .forbidden, .tooLarge, .noSpace, .leaseExpired, .refused: false
        }
    }

    init(_ code: Code, _ text: String, _ endpoint: EtcdEndpoint?) {
        self.code = code
        self.text = text
        self.endpoint = endpoint
    }

    /// In the words of a member.
    init(_ error: RPCError, _ endpoint: EtcdEndpoint) {
        let code: Code =
            switch error.code {
            case .unavailable, .cancelled, .internalError, .unknown: .unreachable
            case .deadlineExceeded: .timedOut
            case .unauthenticated: .unauthenticated
            case .permissionDenied: .forbidden
            case .resourceExhausted: error.message.contains("space exceeded") ? .noSpace : .tooLarge
            case .outOfRange: error.message.contains("compacted") ? .compacted(0) : .refused
            case .notFound where error.message.contains("lease"): .leaseExpired
            case .invalidArgument where error.message.contains("authentication failed"): .unauthenticated
            default: .refused
            }
        var text = error.message.isEmpty ? "\(error.code)" : error.message
        if let cause = error.cause { text += " (\(cause))" }
        self.init(code, text, endpoint)
    }
}
