/// What goes wrong in the mesh, in words for the operator.
public struct NSMError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Code: String, Hashable, Sendable {
        /// A peer can't be reached.
        case unreachable
        /// A peer refused, for the reason in the text, or its tokens are not as they must be.
        case refused
        /// A peer does not let this identity do it: the tokens are not accepted, or a name or connection is another's.
        case forbidden
        /// A peer signs with a key that is not that of its certificate on this connection: it may have a new identity since.
        case outdated
        /// A peer answered against the protocol.
        case protocolViolation
        /// A file, a socket or a namespace of this host is not there.
        case local
        /// The time is over.
        case timedOut
    }

    /// The kind.
    public let code: Code
    /// Where, what, and what to do.
    public let text: String

    /// Makes an error.
    public init(_ code: Code, _ text: String) {
        self.code = code
        self.text = text
    }

    /// The text.
    public var description: String { text }
}
