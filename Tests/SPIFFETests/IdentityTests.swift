import Concurrency
import Crypto
import TestSupport
import Testing

@testable import SPIFFE

@Suite("SPIFFE identities")
struct IdentityTests {
    @Test(
        "ids are read and written",
        arguments: ["spiffe://example.org", "spiffe://example.org/a/b-c_d.e", "spiffe://a/X"])
    func goodIDs(text: String) throws {
        #expect(try SPIFFEID(text).description == text)
    }

    @Test(
        "what is no id is refused",
        arguments: [
            "", "spiffe://", "http://a/b", "spiffe://A/b", "spiffe://a//b", "spiffe://a/b/", "spiffe://a/../b",
            "spiffe://a/ü",
            "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a:1/b", "SPIFFE://a/b",
            "spiffe://a/\(String(repeating: "x", count: 2048))",
        ])
    func badIDs(text: String) {
        #expect(throws: SPIFFEError.self) { try SPIFFEID(text) }
    }

    @Test("an authority's identity is accepted by its bundle")
    func issue() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let svid = try authority.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(600))
        let peer = try await authority.bundles().verify(chain: svid.chain)
        #expect(peer.id.description == "spiffe://example.org/w")
        #expect(peer.publicKey.rawRepresentation == svid.privateKey.publicKey.rawRepresentation)
        #expect(svid.notAfter < Timestamp.now.advanced(by: .seconds(601)))
    }

    @Test("an authority survives being stored")
    func store() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let again = try #require(CertificateAuthority.all(pem: authority.pem).first)
        #expect(again.certificate == authority.certificate)
        let svid = try again.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(7200))
        #expect(svid.notAfter <= authority.notAfter)
        _ = try await authority.bundles().verify(chain: svid.chain)
        let other = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        func part(_ text: String, _ first: Bool) -> String {
            let border = "-----END PRIVATE KEY-----"
            let end = text.firstRange(of: border)?.upperBound ?? text.endIndex
            return String(first ? text[..<end] : text[end...])
        }
        for bad in ["", "x", part(authority.pem, true), part(authority.pem, true) + part(other.pem, false)] {
            #expect(throws: (any Error).self) { try CertificateAuthority.all(pem: bad) }
        }
    }

    @Test("other authorities, other domains, authorities themselves and ended identities are refused")
    func refused() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let other = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let foreign = try CertificateAuthority(newFor: "foreign.org", lifetime: .seconds(3600))
        let bundles = try authority.bundles()
        for chain in [
            try other.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(60)).chain,
            try foreign.issue(SPIFFEID("spiffe://foreign.org/w"), lifetime: .seconds(60)).chain,
            try authority.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(-1)).chain,
            [authority.certificate], [], [[0x30, 0x03, 1, 2, 3]], [[]],
        ] {
            await #expect(throws: SPIFFEError.self) { try await bundles.verify(chain: chain) }
        }
        #expect(throws: (any Error).self) {
            try authority.issue(SPIFFEID("spiffe://foreign.org/w"), lifetime: .seconds(60))
        }
        // The foreign domain's bundle makes its identities acceptable, and only those.
        let both = try TrustBundles(["example.org": [authority.certificate], "foreign.org": [foreign.certificate]])
        _ = try await both.verify(
            chain: foreign.issue(SPIFFEID("spiffe://foreign.org/w"), lifetime: .seconds(60)).chain)
    }

    @Test("concatenated certificates are split, and cut ones refused")
    func split() throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let both = authority.certificate + authority.certificate
        #expect(try splitCertificates(both) == [authority.certificate, authority.certificate])
        for count in 1..<authority.certificate.count {
            #expect(throws: SPIFFEError.self) { try splitCertificates(authority.certificate.prefix(count)) }
        }
    }

    @Test("followers get the present identity and each new one")
    func follow() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        func make(_ name: String) throws -> Identity {
            Identity(
                svid: try authority.issue(SPIFFEID("spiffe://example.org/\(name)"), lifetime: .seconds(60)),
                bundles: try authority.bundles())
        }
        let source = FixedIdentity(try make("a"))
        var seen = source.identities().makeAsyncIterator()
        #expect(await seen.next()?.svid.id.path == "/a")
        source.replace(try make("b"))
        #expect(await seen.next()?.svid.id.path == "/b")
        #expect(try await source.identity().svid.id.path == "/b")
    }
}
