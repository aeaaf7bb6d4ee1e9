internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
public import Logging
internal import Synchronization

/// The identity that the SPIFFE Workload API gives this process, followed for as long as ``run()`` runs.
///
/// While the API is away the last identity stays.
public final class WorkloadIdentity: IdentitySource {
    private let socket: String
    private let logger: Logger
    /// By how much the waits between tries grow.
    private let step: Duration
    private let store = IdentityStore()
    private let error = Mutex<String?>(nil)

    /// Asks at `unix:///path` or `tcp://address:port`.
    public convenience init(socket: String, logger: Logger) {
        self.init(socket: socket, logger: logger, step: .seconds(1))
    }

    /// Waits one, two … thirty `step`s after tries that failed one after another.
    package init(socket: String, logger: Logger, step: Duration) {
        self.socket = socket
        self.logger = logger
        self.step = step
    }

    /// The newest identity; waits for the first one.
    public func identity() async throws -> Identity { try await store.wait() }

    /// The present identity, if there is one, and then each new one.
    public func identities() -> AsyncStream<Identity> { store.follow() }

    /// Why there is no new identity; nil when the API answered last.
    public var lastError: String? { error.withLock { $0 } }

    /// Follows the API until the task is cancelled, or the API says that the request is wrong.
    public func run() async {
        var failures = 0
        while !Task.isCancelled {
            let before = store.current?.svid.chain
            do {
                try await follow()
                note("the stream ended")
            } catch let error as RPCError where error.code == .invalidArgument {
                note("the Workload API refuses the request: \(error.message)")
                return
            } catch is CancellationError {
                return
            } catch {
                note("\(error)")
            }
            failures = store.current?.svid.chain != before ? 1 : min(failures + 1, 30)
            let wait = step * failures * Double.random(in: 0.8...1)
            guard (try? await Task.sleep(for: wait)) != nil else { return }
        }
    }

    private func note(_ text: String) {
        if Task.isCancelled { return }
        let message = "the Workload API at \(socket): \(text)"
        let isNew = error.withLock { error in
            defer { error = message }
            return error != message
        }
        if isNew { logger.warning("no new identity", metadata: ["error": "\(message)"]) }
    }

    private func follow() async throws {
        let target = try Self.target(socket)
        try await withThrowingDiscardingTaskGroup { group in
            let transport = try HTTP2ClientTransport.Posix(target: target, transportSecurity: .plaintext)
            let client = GRPCClient(transport: transport)
            group.addTask { try await client.runConnections() }
            defer { group.cancelAll() }
            let api = SPIFFESpiffeWorkloadAPI.Client(wrapping: client)
            // Without it a call waits for ever for a socket that nobody made.
            var options = CallOptions.defaults
            options.waitForReady = false
            try await api.fetchX509SVID(
                SPIFFEX509SVIDRequest(), metadata: ["workload.spiffe.io": "true"], options: options
            ) { response in
                for try await message in response.messages {
                    do {
                        self.store.replace(try Identity(message))
                        self.error.withLock { $0 = nil }
                    } catch {
                        self.note("an answer can't be used: \(error)")
                    }
                }
            }
        }
    }

    private static func target(_ socket: String) throws(SPIFFEError) -> any ResolvableTarget {
        if socket.hasPrefix("unix:") {
            var path = socket.dropFirst(5)
            if path.hasPrefix("//") { path = path.dropFirst(2) }
            guard path.hasPrefix("/") else { throw SPIFFEError("\(socket) is no absolute path") }
            return .unixDomainSocket(path: String(path))
        }
        // An IPv6 address stands in brackets.
        guard socket.hasPrefix("tcp://"), let colon = socket.lastIndex(of: ":"),
            let port = Int(socket[socket.index(after: colon)...]), (1...65535).contains(port)
        else { throw SPIFFEError("\(socket) is neither unix:///path nor tcp://address:port") }
        let host = socket[..<colon].dropFirst("tcp://".count)
        if host.hasPrefix("["), host.hasSuffix("]") {
            return .ipv6(address: String(host.dropFirst().dropLast()), port: port)
        }
        return .ipv4(address: String(host), port: port)
    }
}

extension Identity {
    /// The default identity of an answer, and all bundles.
    init(_ response: SPIFFEX509SVIDResponse) throws(SPIFFEError) {
        guard let first = response.svids.first else { throw SPIFFEError("the answer holds no identity") }
        let svid = try X509SVID(
            chain: splitCertificates(first.x509Svid), privateKeyPKCS8: Array(first.x509SvidKey))
        guard svid.id.description == first.spiffeID else {
            throw SPIFFEError("the certificate is of \(svid.id), and the answer says \(first.spiffeID)")
        }
        var authorities: [String: [[UInt8]]] = [:]
        for (domain, bytes) in response.federatedBundles {
            authorities[try SPIFFEID(domain).trustDomain] = try splitCertificates(bytes)
        }
        authorities[svid.id.trustDomain] = try splitCertificates(first.bundle)
        self.init(svid: svid, bundles: try TrustBundles(authorities))
    }

    /// The bundles alone.
    func bundlesResponse() -> SPIFFEX509BundlesResponse {
        var response = SPIFFEX509BundlesResponse()
        for (domain, certificates) in bundles.authorities {
            response.bundles["spiffe://\(domain)", default: .init()].append(contentsOf: certificates.joined())
        }
        return response
    }

    /// The answer for a caller who has this identity.
    func response() -> SPIFFEX509SVIDResponse {
        var message = SPIFFEX509SVID()
        message.spiffeID = svid.id.description
        message.x509Svid.append(contentsOf: svid.chain.joined())
        message.x509SvidKey.append(contentsOf: svid.privateKeyPKCS8)
        message.bundle.append(contentsOf: (bundles.authorities[svid.id.trustDomain] ?? []).joined())
        var response = SPIFFEX509SVIDResponse()
        response.svids = [message]
        for (domain, certificates) in bundles.authorities where domain != svid.id.trustDomain {
            response.federatedBundles["spiffe://\(domain)", default: .init()].append(contentsOf: certificates.joined())
        }
        return response
    }
}
