import MeshTransport
import Netlink
import Testing

@testable import Mesh

@Suite("Cookies of namespaces")
struct NamespaceCookieTests {
    /// A namespace without a name, open twice.
    private func make() throws -> (space: NetworkNamespace, descriptor: Descriptor) {
        let space = try NetworkNamespace.scratch()
        return (space, try Descriptor.open("/proc/self/fd/\(space.descriptor)", pathOnly: true))
    }

    private func again(_ descriptor: Descriptor) throws -> NetworkNamespace {
        try NetworkNamespace(path: descriptor.path)
    }

    @Test("each namespace has its own, whoever holds it, and none after it has gone")
    func held() throws {
        let cookies = NamespaceCookies()
        let (space, descriptor) = try make()
        let (other, otherDescriptor) = try make()
        let cookie = try cookies.cookie(of: space, descriptor)
        #expect(try cookies.cookie(of: other, otherDescriptor) != cookie)
        #expect(try cookies.cookie(of: again(descriptor), descriptor) == cookie)
        #expect(cookies.asked == 2)
        // By the latest descriptor alone, as endpoints have it.
        var latest = try Descriptor.open("/proc/self/fd/\(other.descriptor)", pathOnly: true)
        for _ in 0..<3 {
            let next = try Descriptor.open(latest.path, pathOnly: true)
            _ = try cookies.cookie(of: again(next), next)
            latest = next
        }
        #expect(cookies.asked == 2)
        withExtendedLifetime((space, other, otherDescriptor)) {}
    }

    @Test("a number that is given again is not mistaken for that of the namespace before")
    func reused() throws {
        let cookies = NamespaceCookies()
        var seen: [NetworkNamespace.Identity: Set<UInt64>] = [:]
        for _ in 0..<200 {
            let (space, descriptor) = try make()
            seen[space.identity, default: []].insert(try cookies.cookie(of: space, descriptor))
        }
        // Each was another namespace, whatever its number.
        #expect(seen.values.reduce(0) { $0 + $1.count } == 200)
        #expect(cookies.asked == 200)
        #expect(cookies.count <= 65)
    }
}
