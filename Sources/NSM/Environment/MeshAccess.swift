public import Logging

/// A program's way into the mesh: its identity, and its connection to the manager of its node.
///
/// Clients, endpoints and the registry's client are made with its ``manager``, and work while it runs.
public final class MeshAccess: Sendable {
    /// Where the mesh is, and who we are in it.
    public let environment: MeshEnvironment
    /// The manager.
    public let manager: PeerConnector
    private let identity: WorkloadIdentity

    /// Takes what the environment says.
    ///
    /// - Throws: ``NSMError`` of the code `local` for a variable that can't be used.
    public convenience init(logger: Logger) throws(NSMError) {
        self.init(try MeshEnvironment(), logger: logger)
    }

    /// Contacts no peer yet.
    ///
    /// - Parameters:
    ///   - environment: Where the mesh is, and who this program is in it.
    ///   - logger: Where events are logged. Tokens and keys never are.
    public init(_ environment: MeshEnvironment, logger: Logger) {
        self.environment = environment
        identity = WorkloadIdentity(
            socket: environment.workloadSocket, hint: environment.svidHint, logger: logger)
        manager = PeerConnector(
            environment.manager,
            component: Component(
                name: environment.name, security: .identity(identity), tokenLifetime: environment.tokenLifetime,
                dialTimeout: environment.dialTimeout, requestTimeout: environment.requestTimeout, logger: logger),
            takesDescriptors: false)
    }

    /// The program's name in the mesh.
    public var name: String { environment.name }
    /// Labels that every client and endpoint of the program should have.
    public var labels: [String: String] { environment.labels }

    /// Why nothing is heard of the mesh; empty when all is well.
    public var troubles: [String] {
        var texts: [String] = []
        if let error = identity.lastError { texts.append("an identity: \(error)") }
        if let error = manager.lastError { texts.append("the manager: \(error)") }
        return texts
    }

    /// Follows the identity and keeps the connection to the manager until the task is cancelled.
    public func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.identity.run() }
            group.addTask { await self.manager.run() }
        }
    }

    /// Does so while `body` runs.
    ///
    /// - Throws: what `body` throws.
    public func run<Result: Sendable>(_ body: @Sendable () async throws -> Result) async rethrows -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.run() }
            defer { group.cancelAll() }
            return try await body()
        }
    }
}
