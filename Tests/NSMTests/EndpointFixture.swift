import CLinux
import Glibc
import Logging
import NSM
import TestSupport

/// An endpoint that serves without a manager, and callers who take the manager's place. All by mutual TLS.
final class EndpointFixture: Sendable {
    let authority: CertificateAuthority
    let endpoint: NetworkServiceEndpoint
    let address: SocketAddress
    private let connector: PeerConnector
    static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(_ services: [NetworkServiceEndpoint.Service], at address: SocketAddress? = nil) throws {
        authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(2 * 86400))
        self.address = address ?? .unix("/tmp/nsm-et-\(UInt64.random(in: 0...UInt64.max)).sock")
        let identity = try Self.identity("endpoint", authority)
        connector = PeerConnector(
            .unix("/nonexistent"),
            component: Component(
                name: "endpoint", security: .identity(FixedIdentity(identity)), logger: Self.quiet))
        endpoint = NetworkServiceEndpoint(
            name: "endpoint", services: services, address: self.address, manager: connector)
    }

    static func identity(
        _ name: String, _ authority: CertificateAuthority, lifetime: Duration = .seconds(86400)
    ) throws -> Identity {
        Identity(
            svid: try authority.issue(SPIFFEID("spiffe://example.org/\(name)"), lifetime: lifetime),
            bundles: try authority.bundles())
    }

    func component(_ name: String) throws -> Component {
        Component(
            name: name, security: .identity(FixedIdentity(try Self.identity(name, authority))), logger: Self.quiet)
    }

    /// Serves while `body` runs.
    func run<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.connector.run() }
            group.addTask { try await self.endpoint.run() }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// A connection of `component` to the endpoint, as soon as it listens.
    func connect(_ component: Component) async throws -> ClientConnection {
        while true {
            do throws(TransportError) {
                return try await ClientConnection.connect(
                    to: address, security: component.security, timeout: .seconds(60), logger: Self.quiet)
            } catch {
                guard "\(error)".contains("nobody") || "\(error)".contains("refused") else { throw error }
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    /// Calls of `component` while `body` runs.
    func withCalls<Result: Sendable>(
        _ name: String = "manager", _ body: (Calls) async throws -> Result
    ) async throws -> Result {
        let component = try component(name)
        let connection = try await connect(component)
        let running = Task { await connection.run() }
        do {
            let result = try await body(Calls(connection, component: component))
            connection.closeNow()
            await running.value
            return result
        } catch {
            connection.closeNow()
            await running.value
            throw error
        }
    }

    /// The first request of a client whose path begins at the caller.
    static func request(_ id: String, _ service: String, caller: String = "manager")
        -> Networkservice_NetworkServiceRequest
    {
        var request = Networkservice_NetworkServiceRequest()
        request.connection.id = id
        request.connection.networkService = service
        request.connection.path.pathSegments = [
            .with { segment in
                segment.name = caller
                segment.id = id
            }
        ]
        request.mechanismPreferences = [.kernel(name: "nsm-1")]
        return request
    }
}

/// Waits until `condition` holds; says `what` when it does not within the time.
func eventually(
    _ what: String, within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > end { throw NSMError(.timedOut, "not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// All descriptors that are open in this process.
func openDescriptors() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}
