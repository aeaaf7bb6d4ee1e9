import Glibc
import Logging
import TestSupport
import Testing

@testable import SPIFFE

@Suite("Bundles of other trust domains")
struct FederatedBundleTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func authority(_ domain: String) throws -> CertificateAuthority {
        try CertificateAuthority(newFor: domain, lifetime: .seconds(3600))
    }

    private func identity(_ authority: CertificateAuthority) throws -> Identity {
        Identity(
            svid: try authority.issue(SPIFFEID("spiffe://\(authority.trustDomain)/x"), lifetime: .seconds(600)),
            bundles: try authority.bundles())
    }

    private func write(_ text: String, _ path: String) throws {
        let part = path + ".new"
        let file = try #require(fopen(part, "w"))
        fputs(text, file)
        fclose(file)
        #expect(rename(part, path) == 0)
    }

    @Test("are read from files, and again when these change")
    func files() async throws {
        var template = Array("/tmp/nsm-bundles-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { _ = try? Command.run(["rm", "-rf", directory]) }
        let path = "\(directory)/b.pem"
        let (own, other) = (try authority("a.test"), try authority("b.test"))
        let peer = try identity(other)

        // A file that is not there yet is no reason not to start.
        let bundles = FederatedBundles(["b.test": path], logger: logger)
        let base = FixedIdentity(try identity(own))
        let source = FederatedIdentity(base, bundles)
        await #expect(throws: SPIFFEError.self) { try await source.identity().verify(chain: peer.svid.chain) }

        var workload = bundles.joined(to: base.identities()).makeAsyncIterator()
        #expect(await workload.next()?.bundles.authorities.keys.sorted() == ["a.test"])
        let pem = try other.bundles().pem(of: "b.test")
        #expect(pem.hasPrefix("-----BEGIN CERTIFICATE-----\n"))
        #expect(!pem.contains("PRIVATE"))
        try write(pem, path)
        #expect(try await source.identity().verify(chain: peer.svid.chain).id == peer.svid.id)
        #expect(await workload.next()?.bundles.authorities.keys.sorted() == ["a.test", "b.test"])

        // One that is wrong leaves what was there.
        try write("nonsense", path)
        _ = try await source.identity().verify(chain: peer.svid.chain)
        let next = try authority("b.test")
        try write(try next.bundles().pem(of: "b.test") + pem, path)
        _ = try await source.identity().verify(chain: try identity(next).svid.chain)
        _ = try await source.identity().verify(chain: peer.svid.chain)
        // Rotation of its own keeps them.
        base.replace(try identity(own))
        #expect(await workload.next()?.bundles.authorities["b.test"] != nil)
    }

    @Test("a peer with our trust domain's name and another authority is told apart")
    func sameName() async throws {
        let own = try identity(try authority("nsm.local"))
        let peer = try identity(try authority("nsm.local"))
        let refusal = await #expect(throws: SPIFFEError.self) { try await own.verify(chain: peer.svid.chain) }
        #expect(refusal?.description.contains("need trust domains of different names") == true)
        // The authority in a file can't take the place of our own.
        #expect(try await own.verify(chain: own.svid.chain).id == own.svid.id)
    }
}
