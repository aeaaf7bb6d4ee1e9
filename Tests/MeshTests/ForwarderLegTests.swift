import Concurrency
import Crypto
import MeshTransport
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    /// A forwarder whose manager passes on whatever other hosts say, as stock ones do.
    @Suite("Whose the legs of a forwarder are") struct ForwarderLegTests {
        private static let patience = Duration.seconds(30)

        /// Runs a forwarder on the host of an endpoint, and hands over calls in the name of its manager.
        private func withForwarder(
            _ body: (RemoteFixture, MeshRequests, Calls) async throws -> Void
        ) async throws {
            let hosts = try RemoteFixture()
            defer { hosts.end() }
            let b = try hosts.host("b")
            _ = try hosts.endpoint("server", at: b)
            try await eventually("registered") { b.manager.requests.store.endpoint("server") != nil }
            let identity = try hosts.mesh.identity("b/forwarder")
            let manager = try hosts.mesh.newIdentity("b/nsmgr").svid.id
            var settings = MeshSettings(
                name: "forwarder", address: .unix("\(hosts.mesh.directory)/fwd.sock"), security: .identity(identity),
                remote: RemoteSettings(listen: nil, tunnelAddress: try address("192.0.2.1")), logger: hosts.mesh.logger)
            settings.host = try hosts.spaces.open("b")
            settings.rights = Rights(settings: MeshRights(), ownDomain: nil, host: "")
            settings.rights.served = { manager }
            let registry = PeerConnector(
                b.socket, component: try hosts.mesh.component("b/forwarder"), takesDescriptors: true)
            let connecting = Task { await registry.run() }
            defer { connecting.cancel() }
            let requests = try MeshRequests(settings, RegistryStore { _ in }, directory: ManagerDirectory(registry))
            let server = RPCServer(
                try ServerListener(settings.address), security: settings.security, services: [requests],
                interceptors: [RightsInterceptor(rights: settings.rights)], logger: settings.logger)
            let serving = Task { try await server.run() }
            defer { serving.cancel() }
            let component = Component(
                name: "nsmgr", security: .identity(try hosts.mesh.identity("b/nsmgr")), logger: hosts.mesh.logger)
            let connection = try await ClientConnection.connect(
                to: settings.address, security: component.security, timeout: .seconds(60), logger: hosts.mesh.logger)
            let running = Task { await connection.run() }
            defer { running.cancel() }
            try await body(hosts, requests, Calls(connection, component: component))
            connection.closeNow()
            requests.end()
        }

        /// What the manager asks for, when a peer at this address sent it this way: names, each with an identity of that name.
        /// Nobody but the manager can tell whether it is true, and that of the last one before it only.
        private func request(
            _ way: [String], from source: String, ids: [String: String] = [:]
        ) throws -> Networkservice_NetworkServiceRequest {
            let end = Timestamp.now.advanced(by: .seconds(600))
            let name = { (name: String) in "spiffe://example.org/\(name == "nsmgr" ? "b/nsmgr" : name)" }
            let all = way + ["nsmgr"]
            var segments: [NSMPathSegment] = []
            for (place, one) in all.enumerated() {
                var segment = NSMPathSegment.with { $0.name = one }
                segment.id = ids[one] ?? "\(one)-0"
                if place + 1 < all.count {
                    let token = try Token.sign(
                        subject: name(one), audience: [name(all[place + 1])], expires: end,
                        key: P256.Signing.PrivateKey())
                    segment.setToken(CallToken(text: token, expires: end))
                }
                segments.append(segment)
            }
            if let id = ids["forwarder"] {
                segments.append(
                    .with { segment in
                        (segment.name, segment.id) = ("forwarder", id)
                    })
            }
            let mechanism = TunnelMechanism(source: try address(source), port: 4789).mechanism
            return .with { request in
                request.connection.id = segments[way.count].id
                request.connection.networkService = "db"
                request.connection.path.index = UInt32(way.count)
                request.connection.path.pathSegments = segments
                request.mechanismPreferences = [mechanism]
            }
        }

        @Test("a forged first token claims no leg that another host's forwarder made")
        func forged() async throws {
            try await withForwarder { hosts, requests, calls in
                let way = ["client", "manager-a", "forwarder-a"]
                let wanted = try request(way, from: "192.0.2.8")
                // On a busy machine the forwarder's own time for an endpoint may be too short at first.
                var made: NSMConnection?
                try await eventually("connected") {
                    made = try? await calls.request(wanted, timeout: Self.patience)
                    return made != nil
                }
                let first = try #require(made)
                let leg = first.path.pathSegments[4].id
                let ids = ["nsmgr": "nsmgr-0", "forwarder": leg]
                let link = try #require(try hosts.spaces.links("server").first)
                let vni = hosts.vni("server", link)
                func remote() throws -> String? {
                    let info = try hosts.spaces.link("server", link)["linkinfo"] as? [String: Any]
                    return (info?["info_data"] as? [String: Any])?["remote"] as? String
                }
                #expect(try remote() == "192.0.2.8")

                // The client's name and token, the manager's id and that of the leg: all but a peer that the manager knows.
                let forged = try request(["client", "evil"], from: "192.0.2.66", ids: ids)
                let other = try await calls.request(forged, timeout: Self.patience)
                #expect(other.path.pathSegments[3].id != leg)
                #expect(other.context.ipContext.srcIpAddrs != first.context.ipContext.srcIpAddrs)
                #expect(try remote() == "192.0.2.8" && hosts.vni("server", link) == vni)
                #expect(try hosts.spaces.links("server").count == 2)
                // Nor does another client behind the same forwarder.
                let neighbour = try await calls.request(
                    try request(["other", "manager-a", "forwarder-a"], from: "192.0.2.8", ids: ids),
                    timeout: Self.patience)
                #expect(neighbour.path.pathSegments[4].id != leg)

                var close = forged.connection
                close.mechanism = forged.mechanismPreferences[0]
                let message = close
                let refused = await #expect(throws: NSMError.self) {
                    try await calls.close(message, timeout: Self.patience)
                }
                #expect(refused?.code == .forbidden)
                #expect(requests.monitor.connection(leg) != nil)

                // Its own forwarder has it again by its id, also when that was forgotten.
                for isForgotten in [false, true] {
                    if isForgotten { requests.known.withLock { $0 = [:] } }
                    var refresh = try request(way, from: "192.0.2.8")
                    refresh.connection = first
                    let message = refresh
                    let again = try await calls.request(message, timeout: Self.patience)
                    #expect(again.path.pathSegments[4].id == leg)
                    #expect(try remote() == "192.0.2.8" && hosts.vni("server", link) == vni)
                }
                try await calls.close(first, timeout: Self.patience)
                #expect(requests.monitor.connection(leg) == nil)
            }
        }

        @Test("an id that an earlier version gave a leg is kept as long as nobody has it")
        func formerVersion() async throws {
            try await withForwarder { hosts, requests, calls in
                let manager = NSMPathSegment.with { ($0.name, $0.id) = ("nsmgr", "nsmgr-0") }
                let leg = MeshRequests.stableID(
                    client: manager, namespace: "", peer: "spiffe://example.org/client")
                // Another client never had it.
                let other = try request(["other", "forwarder-a"], from: "192.0.2.8", ids: ["forwarder": leg])
                var made: NSMConnection?
                try await eventually("connected") {
                    made = try? await calls.request(other, timeout: Self.patience)
                    return made != nil
                }
                #expect(made?.path.pathSegments[3].id != leg)
                let own = try request(
                    ["client", "manager-a", "forwarder-a"], from: "192.0.2.8", ids: ["forwarder": leg])
                for _ in 0..<2 {
                    let answer = try await calls.request(own, timeout: Self.patience)
                    #expect(answer.path.pathSegments[4].id == leg)
                }
                // It is somebody's now.
                let forged = try request(["client", "evil"], from: "192.0.2.66", ids: ["forwarder": leg])
                let answer = try await calls.request(forged, timeout: Self.patience)
                #expect(answer.path.pathSegments[3].id != leg)
                #expect(requests.monitor.owner(leg)?.description == "spiffe://example.org/forwarder-a")
            }
        }
    }
}
