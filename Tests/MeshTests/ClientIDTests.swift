import NSM
import Testing

@testable import Mesh
@testable import MeshTransport

@Suite("Ids that clients give") struct ClientIDTests {
    private func connection(_ own: String, client: String = "host", id: String = "host-db") -> NSMConnection {
        .with { connection in
            connection.id = own
            connection.path.pathSegments = [.with { ($0.name, $0.id) = (client, id) }, .with { $0.id = own }]
        }
    }
    private func space(_ number: UInt64) -> PeerNamespace {
        PeerNamespace(cookie: number, inode: Inode(device: 4, number: number))
    }
    private let one = PeerIdentity(unproven: "one")
    private let other = PeerIdentity(unproven: "other")

    @Test("one that is in use is refused to another namespace, and given to it when it is not")
    func namespaces() throws {
        let ids = ClientIDs()
        #expect(try ids.take(for: connection("1"), .init(id: "1", peer: one, namespace: space(1))) { _ in true } == nil)
        // Refreshes, the same client by another id here, and other clients.
        #expect(try ids.take(for: connection("1"), .init(id: "1", peer: one, namespace: space(1))) { _ in true } == nil)
        #expect(try ids.take(for: connection("2"), .init(id: "2", peer: one, namespace: space(1))) { _ in true } == nil)
        #expect(
            try ids.take(for: connection("3", id: "host-web"), .init(id: "3", peer: other, namespace: space(2))) { _ in
                true
            } == nil)
        #expect(ids.count == 2)
        let refusal = #expect(throws: (any Error).self) {
            try ids.take(for: connection("4"), .init(id: "4", peer: other, namespace: space(2))) { holder in
                #expect(holder == .init(id: "2", peer: one, namespace: space(1)))
                return true
            }
        }
        #expect("\(try #require(refusal))".contains("host-db of host is in use from another network namespace"))
        #expect(
            try ids.take(for: connection("4"), .init(id: "4", peer: other, namespace: space(2))) { _ in false } == "2")
        // What was displaced no longer gives anything back.
        ids.release("2")
        #expect(throws: (any Error).self) {
            try ids.take(for: connection("2"), .init(id: "2", peer: one, namespace: space(1))) { _ in true }
        }
        ids.release("4")
        ids.release("3")
        #expect(ids.count == 0)
        #expect(try ids.take(for: connection("2"), .init(id: "2", peer: one, namespace: space(1))) { _ in true } == nil)
    }

    @Test("root takes one from a stranger, and no stranger takes it from root")
    func trusted() throws {
        let ids = ClientIDs()
        let root = ClientIDs.Holder(id: "1", peer: one, namespace: space(1), isTrusted: true)
        let stranger = ClientIDs.Holder(id: "2", peer: other, namespace: space(2))
        #expect(try ids.take(for: connection("2"), stranger) { _ in true } == nil)
        #expect(try ids.take(for: connection("1"), root) { _ in true } == "2")
        #expect(throws: (any Error).self) { try ids.take(for: connection("2"), stranger) { _ in true } }
    }

    @Test("where the kernel tells no namespace nobody is refused")
    func unknown() throws {
        let ids = ClientIDs()
        #expect(try ids.take(for: connection("1"), .init(id: "1", peer: one, namespace: nil)) { _ in true } == nil)
        #expect(
            try ids.take(for: connection("2"), .init(id: "2", peer: other, namespace: space(2))) { _ in true } == nil)
        #expect(try ids.take(for: .init(), .init(id: "", peer: other, namespace: space(2))) { _ in true } == nil)
    }

    @Test("a connection is in use while its client watches it from where it is")
    func watched() {
        let monitor = ConnectionMonitor()
        monitor.update(connection("1"), owner: one)
        #expect(!monitor.isWatched("1", by: one, from: space(1)))
        let selector = NSMMonitorScopeSelector.with { $0.pathSegments = [.with { $0.name = "host" }] }
        withExtendedLifetime(monitor.watch(selector, in: .of(one), from: space(1))) {
            #expect(monitor.isWatched("1", by: one, from: space(1)) && !monitor.isWatched("1", by: one, from: space(2)))
            #expect(
                !monitor.isWatched("1", by: other, from: space(1)) && !monitor.isWatched("2", by: one, from: space(1)))
        }
    }
}
