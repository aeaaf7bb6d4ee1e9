import Concurrency
import Crypto
import Foundation
import TestSupport
import Testing

@testable import SPIFFE

/// Random forms of what peers and Workload APIs send: nothing traps, and what is accepted is what was signed.
@Suite("Random tokens, certificates and answers")
struct FuzzTests {
    // MARK: - Tokens

    /// A text of JSON that is mostly an object of plain values.
    private static func json(_ random: inout SeededGenerator, depth: Int = 0) -> String {
        let space = random.chance(20) ? random.pick([" ", "\n\t", "\r"]) : ""
        func text(_ random: inout SeededGenerator) -> String {
            random.chance(80)
                ? "\"\(random.pick(["", "a", "spiffe://a/b", "x y", "~"]))\""
                : random.pick([#""\u0041""#, #""\n""#, "\"é\"", "\"\u{1}\"", "\"", #""\ud800""#, #""\x""#, "\"😀\""])
        }
        let value =
            switch random.below(depth > 2 ? 8 : 11) {
            case 0...2: text(&random)
            case 3...5: "\(random.below(1 << 40))"
            case 6:
                random.pick([
                    "-1", "0", "00", "01", "1.0", "1e3", "9223372036854775807", "9223372036854775808", "1.", ".5",
                    "1e999",
                    "999999999999999999", "-0", "1E+2", "0x1",
                ])
            case 7: random.pick(["null", "true", "false", "nul", "Infinity", "NaN", ""])
            case 8, 9:
                "["
                    + (0..<random.below(4)).map { _ in
                        random.chance(80) ? text(&random) : json(&random, depth: depth + 1)
                    }
                    .joined(separator: ",") + random.pick(["]", "]", "]", ",]", ""])
            default:
                "{"
                    + (0..<random.below(5)).map { _ in
                        "\"\(random.pick(["sub", "exp", "aud", "alg", "iat"]))\":\(json(&random, depth: depth + 1))"
                    }.joined(separator: ",") + random.pick(["}", "}", "}", ",}", ""])
            }
        return space + value + space
    }

    @Test("the quick reader of claims finds what the reader of all JSON finds, or nothing", .timeLimit(.minutes(20)))
    func claims() async throws {
        for seed in Seeds("claims", usual: 5000, long: 500_000, step: 100_000) {
            if seed.isMultiple(of: 256) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            let names = ["sub", "exp", "aud", "iat"]
            let members = (0..<random.below(5)).map { _ in
                "\"\(random.pick(names))\"\(random.pick([":", " : "]))\(Self.json(&random))"
            }
            var bytes = Array(random.chance(85) ? "{\(members.joined(separator: ","))}".utf8 : Self.json(&random).utf8)
            if random.chance(20) { bytes = random.mutated(bytes, most: 2) }
            guard let plain = PlainObject(bytes) else { continue }
            let all = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
            let found = try #require(all, "seed \(seed): \(String(decoding: bytes, as: UTF8.self)) is no JSON")
            for name in names {
                #expect(plain.isWithout(name) == (found[name] == nil), "seed \(seed)")
                if let text = plain.text(name) { #expect(found[name] as? String == text, "seed \(seed)") }
                if let number = plain.number(name) {
                    #expect((found[name] as? NSNumber)?.int64Value == number, "seed \(seed)")
                }
                if let texts = plain.texts(name) {
                    let list = found[name] as? [String] ?? (found[name] as? String).map { [$0] }
                    #expect(list == texts, "seed \(seed)")
                }
            }
        }
    }

    @Test("a token that was changed passes for no other one", .timeLimit(.minutes(20)))
    func tokens() async throws {
        let (key, other) = (P256.Signing.PrivateKey(), P256.Signing.PrivateKey())
        let text = try Token.sign(
            subject: "spiffe://a/me", audience: ["spiffe://a/b"], expires: Timestamp(seconds: 2_000_000_000), key: key)
        for seed in Seeds("tokens", usual: 1000, long: 50_000, step: 10_000) {
            await Task.yield()
            var random = SeededGenerator(seed: seed)
            let changed = String(decoding: random.mutated(Array(text.utf8)), as: UTF8.self)
            guard let token = try? Token(parsing: changed) else { continue }
            #expect(throws: TokenError.self, "seed \(seed)") { try token.verify(other.publicKey) }
            guard (try? token.verify(key.publicKey)) != nil else { continue }
            #expect(token.subject == "spiffe://a/me" && token.audience == ["spiffe://a/b"], "seed \(seed): \(changed)")
            #expect(token.expires == Timestamp(seconds: 2_000_000_000), "seed \(seed): \(changed)")
        }
    }

    // MARK: - Certificates

    @Test("a chain that was changed shows nobody else, nor another key", .timeLimit(.minutes(20)))
    func chains() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let svid = try authority.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(600))
        let bundles = try authority.bundles()
        #expect(try await bundles.verify(chain: svid.chain).id == svid.id)
        for seed in Seeds("chains", usual: 300, long: 10_000, step: 1000) {
            await Task.yield()
            var random = SeededGenerator(seed: seed)
            var chain = svid.chain
            for index in chain.indices where index == 0 || random.chance(30) {
                chain[index] = random.mutated(chain[index])
            }
            if random.chance(10) { chain.append(random.bytes(upTo: 300)) }
            _ = try? X509SVID(chain: chain, privateKeyPKCS8: random.mutated(svid.privateKeyPKCS8))
            _ = try? TrustBundles(["example.org": [random.mutated(authority.certificate)]])
            guard let peer = try? await bundles.verify(chain: chain) else { continue }
            #expect(peer.id == svid.id && peer.notAfter == svid.notAfter, "seed \(seed)")
            #expect(peer.publicKey.rawRepresentation == svid.privateKey.publicKey.rawRepresentation, "seed \(seed)")
        }
    }

    @Test("certificates that stand one behind the other are split without a byte lost")
    func split() async throws {
        for seed in Seeds("split", usual: 5000, long: 500_000, step: 100_000) {
            if seed.isMultiple(of: 256) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            var bytes: [UInt8] = []
            for _ in 0..<random.below(4) {
                let count = random.pick([0, 1, 127, 128, 255, 256, 300])
                bytes += count < 128 ? [0x30, UInt8(count)] : [0x30, 0x82, UInt8(count >> 8), UInt8(count & 255)]
                bytes += [UInt8](repeating: 7, count: count)
            }
            if random.chance(60) { bytes = random.mutated(bytes) }
            guard let parts = try? splitCertificates(bytes) else { continue }
            #expect(Array(parts.joined()) == bytes, "seed \(seed)")
        }
    }

    // MARK: - Answers of the Workload API

    @Test("an answer that was changed is refused, or is of whom it says", .timeLimit(.minutes(20)))
    func answers() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let foreign = try CertificateAuthority(newFor: "foreign.org", lifetime: .seconds(3600))
        let identity = Identity(
            svid: try authority.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(600)),
            bundles: try TrustBundles([
                "example.org": [authority.certificate], "foreign.org": [foreign.certificate],
            ]))
        var answer = identity.response()
        answer.svids.append(answer.svids[0])
        answer.svids[1].hint = "internal"
        let bytes: [UInt8] = try answer.serializedBytes()
        for seed in Seeds("answers", usual: 500, long: 20_000, step: 5000) {
            await Task.yield()
            var random = SeededGenerator(seed: seed)
            guard let changed = try? SPIFFEX509SVIDResponse(serializedBytes: random.mutated(bytes)) else { continue }
            for hint in [nil, "internal"] {
                guard let read = try? Identity(changed, hint: hint) else { continue }
                let said = hint == nil ? changed.svids.first : changed.svids.first { $0.hint == hint }
                #expect(read.svid.id.description == said?.spiffeID, "seed \(seed)")
                #expect(read.bundles.authorities[read.svid.id.trustDomain]?.isEmpty == false, "seed \(seed)")
            }
        }
    }

    // MARK: - Names

    /// Whether a name fits, tried in every way.
    private static func fits(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        if first == UInt8(ascii: "*") {
            return fits(pattern.dropFirst(), name) || (!name.isEmpty && fits(pattern, name.dropFirst()))
        }
        return first == name.first && fits(pattern.dropFirst(), name.dropFirst())
    }

    @Test("names are read as they are written, and patterns fit what they should")
    func names() async {
        for seed in Seeds("names", usual: 5000, long: 300_000, step: 100_000) {
            if seed.isMultiple(of: 256) { await Task.yield() }
            var random = SeededGenerator(seed: seed)
            let text = String(decoding: random.mutated(Array("spiffe://example.org/ns/a-b/sa/x_1".utf8)), as: UTF8.self)
            if let id = try? SPIFFEID(text) { #expect(id.description == text, "seed \(seed)") }
            let letters = Array("ab*".utf8)
            let pattern = (0..<random.below(8)).map { _ in random.pick(letters) }
            let name = (0..<random.below(10)).map { _ in random.pick(Array(letters.prefix(2))) }
            let (patternText, nameText) = (
                String(decoding: pattern, as: UTF8.self), String(decoding: name, as: UTF8.self)
            )
            #expect(
                SPIFFEID.matches(patternText, nameText) == Self.fits(pattern[...], name[...]),
                "seed \(seed): \(patternText), \(nameText)")
            _ = Timestamp(rfc3339: String(decoding: random.mutated(Array(Timestamp.now.rfc3339.utf8)), as: UTF8.self))
        }
    }
}
