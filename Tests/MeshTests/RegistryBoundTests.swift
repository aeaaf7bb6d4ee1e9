import Concurrency
import MeshTransport
import NSM
import NetworkTypes
import SPIFFE
import TestSupport
import Testing

@testable import Mesh

/// What peers that are trusted can't do all the same.
@Suite("Managers of other hosts, and endpoints, that go too far")
struct RegistryBoundTests {
    private let source = RegistrySource.registry(.tcp(host: "192.0.2.1", port: 5001))

    private func endpoint(_ name: String, bytes: Int = 0) -> NSMNetworkServiceEndpoint {
        .with { endpoint in
            (endpoint.name, endpoint.networkServiceNames) = (name, ["db"])
            endpoint.url = "tcp://192.0.2.2:5001"
            if bytes > 0 {
                endpoint.networkServiceLabels["db"] = .with { $0.labels["x"] = String(repeating: "x", count: bytes) }
            }
        }
    }

    @Test("a registry's endpoints and services are bounded in number, in bytes and by the rules for registrations")
    func bounds() throws {
        let store = RemoteEndpoints(limits: .init(count: 3, bytes: 1000))
        func isTaken(_ name: String, bytes: Int = 0) -> Bool {
            (try? store.take(endpoint(name, bytes: bytes), from: source)) != nil
        }
        #expect(isTaken("a") && isTaken("b") && isTaken("c") && !isTaken("d"))
        // What is told again, and what takes the place of what is gone, counts once.
        for _ in 0..<100 { #expect(isTaken("a", bytes: 500)) }
        #expect(!isTaken("b", bytes: 500) && isTaken("b"))
        store.remove(endpoint("a"), from: source)
        #expect(isTaken("d", bytes: 500) && store.candidates("db").map(\.endpoint.name) == ["b", "c", "d"])
        // What a registry does not tell again in time is in nobody's way, and other registries have limits of their own.
        let other = RegistrySource.registry(.tcp(host: "192.0.2.3", port: 5001))
        try store.take(endpoint("b", bytes: 900), from: other)
        store.lost(source, now: .now.advanced(by: .seconds(-120)))
        #expect(store.all.map(\.endpoint.name) == ["b"] && isTaken("e", bytes: 900))
        store.remove(endpoint("b"), from: other)
        #expect(store.all.map(\.endpoint.name) == ["e"])
        #expect(!isTaken("") && !isTaken("line\nline") && !isTaken(String(repeating: "x", count: 254)))
        #expect(throws: RemoteEndpoints.Omission.self) {
            try store.take(
                endpoint("e").with { $0.networkServiceNames = (0..<65).map { "s\($0)" } }, from: source)
        }

        func service(_ name: String, bytes: Int = 0) -> NSMNetworkService {
            .with { service in
                service.name = name
                service.payload = String(repeating: "x", count: bytes)
            }
        }
        func isServiceTaken(_ name: String, bytes: Int = 0) -> Bool {
            (try? store.take(service(name, bytes: bytes), from: source)) != nil
        }
        for _ in 0..<100 { #expect(isServiceTaken("a", bytes: 500)) }
        #expect(isServiceTaken("b") && isServiceTaken("c") && !isServiceTaken("d") && !isServiceTaken("b", bytes: 500))
        store.remove(service("a"), from: source)
        #expect(isServiceTaken("d", bytes: 500) && !isServiceTaken("line\nline"))
        #expect(store.service("a") == nil && store.service("d") != nil)
        // Services expire as endpoints do.
        store.lost(source, now: .now.advanced(by: .seconds(-59)))
        #expect(store.service("d") != nil && store.service("d", now: .now.advanced(by: .seconds(2))) == nil)
        store.lost(source, now: .now.advanced(by: .seconds(2)))
        #expect(store.service("d") == nil && !store.serviceNames.contains("d") && isServiceTaken("x", bytes: 900))
    }

    @Test(
        "what is left out is told once for each kind of reason, and a registry is followed anew when it has room again")
    func omissions() throws {
        let store = RemoteEndpoints(limits: .init(count: 16, bytes: 1 << 20))
        _ = store.note(nil, of: source)
        func omission(_ name: String) -> RemoteEndpoints.Omission? {
            do throws(RemoteEndpoints.Omission) {
                try store.take(endpoint(name), from: source)
                return nil
            } catch {
                return error
            }
        }
        for number in 0..<16 { #expect(omission("e\(number)") == nil) }
        var news = 0
        for number in 0..<100 {
            let name = number.isMultiple(of: 2) ? "more \(number)" : "line\n\(number)"
            if store.note(try #require(omission(name)), of: source) { news += 1 }
        }
        #expect(news == 2)
        #expect(store.standing(of: source).trouble?.contains("more than is kept") == true)
        // It is followed all the same, also when that is noted later.
        #expect(!store.note(nil, of: source) && store.standing(of: source).since != nil)
        store.remove(endpoint("e0"), from: source)
        #expect(!store.hasRoomAgain(source))
        store.remove(endpoint("e1"), from: source)
        #expect(store.hasRoomAgain(source))
        store.begin(source)
        #expect(!store.hasRoomAgain(source) && store.note(nil, of: source))
        #expect(store.standing(of: source).trouble == nil)
    }

    @Test("a registry that reports too much costs no look at all for each report, and what expires makes room")
    func expiry() async throws {
        let store = RemoteEndpoints(limits: .init(count: 3, bytes: 1 << 20))
        func isTaken(_ name: String) -> Bool { (try? store.take(endpoint(name), from: source)) != nil }
        for name in ["a", "b", "c"] { #expect(isTaken(name)) }
        for number in 0..<100 { #expect(!isTaken("more \(number)")) }
        #expect(store.prunes == 0)
        store.lost([source: .seconds(3600)])
        let before = store.prunes
        for number in 0..<100 { #expect(!isTaken("more \(number)")) }
        #expect(isTaken("a") && store.prunes == before)
        // What has expired is forgotten, and what was told again is not.
        for name in ["b", "c"] { #expect(isTaken(name)) }
        store.lost([source: .milliseconds(1)])
        #expect(isTaken("a"))
        try await eventually("there is room") { isTaken("d") }
        #expect(isTaken("e") && !isTaken("f") && store.candidates("db").map(\.endpoint.name) == ["a", "d", "e"])
    }

    @Test("a registry that has too much of one kind is followed anew when there is room for that kind")
    func kinds() throws {
        func service(_ number: Int) -> NSMNetworkService { .with { $0.name = "s\(number)" } }
        for isOfServices in [false, true] {
            let store = RemoteEndpoints(limits: .init(count: 16, bytes: 1 << 20))
            // The other kind is full to the brim, which is no harm.
            for number in 0..<16 {
                try store.take(endpoint("e\(number)"), from: source)
                try store.take(service(number), from: source)
            }
            let omission = #expect(throws: RemoteEndpoints.Omission.self) {
                if isOfServices {
                    try store.take(service(16), from: source)
                } else {
                    try store.take(endpoint("e16"), from: source)
                }
            }
            #expect(store.note(try #require(omission), of: source))
            for number in 0..<2 {
                #expect(!store.hasRoomAgain(source))
                if isOfServices {
                    store.remove(service(number), from: source)
                } else {
                    store.remove(endpoint("e\(number)"), from: source)
                }
            }
            #expect(store.hasRoomAgain(source))
        }
    }

    @Test("managers of other hosts that nobody uses are forgotten when there are many, and those in use are not")
    func idlePeers() async throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let peers = EndpointPeers(component: try mesh.component("nsmgr")) { _, _ in }
        defer { peers.end() }
        func address(_ number: Int) -> SocketAddress { .tcp(host: "127.1.\(number / 256).\(number % 256)", port: 1) }
        _ = peers.connector(address(0))
        peers.use(.host(address(1)))
        let used = peers.host(address(1))
        for number in 0..<(2 * EndpointPeers.mostIdle) where number != 1 {
            peers.use(.host(address(number)))
            _ = peers.host(address(number))
            peers.leave(.host(address(number))) {}
        }
        #expect(peers.count == EndpointPeers.mostIdle + 2)
        #expect(peers.host(address(1)) === used)
    }

    @Test("another host has half of the connections that there can be, a peer of this one so many, and root all")
    func connections() throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let requests = try mesh.manager().requests
        func most(_ standing: Caller.Standing, address: String? = nil) -> Int {
            requests.mostConnections(
                of: Caller(
                    identity: PeerIdentity(unproven: "x"), credentials: nil, standing: standing,
                    address: address.flatMap { IPAddress($0) }))
        }
        #expect(most(.root) == .max && most(.manager) == .max)
        #expect(most(.manager, address: "192.0.2.1") == 32768 && most(.stranger) == 1024)
    }

    @Test("an answer says nothing of those who stand before us on the path")
    func path() throws {
        let mesh = try MeshFixture()
        defer { mesh.remove() }
        let requests = try mesh.manager().requests
        let end = Timestamp.now.advanced(by: .seconds(60))
        let wanted = NSMConnection.with { connection in
            connection.id = "own"
            connection.path.index = 1
            connection.path.pathSegments = ["client", "host-nsmgr"].map { name in
                .with { segment in
                    segment.name = name
                    segment.setToken(CallToken(text: "token of \(name)", expires: end))
                }
            }
        }
        var answer = wanted
        answer.path.pathSegments.append(.with { $0.name = "endpoint" })
        answer.path.pathSegments[0].name = "somebody"
        answer.path.pathSegments[0].setToken(
            CallToken(text: "another", expires: .now.advanced(by: .seconds(86400 * 365))))
        answer.path.pathSegments[1].token = "for the endpoint"
        let result = requests.answer(answer, to: wanted, .kernel(name: "nsm-1"))
        #expect(result.path.pathSegments.map(\.name) == ["client", "host-nsmgr", "endpoint"])
        #expect(result.path.pathSegments[0] == wanted.path.pathSegments[0])
        #expect(result.path.pathSegments[1].token == "for the endpoint")
        #expect(result.expiryBefore == wanted.expiryBefore)
    }
}

extension NSMNetworkServiceEndpoint {
    fileprivate func with(_ change: (inout Self) -> Void) -> Self {
        var copy = self
        change(&copy)
        return copy
    }
}
