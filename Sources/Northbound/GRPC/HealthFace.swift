internal import GRPCCore

/// `grpc.health.v1.Health`. A server that answers is serving.
struct HealthFace: Grpc_Health_V1_Health.SimpleServiceProtocol {
    /// Full names of the services.
    let services: [String]

    func check(
        request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
    ) async throws -> Grpc_Health_V1_HealthCheckResponse {
        guard let response = response(request.service) else {
            throw RPCError(code: .notFound, message: "there is no service \(request.service) here")
        }
        return response
    }

    func watch(
        request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
        context: ServerContext
    ) async throws {
        var unknown = Grpc_Health_V1_HealthCheckResponse()
        unknown.status = .serviceUnknown
        try await response.write(self.response(request.service) ?? unknown)
        // Nothing changes before the server ends.
        try await context.cancellation.cancelled
    }

    private func response(_ service: String) -> Grpc_Health_V1_HealthCheckResponse? {
        guard service.isEmpty || services.contains(service) else { return nil }
        var response = Grpc_Health_V1_HealthCheckResponse()
        response.status = .serving
        return response
    }
}
