internal import Concurrency
internal import GRPCCore
public import Logging
public import MeshTransport
internal import NSM
internal import Synchronization

extension NodeForwarder {
    /// Asks a forwarder that runs whether it is registered at its manager: `grpc.health.v1.Health/Check` of the server as a whole,
    /// with an identity of the Workload API.
    ///
    /// - Parameters:
    ///   - listen: Where it listens.
    ///   - workloadSocket: The Workload API, as a URL.
    ///   - limit: How long to wait for all of it.
    /// - Throws: `NSMError` when it can't be asked, or is not registered.
    public static func probe(
        _ listen: SocketAddress, workloadSocket: String, within limit: Duration, logger: Logger
    ) async throws {
        let identity = WorkloadIdentity(socket: workloadSocket, logger: logger)
        let connector = PeerConnector(
            listen,
            component: Component(
                name: "probe", security: .identity(identity), dialTimeout: limit, requestTimeout: limit, logger: logger)
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                try await Task.sleep(for: limit)
                throw NSMError(
                    .timedOut,
                    "no answer within \(limit)" + (identity.lastError.map { "; an identity: \($0)" } ?? ""))
            }
            group.addTask {
                await identity.run()
                try await Task.sleep(for: limit)
            }
            group.addTask {
                await connector.run()
                try await Task.sleep(for: limit)
            }
            group.addTask {
                let connection = try await connector.connection(within: limit)
                let client = Grpc_Health_V1_Health.Client(wrapping: connection.client)
                let answer = try await client.check(Grpc_Health_V1_HealthCheckRequest())
                guard answer.status == .serving else {
                    throw NSMError(.refused, "the forwarder is not registered at its manager")
                }
            }
            try await group.next()
        }
    }
}
