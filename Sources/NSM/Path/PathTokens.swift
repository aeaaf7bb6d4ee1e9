public import Concurrency
package import MeshTransport
package import SPIFFE
package import SwiftProtobuf

/// A token as it travels in the metadata of a call.
package struct CallToken: Hashable, Sendable {
    /// Compact JWS.
    package let text: String
    /// When the receiver should take it as ended.
    package let expires: Timestamp

    /// Pairs a token with its end.
    package init(text: String, expires: Timestamp) {
        self.text = text
        self.expires = expires
    }
}

extension Component {
    /// The part of a token's life by which it may be shorter, so that one does for several calls.
    private static let shortening = 100

    /// A token of this component for the peer of a transport connection.
    ///
    /// It is signed with the key that the component showed in this connection's handshake, as the peer checks it against
    /// that certificate, also after the identity was rotated.
    ///
    /// - Throws: ``NSMError`` when the connection is not one with identities and the component demands them, or when ours has
    ///   ended.
    package func token(for info: ConnectionInfo) throws(NSMError) -> CallToken {
        let now = Timestamp.now
        guard isSecure else {
            let expires = now.advanced(by: .seconds(3600))
            return CallToken(
                text: Token.insecure(subject: "spiffe://test.com/subject", expires: expires), expires: expires)
        }
        guard let local = info.local, let peer = info.peer else {
            throw NSMError(.refused, "the transport connection has no identities; tokens can't be signed")
        }
        guard local.svid.notAfter > now else {
            throw NSMError(
                .refused,
                "our identity \(local.svid.id) ended at \(local.svid.notAfter.rfc3339), and there is no newer one")
        }
        // Whole seconds, as the claim has no fractions.
        var end = min(now.advanced(by: tokenLifetime), local.svid.notAfter)
        end = Timestamp(seconds: end.nanoseconds / 1_000_000_000)
        do {
            let token = try info.tokens.token(ending: end, slack: tokenLifetime / Self.shortening) {
                try Token.sign(
                    subject: local.svid.id.description, audience: [peer.id.description], expires: end,
                    key: local.svid.privateKey)
            }
            return CallToken(text: token.text, expires: min(token.end, peer.notAfter))
        } catch {
            throw NSMError(.local, "a token can't be signed: \(error)")
        }
    }
}

extension NSMPathSegment {
    /// When the token ends; nil when the segment does not say, or says no time that there is.
    public var expiry: Timestamp? { hasExpires ? expires.timestamp : nil }

    /// Stores a token.
    package mutating func setToken(_ token: CallToken) {
        self.token = token.text
        expires = Google_Protobuf_Timestamp(token.expires)
    }
}

extension Google_Protobuf_Timestamp {
    /// A moment of the wall clock.
    package init(_ time: Timestamp) {
        self.init()
        seconds = time.nanoseconds / 1_000_000_000
        nanos = Int32(time.nanoseconds % 1_000_000_000)
    }

    /// The moment; nil when it is none from the year 1 to the year 9999, which is all that a timestamp may be. Those that
    /// ``Timestamp`` has no room for are taken as its first or last one. Source: google/protobuf/timestamp.proto.
    package var timestamp: Timestamp? {
        guard (-62_135_596_800...253_402_300_799).contains(seconds), (0..<1_000_000_000).contains(nanos) else {
            return nil
        }
        return Timestamp(seconds: seconds).advanced(by: .nanoseconds(Int64(nanos)))
    }
}

/// The rules for the tokens along a path.
package enum TokenRules {
    /// Checks tokens in the order of their segments: each can be read and has not ended, and each is meant for the one that
    /// follows.
    ///
    /// - Returns: the tokens.
    /// - Throws: ``NSMError`` with the number and name of the segment.
    @discardableResult
    package static func checkChain(_ segments: some Collection<NSMPathSegment>) throws(NSMError) -> [Token] {
        var tokens: [Token] = []
        let now = Timestamp.now
        for (index, segment) in segments.enumerated() {
            let place = "segment \(index) (\(segment.name))"
            let token: Token
            do {
                token = try Token(parsing: segment.token)
            } catch {
                throw NSMError(.refused, "the token of \(place) can't be read: \(error)")
            }
            guard token.expires > now else { throw NSMError(.refused, "the token of \(place) has ended") }
            if let previous = tokens.last, !previous.audience.contains(token.subject) {
                throw NSMError(
                    .refused,
                    "the token before \(place) is meant for \(previous.audience.joined(separator: ", ")),"
                        + " not for \(token.subject)")
            }
            tokens.append(token)
        }
        return tokens
    }

    /// Checks that a token was signed with the key of the certificate that the peer of a transport connection showed.
    ///
    /// - Throws: ``NSMError`` when it was not; ``NSMError/Code/outdated`` may be mended by a new connection.
    package static func checkSignature(_ token: Token, on info: ConnectionInfo, _ what: String) throws(NSMError) {
        guard let peer = info.peer else { throw NSMError(.refused, "the peer has no identity") }
        do {
            try info.tokens.verify(token, of: peer)
        } catch {
            throw NSMError(.outdated, "\(what) is not signed by \(peer.id): \(error)")
        }
        guard token.subject == peer.id.description else {
            throw NSMError(.refused, "\(what) is of \(token.subject), and the peer is \(peer.id)")
        }
    }
}
