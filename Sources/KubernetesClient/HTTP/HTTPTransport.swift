internal import Concurrency
internal import NIOCore
internal import Synchronization

/// Sends requests on connections that are kept for the next ones.
package final class HTTPTransport: Sendable {
    private let configuration: KubernetesConfiguration
    private let identity: KubernetesIdentity
    private let idle = Mutex<[HTTPConnection]>([])

    package init(_ configuration: KubernetesConfiguration) {
        self.configuration = configuration
        identity = KubernetesIdentity(configuration)
    }

    deinit { close() }

    /// Ends connections that wait to be used.
    package func close() {
        let connections = idle.withLock { idle in
            defer { idle = [] }
            return idle
        }
        for connection in connections { connection.close() }
    }

    /// Sends a request and waits for the answer. A request that a kept connection was lost for is sent again on a new one, unless it
    /// would make something twice.
    package func send(_ request: HTTPRequest) async throws(KubernetesError) -> HTTPAnswer {
        let secure = try identity.secure()
        if let kept = takeIdle(secure) {
            let taker = WholeAnswer(
                limit: configuration.limits.answerBytes, rest: configuration.limits.operationTimeout)
            do throws(KubernetesError) {
                return try await send(request, on: kept, taker)
            } catch {
                guard error.code == .unreachable, !taker.hasBegun, request.method != .post, !Task.isCancelled else {
                    throw error
                }
            }
        }
        let connection = try await HTTPConnection.connect(configuration, secure)
        return try await send(
            request, on: connection,
            WholeAnswer(limit: configuration.limits.answerBytes, rest: configuration.limits.operationTimeout))
    }

    private func send(
        _ request: HTTPRequest, on connection: HTTPConnection, _ taker: WholeAnswer
    ) async throws(KubernetesError) -> HTTPAnswer {
        let head = request.head(
            configuration.server, token: try identity.token(), userAgent: configuration.userAgent)
        connection.send(head, request.body, to: taker, patience: configuration.limits.operationTimeout)
        let result = await taker.result.value(
            orIfCancelled: .failure(KubernetesError(.unreachable, "the request was cancelled")))
        switch result {
        case .success(let answer):
            if answer.keepsConnection { keep(connection) } else { connection.close() }
            return answer
        case .failure(let error):
            connection.close()
            throw error
        }
    }

    /// Sends a request and hands each line of the answer to `body`, until the answer ends.
    ///
    /// - Parameters:
    ///   - time: How long the answer may last.
    ///   - began: Called once the server has begun to answer well.
    package func lines(
        _ request: HTTPRequest, time: Duration, began: () async throws -> Void = {},
        _ body: ([UInt8]) async throws -> Void
    ) async throws {
        let connection = try await HTTPConnection.connect(configuration, try identity.secure())
        defer { connection.close() }
        let head = request.head(
            configuration.server, token: try identity.token(), userAgent: configuration.userAgent)
        let taker = LineAnswer(limit: configuration.limits.lineBytes, rest: time)
        connection.send(head, request.body, to: taker, patience: configuration.limits.operationTimeout)
        if await taker.hasBegunWell() { try await began() }
        while let line = try await taker.next({ connection.channel.read() }) { try await body(line) }
    }

    private func takeIdle(_ secure: KubernetesIdentity.Secure?) -> HTTPConnection? {
        idle.withLock { idle in
            while let connection = idle.popLast() {
                if connection.isUsable, connection.generation == secure?.generation ?? 0 { return connection }
                connection.close()
            }
            return nil
        }
    }

    private func keep(_ connection: HTTPConnection) {
        let isKept = idle.withLock { idle in
            guard idle.count < configuration.limits.idleConnections else { return false }
            idle.append(connection)
            return true
        }
        if !isKept { connection.close() }
    }
}
