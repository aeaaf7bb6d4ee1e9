package import Concurrency
internal import Synchronization

/// The tokens that went over one transport connection: those signed for its peer, and those of the peer whose signature was
/// found right.
///
/// Signatures are most of what a request costs that asks for nothing new. On one connection the key that signs, the name in the
/// token, its audience and the certificate that checks the peer's tokens stay the same: only the ends of the tokens differ. So a
/// token may go out again, and a signature that was right over the same bytes is right again. Whether a token has ended, and for
/// whom it is, is none of what is kept here, and is checked each time.
package final class TokenMemory: Sendable {
    private struct State {
        /// Those that we signed, the newest last.
        var signed: [(text: String, end: Timestamp)] = []
        /// Those of the peer, the newest last.
        var right: [String] = []
        var signatures = 0
        var checks = 0
    }
    private let state = Mutex(State())
    /// How many of either are kept.
    package static let capacity = 8

    /// Remembers nothing yet.
    package init() {}

    /// How many tokens were signed.
    package var signatures: Int { state.withLock { $0.signatures } }
    /// How many signatures were checked.
    package var checks: Int { state.withLock { $0.checks } }

    /// A token that ends at a moment, or up to `slack` sooner, and never later: one that was signed before, or a new one.
    ///
    /// - Parameter sign: Signs a token with that very end.
    /// - Throws: what `sign` throws.
    package func token(
        ending end: Timestamp, slack: Duration, sign: () throws -> String
    ) rethrows -> (text: String, end: Timestamp) {
        let earliest = end.advanced(by: .zero - slack)
        let known = state.withLock { state in state.signed.last { $0.end >= earliest && $0.end <= end } }
        if let known { return known }
        let text = try sign()
        state.withLock { state in
            state.signatures += 1
            if state.signed.count >= Self.capacity { state.signed.removeFirst() }
            state.signed.append((text, end))
        }
        return (text, end)
    }

    /// Checks the signature of a token of the peer.
    ///
    /// - Parameter peer: The one at the other end of this connection, which is always the same.
    /// - Throws: ``TokenError``; nothing is remembered of a token that is wrong.
    package func verify(_ token: Token, of peer: VerifiedPeer) throws(TokenError) {
        // Both are ASCII, as they could be read, so equal texts are equal bytes.
        if state.withLock({ $0.right.contains(token.text) }) { return }
        state.withLock { $0.checks += 1 }
        try token.verify(peer.publicKey)
        state.withLock { state in
            if state.right.count >= Self.capacity { state.right.removeFirst() }
            state.right.append(token.text)
        }
    }
}
