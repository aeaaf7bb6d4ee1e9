internal import Concurrency
internal import FoundationEssentials
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
public import Logging
internal import MeshTransport
internal import Synchronization

/// A client of etcd 3.4 or later.
///
/// It talks to one member at a time. Which one is found out when a connection is made: the first in the list that answers and
/// has a leader. A connection that fails is given up as a whole, and the next one begins at the next member.
public final class EtcdClient: Sendable {
    /// Where etcd is.
    public let configuration: EtcdConfiguration
    private let logger: Logger
    /// The member that is tried first.
    private let next = Mutex(0)
    private let patience = Mutex(DialPatience())

    /// Makes a client that has not dialled yet.
    public init(_ configuration: EtcdConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Connects to the first member that answers, and ends the connection when `body` is done.
    ///
    /// - Throws: ``EtcdError`` when no member answers, and what `body` throws.
    public func withConnection<Result: Sendable>(
        _ body: @escaping @Sendable (EtcdConnection) async throws -> Result
    ) async throws -> Result {
        var failures: [EtcdError] = []
        for _ in configuration.endpoints {
            try Task.checkCancellation()
            let endpoint = configuration.endpoints[next.withLock { $0 } % configuration.endpoints.count]
            do {
                return try await connect(to: endpoint, body)
            } catch let failure as DialFailure {
                logger.debug("a member of etcd can't be used", metadata: ["error": "\(failure.error)"])
                failures.append(failure.error)
                turn(from: endpoint)
            } catch let error as EtcdError where error.isOfConnection {
                turn(from: endpoint)
                patience.withLock { $0.note([error]) }
                throw error
            }
        }
        try Task.checkCancellation()
        patience.withLock { [failures] in $0.note(failures) }
        guard let first = failures.first else { throw EtcdError(.unreachable, "no endpoint is configured", nil) }
        if failures.count == 1 { throw first }
        // What is wrong with the user is wrong everywhere.
        let text = failures.map { "\($0.endpoint.map(\.description) ?? ""): \($0.text)" }.joined(separator: "; ")
        throw EtcdError(first.code, text, nil)
    }

    /// Connects again and again, as long as the task is not cancelled: runs `body` on each connection, and connects anew when
    /// it is done or fails.
    ///
    /// - Parameter failed: Gets the reason why a connection ended or could not be made, and when the next is tried.
    public func keepConnected(
        _ body: @escaping @Sendable (EtcdConnection) async throws -> Void,
        failed: @Sendable (EtcdError, Duration) async -> Void
    ) async {
        let connected = Mutex<ContinuousClock.Instant?>(nil)
        var backoff = Backoff(
            first: min(.milliseconds(100), configuration.longestWait), limit: configuration.longestWait)
        while !Task.isCancelled {
            let failure: EtcdError
            do {
                try await withConnection { connection in
                    connected.withLock { $0 = .now }
                    try await body(connection)
                }
                failure = EtcdError(.unreachable, "the connection is done", nil)
            } catch let error as EtcdError {
                failure = error
            } catch {
                failure = EtcdError(.refused, "\(error)", nil)
            }
            if Task.isCancelled { return }
            // A connection that does not last counts as a failed one.
            let since = connected.withLock { connected in
                defer { connected = nil }
                return connected
            }
            if let since, .now - since > configuration.longestWait, failure.code != .timedOut { backoff.reset() }
            let wait = backoff.wait() * patience.withLock { $0.factor }
            await failed(failure, wait)
            try? await Task.sleep(for: wait)
        }
    }

    private func turn(from endpoint: EtcdEndpoint) {
        let all = configuration.endpoints
        next.withLock { next in
            if all[next % all.count] == endpoint { next = (next + 1) % all.count }
        }
    }

    /// A member could not be used; nothing was done with it.
    private struct DialFailure: Error {
        let error: EtcdError
    }

    private func connect<Result: Sendable>(
        to endpoint: EtcdEndpoint, _ body: @escaping @Sendable (EtcdConnection) async throws -> Result
    ) async throws -> Result {
        var configuration = configuration
        let factor = patience.withLock { $0.factor }
        configuration.dialTimeout *= factor
        configuration.operationTimeout *= factor
        let transport: HTTP2ClientTransport.Posix
        do {
            transport = try Transport.make(endpoint, configuration)
        } catch {
            throw DialFailure(error: EtcdError(.refused, "\(error)", endpoint))
        }
        let client = GRPCClient(transport: transport)
        let running = Task { try await client.runConnections() }
        // What is still open on it ends with it: who leaves does not wait for a member that hangs.
        defer {
            client.beginGracefulShutdown()
            running.cancel()
        }
        let connection: EtcdConnection
        do {
            connection = try await EtcdConnection(client, endpoint, configuration)
        } catch {
            throw DialFailure(error: error)
        }
        logger.debug(
            "connected to etcd", metadata: ["endpoint": "\(endpoint)", "version": "\(connection.status.version)"])
        let start = ContinuousClock.now
        defer { if .now - start > DialPatience.proof { patience.withLock { $0.reset() } } }
        return try await body(connection)
    }
}

/// The way to a member.
private enum Transport {
    /// A member that is busy for some seconds must not lose all its clients at once: they would come back together.
    private static let keepalivePatience = Duration.seconds(10)

    static func make(
        _ endpoint: EtcdEndpoint, _ configuration: EtcdConfiguration
    ) throws -> HTTP2ClientTransport.Posix {
        let security = try security(endpoint, configuration.tls)
        let settings = HTTP2ClientTransport.Posix.Config.defaults { settings in
            settings.backoff.initial = .milliseconds(100)
            settings.backoff.max = .seconds(1)
            settings.connection.keepalive = .init(
                time: configuration.keepaliveTime, timeout: max(configuration.operationTimeout, keepalivePatience),
                allowWithoutCalls: true)
            settings.http2.targetWindowSize = 1 << 20
            // Called for each new connection, before it is used.
            settings.channelDebuggingCallbacks.onCreateTCPConnection = { ClientGuard.add(to: $0) }
        }
        switch endpoint.address {
        case .ipv4(let host, let port):
            return try .init(target: .ipv4(address: host, port: port), transportSecurity: security, config: settings)
        case .ipv6(let host, let port):
            return try .init(target: .ipv6(address: host, port: port), transportSecurity: security, config: settings)
        case .name(let host, let port):
            return try .init(target: .dns(host: host, port: port), transportSecurity: security, config: settings)
        case .unix(let path):
            return try .init(target: .unixDomainSocket(path: path), transportSecurity: security, config: settings)
        }
    }

    private static func security(
        _ endpoint: EtcdEndpoint, _ tls: EtcdConfiguration.TLS?
    ) throws -> HTTP2ClientTransport.Posix.TransportSecurity {
        guard let tls = tls ?? (endpoint.wantsTLS ? .init() : nil) else { return .plaintext }
        guard (tls.certificate == nil) == (tls.key == nil) else {
            throw EtcdError(.refused, "a certificate needs its key, and a key its certificate", endpoint)
        }
        return .tls(
            .defaults { settings in
                if let path = tls.authorities {
                    settings.trustRoots = .certificates([.file(path: path, format: .pem)])
                }
                if let certificate = tls.certificate, let key = tls.key {
                    settings.certificateChain = [.file(path: certificate, format: .pem)]
                    settings.privateKey = .file(path: key, format: .pem)
                }
                if tls.acceptsAnyServer { settings.serverCertificateVerification = .noVerification }
            })
    }
}
