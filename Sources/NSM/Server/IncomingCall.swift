internal import Concurrency
package import MeshTransport
package import GRPCCore
package import SPIFFE

/// Who calls, as far as the transport and the metadata show.
package struct IncomingCall: Sendable {
    /// The transport connection.
    package let info: ConnectionInfo
    /// The caller's token.
    package let token: CallToken

    /// Reads the token of a call that is being served.
    ///
    /// - Throws: `RPCError` when there is not exactly one token with its end.
    package init(_ metadata: Metadata) throws(RPCError) {
        guard let info = ConnectionInfo.current else {
            throw RPCError(code: .internalError, message: "the call came by a transport that has no connections")
        }
        self.info = info
        let tokens = Array(metadata[stringValues: WellKnown.token])
        let ends = Array(metadata[stringValues: WellKnown.tokenExpires])
        guard tokens.count == 1, ends.count == 1 else {
            throw RPCError(
                code: .unauthenticated,
                message: "exactly one \(WellKnown.token) and \(WellKnown.tokenExpires) are needed; there are"
                    + " \(tokens.count) and \(ends.count)")
        }
        guard let expires = Timestamp(rfc3339: ends[0]) else {
            throw RPCError(
                code: .unauthenticated,
                message: "\(WellKnown.tokenExpires) is not an RFC 3339 time: \(ends[0].prefix(64))")
        }
        token = CallToken(text: tokens[0], expires: expires)
    }

    /// Checks a caller that has no path: its token must be signed with the key of its certificate, be meant for us and not
    /// have ended.
    ///
    /// - Returns: the token, read.
    /// - Throws: `RPCError`.
    @discardableResult
    package func authenticate(_ component: Component) throws(RPCError) -> Token {
        do throws(NSMError) {
            var segment = NSMPathSegment()
            segment.name = "caller"
            segment.setToken(token)
            let tokens = try TokenRules.checkChain([segment])
            if component.isSecure {
                guard info.peer != nil, let local = info.local else {
                    throw NSMError(.refused, "the caller has no identity")
                }
                try TokenRules.checkSignature(tokens[0], on: info, "the token")
                guard tokens[0].audience.contains(local.svid.id.description) else {
                    throw NSMError(
                        .refused,
                        "the token is meant for \(tokens[0].audience.joined(separator: ", ")), not for \(local.svid.id)"
                    )
                }
            }
            return tokens[0]
        } catch {
            throw RPCError(code: .permissionDenied, message: error.text)
        }
    }

    /// Takes a connection in: path rules, tokens, policies.
    ///
    /// The caller's token goes into the segment before ours, and a token of ours for the caller into our own, until the
    /// next server puts in the one that we call it with.
    ///
    /// - Parameter newID: Gives our id of a connection that has none here yet.
    /// - Throws: `RPCError` when the path breaks a rule or a token is not as it must be.
    package func enter(
        _ connection: inout NSMConnection, _ component: Component, newID: () -> String = { randomID() }
    ) throws(RPCError) -> Hop {
        if let mistake = ConnectionLimits.mistake(in: connection) {
            throw RPCError(code: .invalidArgument, message: "too much is asked for: \(mistake)")
        }
        let hop: Hop
        do {
            hop = try connection.enter(component.name, newID: newID)
        } catch {
            throw RPCError(code: .invalidArgument, message: "the path is wrong: \(error)")
        }
        let own = Int(hop.ownIndex)
        guard own > 0 else {
            throw RPCError(code: .invalidArgument, message: "the path has no segment of the caller")
        }
        connection.path.pathSegments[own - 1].setToken(token)
        do throws(NSMError) {
            connection.path.pathSegments[own].setToken(try component.token(for: info))
            if component.isSecure {
                let tokens = try TokenRules.checkChain(connection.path.pathSegments[...own])
                guard let peer = info.peer else { throw NSMError(.refused, "the caller has no identity") }
                try TokenRules.checkSignature(tokens[own - 1], on: info, "the token of segment \(own - 1)")
                // What the metadata says beside the token is signed by nobody, and must not make it live longer. The token
                // itself has whole seconds only.
                if tokens[own - 1].expires.advanced(by: .seconds(1)) <= token.expires {
                    connection.path.pathSegments[own - 1].setToken(
                        CallToken(text: token.text, expires: tokens[own - 1].expires))
                }
                // No peer may stay longer than its certificate is valid.
                if let end = connection.path.pathSegments[own - 1].expiry, end > peer.notAfter {
                    connection.path.pathSegments[own - 1].setToken(
                        CallToken(text: token.text, expires: peer.notAfter))
                }
            }
        } catch {
            throw RPCError(code: .permissionDenied, message: error.text)
        }
        return hop
    }

    /// Who calls, as far as it is proven.
    package var peer: PeerIdentity { PeerIdentity(info) }

    /// Checks that who comes for a connection is who asked for it first.
    ///
    /// Ids can be learnt and paths made up, so only who is verified on the transport connection counts.
    ///
    /// - Throws: `RPCError` when the connection is another peer's.
    package func checkOwner(of id: String, in monitor: ConnectionMonitor) throws(RPCError) {
        guard let owner = monitor.owner(id), owner != peer else { return }
        throw RPCError(code: .permissionDenied, message: "the connection \(id) belongs to another client")
    }
}
