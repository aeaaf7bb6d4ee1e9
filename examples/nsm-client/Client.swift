import Logging
import NSM

/// Connects the network namespace it runs in to a network service, and keeps it connected until SIGTERM or Ctrl-C.
@main
enum Client {
    static func main() async throws {
        // NSM_CONNECT_TO, NSM_NAME, SPIFFE_ENDPOINT_SOCKET and what else clients of Network Service Mesh know.
        let mesh = try MeshAccess(logger: Logger(label: "client"))

        let words = CommandLine.arguments.dropFirst()
        let service = words.first ?? "icmp-responder"
        let client = NetworkServiceClient(
            NetworkServiceClient.Configuration(
                id: "\(mesh.name)-0", networkService: service, labels: mesh.labels,
                interfaceName: words.dropFirst().first ?? "nsm-1", liveness: mesh.environment.liveness),
            manager: mesh.manager)

        print("\(mesh.name) asks \(mesh.manager.address.url) for \(service)")
        try await mesh.run {
            async let told: Void = tellStates(of: client)
            // Requests, refreshes, heals, and at last closes.
            try await client.run(until: terminationSignal)
            await told
        }
    }

    static func tellStates(of client: NetworkServiceClient) async {
        var last = ""
        for await state in client.states where "\(state)" != last {
            last = "\(state)"
            print(last)
        }
    }
}
