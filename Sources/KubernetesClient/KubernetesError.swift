/// Why something could not be done with the API server.
public struct KubernetesError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Hashable {
        /// The server can't be reached, or the connection was lost.
        case unreachable
        /// The server did not answer in time.
        case timedOut
        /// What we have can't be used: a file, a certificate, an address.
        case badConfiguration
        /// The answer is longer than what is taken.
        case tooLarge
        /// The answer is none that an API server gives.
        case malformed
        /// The server refused, with an HTTP status.
        case status(Int)
    }

    /// What kind of failure it is.
    public let code: Code
    /// The server's word for it, such as `AlreadyExists`; empty: it gave none.
    public let reason: String
    /// What is wrong.
    public let message: String
    /// When the server wants to be asked again; nil: it does not say.
    public let retryAfter: Duration?

    /// Makes an error.
    public init(_ code: Code, _ message: String, reason: String = "", retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.reason = reason
        self.retryAfter = retryAfter
    }

    /// What the server's `Status` says; the HTTP status fills in what is missing.
    init(status: JSONValue?, httpStatus: Int, retryAfter: Duration? = nil) {
        let isStatus = status?["kind"]?.string == "Status"
        let details = isStatus ? status?["details"] : nil
        let seconds = details?["retryAfterSeconds"]?.int.map { Duration.seconds(min(max($0, 0), 3600)) }
        let message = isStatus ? status?["message"]?.string : nil
        self.init(
            .status(isStatus ? status?["code"]?.int.flatMap { Int(exactly: $0) } ?? httpStatus : httpStatus),
            message ?? "the server answers with HTTP status \(httpStatus)",
            reason: (isStatus ? status?["reason"]?.string : nil) ?? "", retryAfter: retryAfter ?? seconds)
    }

    /// What is wrong, for people.
    public var description: String {
        switch code {
        case .unreachable, .timedOut, .badConfiguration, .tooLarge, .malformed: message
        case .status(let number): reason.isEmpty ? "\(message) (\(number))" : "\(message) (\(reason), \(number))"
        }
    }

    /// Whether there is no such object.
    public var isNotFound: Bool { code == .status(404) }
    /// Whether the object was changed or made by somebody else meanwhile.
    public var isConflict: Bool { code == .status(409) }
    /// Whether an object of this name is there already.
    public var isAlreadyExists: Bool { reason == "AlreadyExists" }
    /// Whether a resource version, or the rest of a list, is too old to be available.
    public var isExpired: Bool { code == .status(410) || reason == "Expired" || reason == "Gone" }
    /// Whether we may not do that.
    public var isForbidden: Bool { code == .status(403) || isUnauthorized }
    /// Whether the server does not know who asks: a token has ended, and another one may be there any moment.
    public var isUnauthorized: Bool { code == .status(401) }
    /// Whether the object is not as the server wants it.
    public var isInvalid: Bool { code == .status(422) || code == .status(400) }
    /// Whether the same may work a little later.
    public var isTransient: Bool {
        switch code {
        case .unreachable, .timedOut: true
        case .badConfiguration, .tooLarge, .malformed: false
        case .status(let number): number == 429 || number >= 500
        }
    }
}
