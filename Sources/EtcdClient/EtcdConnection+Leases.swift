internal import GRPCCore

extension EtcdConnection {
    /// Asks for a lease. It ends unless it is kept alive. Returns its number.
    ///
    /// - Throws: ``EtcdError``.
    public func grantLease(seconds: Int64) async throws(EtcdError) -> Int64 {
        var request = Etcdserverpb_LeaseGrantRequest()
        request.ttl = seconds
        let message = request
        let lease = Etcdserverpb_Lease.Client(wrapping: client)
        let answer = try await call { try await lease.leaseGrant(message, metadata: $0, options: $1) }
        guard answer.error.isEmpty else { throw EtcdError(.refused, answer.error, endpoint) }
        return answer.id
    }

    /// Ends a lease, and with it its keys.
    ///
    /// - Throws: ``EtcdError``.
    public func revokeLease(_ id: Int64) async throws(EtcdError) {
        var request = Etcdserverpb_LeaseRevokeRequest()
        request.id = id
        let message = request
        let lease = Etcdserverpb_Lease.Client(wrapping: client)
        _ = try await call { try await lease.leaseRevoke(message, metadata: $0, options: $1) }
    }

    /// Keeps a lease alive until the task is cancelled.
    ///
    /// - Throws: ``EtcdError`` when it has ended, or the connection.
    public func keepAlive(_ id: Int64) async throws {
        let lease = Etcdserverpb_Lease.Client(wrapping: client)
        let endpoint = endpoint
        // The next sign of life is due when a third of what the last answer gave is over.
        let (waits, next) = AsyncStream<Duration>.makeStream()
        next.yield(.zero)
        try await Self.explained(endpoint) { [metadata = streamMetadata(), configuration] in
            try await lease.leaseKeepAlive(metadata: metadata, options: Self.options(configuration, nil)) { writer in
                var request = Etcdserverpb_LeaseKeepAliveRequest()
                request.id = id
                for await wait in waits {
                    try await Task.sleep(for: wait)
                    try await writer.write(request)
                }
            } onResponse: { response in
                for try await answer in response.messages {
                    guard answer.ttl > 0 else { throw EtcdError(.leaseExpired, "the lease has ended", endpoint) }
                    next.yield(.milliseconds(min(answer.ttl, 86_400) * 1000 / 3))
                }
            }
        }
        try Task.checkCancellation()
        throw EtcdError(.unreachable, "the member ended the stream", endpoint)
    }
}
