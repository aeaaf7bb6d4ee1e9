internal import Concurrency
internal import GRPCCore
internal import Logging
internal import MeshTransport
package import SPIFFE
package import NetworkTypes
internal import Synchronization

/// A prefix that an IPAM server gives, for as long as ``run(_:)`` runs. After an interruption the same one is asked for.
package final class SharedPrefix: Sendable {
    /// What the server gave.
    package struct Grant: Hashable, Sendable {
        /// The prefix; no other endpoint has an address of it.
        package let prefix: IPPrefix
        /// What is not to be given of it.
        package let excluded: [IPPrefix]
        /// The whole network, which endpoints share; nil: the server does not say.
        package let network: IPPrefix?
    }

    private let server: PeerConnector
    private let excluded: [IPPrefix]
    /// What was given before, to somebody in whose place this is.
    private let wish: IPPrefix?
    private let service: String
    private let isServer: @Sendable (SPIFFEID?) -> Bool
    private let state = Mutex<(grant: Grant?, lastError: String?)>((nil, nil))
    /// Exclusions in an answer.
    private static let mostExclusions = 1024

    /// Asks at a server, with the identity of its connector, which must run.
    ///
    /// - Parameters:
    ///   - excluded: What the prefix must not overlap.
    ///   - wish: The prefix to ask for at first.
    ///   - service: For whose endpoint it is; empty: that is not said. The server tells those of one peer apart by it.
    ///   - isServer: Whether an identity is one that may give prefixes; asked where the kernel does not say who listens.
    package init(
        _ server: PeerConnector, excluding excluded: [IPPrefix] = [], wish: IPPrefix? = nil, service: String = "",
        isServer: @escaping @Sendable (SPIFFEID?) -> Bool = { $0?.isManagerOfHost == true }
    ) {
        self.server = server
        self.excluded = Array(excluded.prefix(Self.mostExclusions))
        self.wish = wish
        self.service = service
        self.isServer = isServer
    }

    /// What was given last.
    package var grant: Grant? { state.withLock { $0.grant } }

    /// Why nothing is heard of the server; nil when something is.
    package var lastError: String? { state.withLock { $0.lastError } }

    /// Follows the server until the task is cancelled.
    ///
    /// - Parameter changed: Called with the first prefix, and with each that takes its place.
    package func run(_ changed: @escaping @Sendable (Grant) async -> Void) async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(2))
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await follow(changed)
                note("the server ended the stream")
            } catch {
                if Task.isCancelled { return }
                note("\((error as? RPCError).map { "\($0.code): \($0.message)" } ?? "\(error)")")
            }
            if ContinuousClock.now - began > .seconds(10) { backoff.reset() }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    private func note(_ text: String) {
        let message = "the IPAM at \(server.address.url): \(text)"
        let isNew = state.withLock { state in
            defer { state.lastError = message }
            return state.lastError != message
        }
        if isNew { server.component.logger.warning("no prefix", metadata: ["error": "\(message)"]) }
    }

    private func follow(_ changed: @escaping @Sendable (Grant) async -> Void) async throws {
        let connection = try await server.connection(within: server.component.dialTimeout)
        if case .tcp = server.address, !isServer(connection.info.peer?.id) {
            let id = connection.info.peer.map { "\($0.id)" } ?? "a peer without an identity"
            throw NSMError(.forbidden, "\(id) may not give prefixes")
        }
        let wanted = (grant?.prefix ?? wish).map { "\($0)" } ?? ""
        let excluded = excluded.map { "\($0)" }
        var metadata = Metadata()
        if !service.isEmpty { metadata.addString(service, forKey: WellKnown.prefixService) }
        try await connection.whileOpen { [metadata] in
            let client = Ipam_IPAM.Client(wrapping: connection.client)
            try await client.managePrefixes(metadata: metadata) { writer in
                try await writer.write(
                    .with { request in
                        request.type = .allocate
                        request.prefix = wanted
                        request.excludePrefixes = excluded
                    })
                // It is ours as long as the stream is open.
                await Task.untilCancelled()
            } onResponse: { response in
                for try await message in response.messages {
                    let grant = try Self.grant(message)
                    let isNew = self.state.withLock { state in
                        defer { state = (grant, nil) }
                        return state.grant != grant
                    }
                    if isNew { await changed(grant) }
                }
            }
        }
    }

    /// - Throws: ``NSMError`` for a prefix that can't be meant: half of the world, or no two addresses.
    static func grant(_ message: Ipam_PrefixResponse) throws(NSMError) -> Grant {
        guard let prefix = IPPrefix(message.prefix)?.network,
            (prefix.family == .v4 ? 8...30 : 16...126).contains(prefix.length)
        else {
            throw NSMError(.protocolViolation, "'\(message.prefix.prefix(64))' is no prefix that can be shared")
        }
        guard message.excludePrefixes.count <= mostExclusions else {
            throw NSMError(.protocolViolation, "\(message.excludePrefixes.count) prefixes are excluded")
        }
        // One that can't be meant is as good as none.
        let network = IPPrefix(message.network)?.network
        let isUsable = network.map { $0.length >= (prefix.family == .v4 ? 8 : 16) && $0.contains(prefix) } ?? false
        return Grant(
            prefix: prefix, excluded: message.excludePrefixes.compactMap { IPPrefix($0) },
            network: isUsable ? network : nil)
    }
}
