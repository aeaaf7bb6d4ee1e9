import Crypto
import Foundation
import Testing

@testable import SPIFFE

/// What answers of a Workload API are taken for.
@Suite("Answers of the Workload API")
struct WorkloadAnswerTests {
    let authority: CertificateAuthority
    let foreign: CertificateAuthority

    init() throws {
        authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        foreign = try CertificateAuthority(newFor: "foreign.org", lifetime: .seconds(3600))
    }

    /// An answer with an identity for each name, all with the bundle of the domain.
    func answer(_ names: [(path: String, hint: String)]) throws -> SPIFFEX509SVIDResponse {
        var answer = SPIFFEX509SVIDResponse()
        for (path, hint) in names {
            let identity = Identity(
                svid: try authority.issue(SPIFFEID("spiffe://example.org/\(path)"), lifetime: .seconds(600)),
                bundles: try authority.bundles())
            var svid = identity.response().svids[0]
            svid.hint = hint
            answer.svids.append(svid)
        }
        return answer
    }

    @Test("of several identities the first is taken, or the first with the hint that is wanted")
    func hints() throws {
        let answer = try answer([("a", ""), ("b", "internal"), ("c", "external"), ("d", "internal")])
        #expect(try Identity(answer).svid.id.path == "/a")
        #expect(try Identity(answer, hint: "internal").svid.id.path == "/b")
        #expect(try Identity(answer, hint: "external").svid.id.path == "/c")
        do {
            _ = try Identity(answer, hint: "other")
            Issue.record("there is none with this hint")
        } catch {
            #expect("\(error)".contains("has the hint other") && "\(error)".contains("none, internal, external"))
        }
    }

    @Test("bundles of other domains are found under their SPIFFE id and under their bare name, and nothing else is one")
    func federated() throws {
        for key in ["spiffe://foreign.org", "foreign.org"] {
            var answer = try answer([("a", "")])
            answer.federatedBundles[key] = .init(foreign.certificate)
            let authorities = try Identity(answer).bundles.authorities
            #expect(authorities["foreign.org"] == [foreign.certificate])
            #expect(authorities["example.org"] == [authority.certificate])
        }
        for key in ["", "https://foreign.org", "Foreign.org", "foreign org", "spiffe://"] {
            var answer = try answer([("a", "")])
            answer.federatedBundles[key] = .init(foreign.certificate)
            #expect(throws: SPIFFEError.self, "\(key)") { try Identity(answer) }
        }
        // The own domain's bundle is what the answer says of it, whatever stands among the others.
        var answer = try answer([("a", "")])
        answer.federatedBundles["spiffe://example.org"] = .init(foreign.certificate)
        #expect(try Identity(answer).bundles.authorities["example.org"] == [authority.certificate])
    }

    @Test("an answer without a mandatory field is none")
    func mandatory() throws {
        #expect(throws: SPIFFEError.self) { try Identity(SPIFFEX509SVIDResponse()) }
        let changes: [@Sendable (inout SPIFFEX509SVID) -> Void] = [
            { $0.spiffeID = "" }, { $0.x509Svid = .init() }, { $0.x509SvidKey = .init() }, { $0.bundle = .init() },
        ]
        for change in changes {
            var answer = try answer([("a", "")])
            change(&answer.svids[0])
            #expect(throws: SPIFFEError.self) { try Identity(answer) }
        }
    }
}
