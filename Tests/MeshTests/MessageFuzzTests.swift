import GRPCCore
import MeshTransport
import NSM
import SPIFFE
import SwiftProtobuf
import TestSupport
import Testing

@testable import Mesh

/// Random messages to a manager and to one of its endpoints: they harm nobody but their sender.
@Suite("Random messages to a manager", .serialized)
struct MessageFuzzTests {
    /// A registration with something in every field.
    private static let endpoint = NSMNetworkServiceEndpoint.with { endpoint in
        endpoint.name = "evil-e"
        endpoint.networkServiceNames = ["evil-s", "evil-t"]
        endpoint.networkServiceLabels["evil-s"] = .with { $0.labels = ["app": "a"] }
        endpoint.url = "tcp://127.0.0.1:1"
        endpoint.expirationTime = .with { $0.seconds = 2_000_000_000 }
        endpoint.pathIds = ["spiffe://example.org/evil"]
    }
    private static let service = NSMNetworkService.with { service in
        service.name = "evil-s"
        service.payload = "IP"
        service.matches = [
            .with { match in
                match.sourceSelector = ["app": "{{.app}}"]
                match.routes = [.with { $0.destinationSelector = ["app": "{{.app}}{{"] }]
                match.fallthrough = true
            }
        ]
    }
    private static let selector = NSMMonitorScopeSelector.with { selector in
        selector.pathSegments = [
            .with {
                $0.name = "evil"; $0.id = "x"; $0.token = "t"
            }
        ]
        selector.networkServices = ["svc"]
    }

    /// A message in which something is wrong; nil when it can't be written at all.
    private static func changed<M: SwiftProtobuf.Message>(_ message: M, _ random: inout SeededGenerator) throws -> M? {
        if random.chance(30) {
            let bytes: [UInt8] = try message.serializedBytes()
            return try? M(serializedBytes: random.mutated(bytes))
        }
        return try random.mutatedJSON(message.jsonString(), percent: 15).flatMap { try? M(jsonString: $0) }
    }

    /// Calls the peer with one message, whatever it answers.
    private static func call(
        _ seed: UInt64, _ target: Target, _ calls: Calls, _ registry: RegistryClient
    ) async throws {
        var random = SeededGenerator(seed: seed)
        switch random.below(8) {
        case 0...2:
            var whole = target.request("evil", "x\(random.below(5))")
            let space = try Descriptor.open("/proc/self/ns/net", pathOnly: true)
            try calls.connection.info.descriptors?.send(space)
            whole.mechanismPreferences[0].parameters[WellKnown.inodeURL] = space.inode.url
            guard var request = try changed(whole, &random) else { return }
            if random.chance(50) { request.connection.networkServiceEndpointName = random.nastyText() }
            guard let answer = try? await calls.request(request, timeout: .seconds(30)) else { return }
            try? await calls.close(answer, timeout: .seconds(30))
        case 3:
            guard let request = try changed(target.request(), &random) else { return }
            try? await calls.close(request.connection, timeout: .seconds(30))
        case 4:
            guard let endpoint = try changed(endpoint, &random) else { return }
            guard let registered = try? await registry.register(endpoint, socket: nil) else { return }
            _ = try? await registry.find(endpoint)
            if random.chance(80) { try? await registry.unregister(registered, socket: nil) }
        case 5:
            guard let service = try changed(service, &random) else { return }
            guard let registered = try? await registry.register(service) else { return }
            _ = try? await registry.find(service)
            if random.chance(80) { try? await registry.unregister(registered) }
        case 6:
            if let endpoint = try changed(endpoint, &random) { _ = try? await registry.find(endpoint) }
            if let service = try changed(service, &random) { _ = try? await registry.find(service) }
        default:
            guard let selector = try changed(selector, &random) else { return }
            try? await calls.monitor(selector, timeout: .seconds(30)) { _ in false }
        }
    }

    @Test("whatever it is told, it goes on to serve others", .timeLimit(.minutes(60)))
    func manager() async throws {
        try await BadPeerTests().withTargets("fz1") { target in
            try await target.withEvil { connection, component in
                let calls = Calls(connection, component: component)
                let connector = PeerConnector(target.address, component: component)
                let running = Task { await connector.run() }
                let registry = RegistryClient(connector)
                for seed in Seeds("messages to \(target.name)", usual: 40, long: 10_000, step: 1000) {
                    try await Self.call(seed, target, calls, registry)
                    if seed % 500 == 0 { try await target.client.refresh() }
                }
                running.cancel()
                await running.value
            }
            try await target.expectHealthy("random messages")
        }
    }
}
