package import GRPCCore

/// The SPIFFE Workload API as a service.
package struct WorkloadAPIService: SPIFFESpiffeWorkloadAPI.ServiceProtocol {
    private let identities: @Sendable (ServerContext) async throws -> AsyncStream<Identity>

    /// Serves the identities that `identities` gives for a caller: the present one at once, and each that follows.
    ///
    /// It throws `RPCError` with `permissionDenied` for callers that have none.
    package init(identities: @escaping @Sendable (ServerContext) async throws -> AsyncStream<Identity>) {
        self.identities = identities
    }

    /// The caller's identity, and each that replaces it.
    package func fetchX509SVID(
        request: ServerRequest<SPIFFEX509SVIDRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<SPIFFEX509SVIDResponse> {
        try Self.checkHeader(request.metadata)
        let stream = try await identities(context)
        return StreamingServerResponse { writer in
            try await forward(stream, to: RPCWriter<Identity>.mapping(writer) { $0.response() }, context)
            return [:]
        }
    }

    /// The bundles alone.
    package func fetchX509Bundles(
        request: ServerRequest<SPIFFEX509BundlesRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<SPIFFEX509BundlesResponse> {
        try Self.checkHeader(request.metadata)
        let stream = try await identities(context)
        return StreamingServerResponse { writer in
            try await forward(stream, to: RPCWriter<Identity>.mapping(writer) { $0.bundlesResponse() }, context)
            return [:]
        }
    }

    /// The header keeps browsers and proxies from asking for somebody else.
    private static func checkHeader(_ metadata: Metadata) throws(RPCError) {
        guard metadata[stringValues: "workload.spiffe.io"].contains("true") else {
            throw RPCError(code: .invalidArgument, message: "the header workload.spiffe.io: true is missing")
        }
    }
}
