import Logging
import NSM

/// Offers a network service from the network namespace it runs in until SIGTERM or Ctrl-C, and gives its clients addresses.
@main
enum Endpoint {
    static func main() async throws {
        // NSM_CONNECT_TO, NSM_NAME, SPIFFE_ENDPOINT_SOCKET and what else endpoints of Network Service Mesh know.
        let mesh = try MeshAccess(logger: Logger(label: "endpoint"))

        let words = CommandLine.arguments.dropFirst()
        let name = words.first ?? "icmp-responder"
        let service = NetworkServiceEndpoint.Service(
            name: name, labels: mesh.labels,
            ipam: PointToPointIPAM(words.dropFirst().first ?? "169.254.0.0/16,fd00:4e53::/112"),
            admit: { request in
                // Whoever may not come in is told why: throw EndpointRefusal("…").
                print("\(request.clientName) \(request.isRefresh ? "stays" : "comes")")
                return EndpointAdmission()
            })
        let endpoint = NetworkServiceEndpoint(name: mesh.name, services: [service], manager: mesh.manager)

        print("\(mesh.name) offers \(name) at \(mesh.manager.address.url)")
        try await mesh.run {
            let told = Task { await tellStates(of: endpoint) }
            defer { told.cancel() }
            // Registers, serves, renews the registration, and at last takes it back.
            try await endpoint.run(until: terminationSignal)
        }
    }

    static func tellStates(of endpoint: NetworkServiceEndpoint) async {
        for await state in endpoint.states { print(state) }
    }
}
