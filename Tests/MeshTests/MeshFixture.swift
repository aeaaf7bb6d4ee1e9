import MeshTransport
import Glibc
import Logging
import NSM
import Netlink
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

/// A mesh in one process: an authority, a manager, and namespaces for clients and endpoints.
final class MeshFixture: Sendable {
    let directory: String
    let authority: CertificateAuthority
    let logger: Logger

    init() throws {
        var template = Array("/tmp/nsm-mesh-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("no directory") }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // Long fuzz goes on for hours.
        authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(2 * 86400))
        var logger = Logger(label: "mesh", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = getenv("NSM_TEST_LOG") == nil ? .critical : .debug
        self.logger = logger
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ text: String) { description = text }
    }

    func identity(_ name: String, lifetime: Duration = .seconds(86400)) throws -> FixedIdentity {
        FixedIdentity(try newIdentity(name, lifetime: lifetime))
    }

    func newIdentity(_ name: String, lifetime: Duration = .seconds(86400)) throws -> Identity {
        Identity(
            svid: try authority.issue(SPIFFEID("spiffe://example.org/\(name)"), lifetime: lifetime),
            bundles: try authority.bundles())
    }

    func component(_ name: String, lifetime: Duration = .seconds(600)) throws -> Component {
        Component(
            name: name, security: .identity(try identity(name)), tokenLifetime: lifetime, dialTimeout: .seconds(30),
            requestTimeout: .seconds(60), logger: logger)
    }

    var managerSocket: SocketAddress { .unix("\(directory)/nsm.io.sock") }

    /// - Parameter rights: Who may do what. Peers of a test have its user and its network namespace: they are the host's root.
    func manager(
        _ source: FixedIdentity? = nil, at address: SocketAddress? = nil, rights: MeshRights = MeshRights()
    ) throws -> MeshManager {
        var settings = MeshSettings(
            name: "host-nsmgr", address: address ?? managerSocket,
            security: .identity(try source ?? identity("nsmgr")), logger: logger)
        settings.rights = Rights(settings: rights, ownDomain: nil, host: "host")
        // On a busy machine a handshake within one process may take seconds.
        settings.dialTimeout = .seconds(20)
        return try MeshManager(settings)
    }

    /// Makes a namespace, runs `body` and removes it.
    func withNamespace<Result>(_ name: String, _ body: (String) async throws -> Result) async throws -> Result {
        _ = try NetworkNamespace.create(named: name, directory: "/run/netns")
        defer { try? NetworkNamespace.remove(named: name, directory: "/run/netns") }
        return try await body("/run/netns/\(name)")
    }

    func remove() { _ = try? Command.run(["rm", "-rf", directory]) }
}

/// Waits until `condition` holds; says `what` when it does not within the time.
func eventually(
    _ what: String, within limit: Duration = .seconds(90), _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        if ContinuousClock.now > end { throw MeshFixture.Failure("not within \(limit): \(what)") }
        try await Task.sleep(for: .milliseconds(10))
    }
}

func run(_ words: String) throws -> String { try Command.run(words.split(separator: " ").map(String.init)) }

extension Caller {
    /// One whom nothing is known of but his name.
    static func stranger(_ name: String, account: String? = nil) -> Caller {
        Caller(
            identity: PeerIdentity(unproven: name, account: account), credentials: nil, standing: .stranger,
            address: nil)
    }
}
