package import MeshTransport
internal import GRPCCore
internal import SPIFFE

/// The calls of the mesh on one transport connection, each with its token.
package struct Calls: Sendable {
    /// The connection.
    package let connection: ClientConnection
    /// Who calls.
    package let component: Component

    /// Makes calls of `component` on `connection`.
    package init(_ connection: ClientConnection, component: Component) {
        self.connection = connection
        self.component = component
    }

    /// The metadata of a call.
    ///
    /// - Throws: ``NSMError`` when no token can be signed.
    func metadata() throws(NSMError) -> Metadata {
        let token = try component.token(for: connection.info)
        return [WellKnown.token: "\(token.text)", WellKnown.tokenExpires: "\(token.expires.rfc3339)"]
    }

    /// The options of a call that must end in time.
    static func options(_ timeout: Duration?) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = timeout
        return options
    }

    /// Asks for a connection.
    ///
    /// - Throws: ``NSMError`` with the peer's words.
    package func request(
        _ message: Networkservice_NetworkServiceRequest, timeout: Duration
    ) async throws -> NSMConnection {
        let client = Networkservice_NetworkService.Client(wrapping: connection.client)
        let metadata = try metadata()
        return try await explained {
            try await client.request(message, metadata: metadata, options: Self.options(timeout))
        }
    }

    /// Closes a connection. A connection that the peer does not know is no error.
    ///
    /// - Throws: ``NSMError`` with the peer's words.
    package func close(_ message: NSMConnection, timeout: Duration) async throws {
        let client = Networkservice_NetworkService.Client(wrapping: connection.client)
        let metadata = try metadata()
        _ = try await explained {
            try await client.close(message, metadata: metadata, options: Self.options(timeout))
        }
    }

    /// Watches connections; `body` gets each event until it returns false or the stream ends.
    ///
    /// - Throws: ``NSMError``, or `CancellationError`.
    package func monitor(
        _ selector: NSMMonitorScopeSelector, timeout: Duration? = nil,
        body: @escaping @Sendable (NSMConnectionEvent) async throws -> Bool
    ) async throws {
        let client = NSMMonitorConnection.Client(wrapping: connection.client)
        let metadata = try metadata()
        try await explained {
            try await client.monitorConnections(selector, metadata: metadata, options: Self.options(timeout)) {
                response in
                for try await event in response.messages {
                    guard try await body(event) else { return }
                }
            }
        }
    }

    /// Makes a call, and turns what the transport throws into the errors of this room.
    func explained<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        do {
            return try await connection.whileOpen(body)
        } catch let error as RPCError {
            if error.code == .cancelled, Task.isCancelled { throw CancellationError() }
            throw NSMError(error)
        } catch let error as TransportError {
            throw NSMError(.unreachable, error.description)
        }
    }
}

extension NSMError {
    /// The words of a peer.
    init(_ error: RPCError) {
        let code: Code =
            switch error.code {
            case .unavailable: .unreachable
            case .deadlineExceeded: .timedOut
            case .unauthenticated, .permissionDenied: .forbidden
            default: .refused
            }
        let cause = error.cause.map { " (\($0))" } ?? ""
        self.init(code, "\(error.code): \(error.message)\(cause)")
    }
}
