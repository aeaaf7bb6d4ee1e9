import Concurrency
import Crypto
import Foundation
import TestSupport
import Testing

@testable import SPIFFE

@Suite("Tokens")
struct TokenTests {
    static let key = P256.Signing.PrivateKey()

    static func token(_ audience: [String] = ["spiffe://a/b"]) throws -> String {
        try Token.sign(
            subject: "spiffe://a/me", audience: audience, expires: Timestamp(seconds: 2_000_000_000), key: key)
    }

    @Test("a token says what was signed")
    func roundTrip() throws {
        let token = try Token(parsing: Self.token(["spiffe://a/b", "spiffe://a/c"]))
        #expect(token.subject == "spiffe://a/me")
        #expect(token.audience == ["spiffe://a/b", "spiffe://a/c"])
        #expect(token.expires == Timestamp(seconds: 2_000_000_000))
        try token.verify(Self.key.publicKey)
        #expect(throws: TokenError.self) { try token.verify(P256.Signing.PrivateKey().publicKey) }
    }

    @Test("header and claims are as peers read them")
    func golden() throws {
        let parts = try Self.token().split(separator: ".")
        // {"alg":"ES256","typ":"JWT"}
        #expect(parts[0] == "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9")
        // {"aud":["spiffe://a/b"],"exp":2000000000,"sub":"spiffe://a/me"}
        #expect(parts[1] == "eyJhdWQiOlsic3BpZmZlOi8vYS9iIl0sImV4cCI6MjAwMDAwMDAwMCwic3ViIjoic3BpZmZlOi8vYS9tZSJ9")
        #expect(parts[2].utf8.count == 86)
    }

    @Test(
        "claims of all forms are read alike",
        arguments: [
            (#"{"sub":"s","exp":5,"aud":["a","b"]}"#, ["a", "b"]), (#" { "exp" : 5 , "sub" : "s" } "#, []),
            (#"{"sub":"s","exp":5,"aud":"a"}"#, ["a"]), (#"{"sub":"s","exp":5,"aud":[]}"#, []),
            (#"{"sub":"\u0073","exp":5,"aud":["\/"]}"#, ["/"]), (#"{"sub":"s","exp":5.0,"aud":["a"]}"#, ["a"]),
            (#"{"sub":"s","exp":5e0}"#, []), (#"{"sub":"s","exp":5,"other":{"x":[1,null,true]},"aud":["é"]}"#, ["é"]),
            ("{\"sub\":\"s\",\n\t\"exp\":5,\r\n\"iat\":1}", []),
        ])
    func forms(claims: String, audience: [String]) throws {
        let token = try Token(parsing: Self.text(claims))
        #expect(token.subject == "s" && token.audience == audience && token.expires == Timestamp(seconds: 5))
    }

    @Test(
        "claims that are none are refused",
        arguments: [
            "", "{", "{}", #"{"sub":"s"}"#, #"{"sub":1,"exp":5}"#, #"{"sub":"s","exp":"5"}"#, #"{"sub":"s","exp":05}"#,
            #"{"sub":"s","exp":5}x"#, #"{"sub":"s","exp":5,"aud":[1]}"#, #"["sub"]"#,
            #"{"sub":"s","exp":99999999999999999999}"#, "{\"sub\":\"s\u{1}\",\"exp\":5}", #"{"sub":"s" "exp":5}"#,
        ])
    func noClaims(claims: String) { #expect(throws: TokenError.self) { try Token(parsing: Self.text(claims)) } }

    /// A token with these claims and no signature.
    private static func text(_ claims: String) -> String {
        let base64 = Data(claims.utf8).base64EncodedString().filter { $0 != "=" }
        return "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9."
            + String(base64.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }) + "."
    }

    @Test("every changed byte is noticed")
    func tampering() throws {
        let text = try Self.token()
        var random = SeededGenerator(seed: 7)
        for _ in 0..<300 {
            var bytes = Array(text.utf8)
            let place = random.below(bytes.count)
            let old = bytes[place]
            bytes[place] = UInt8(ascii: "A") + UInt8(random.below(26))
            // The last letter of a part holds bits that are not used.
            if bytes[place] == old || place + 1 == bytes.count || bytes[place + 1] == UInt8(ascii: ".") { continue }
            let changed = String(decoding: bytes, as: UTF8.self)
            #expect(throws: (any Error).self, "\(changed)") { try Token(parsing: changed).verify(Self.key.publicKey) }
        }
    }

    @Test("what is no token is refused, and nothing traps")
    func fuzz() throws {
        var random = SeededGenerator(seed: 11)
        let good = Array(try Self.token().utf8)
        for _ in 0..<3000 {
            var bytes = random.chance(50) ? good : (0..<random.below(200)).map { _ in UInt8(random.below(128)) }
            for _ in 0..<random.below(6) where !bytes.isEmpty {
                bytes[random.below(bytes.count)] = UInt8(random.below(256))
            }
            _ = try? Token(parsing: String(decoding: bytes, as: UTF8.self)).verify(Self.key.publicKey)
        }
        for text in ["", ".", "..", "a.b.c", String(repeating: "a", count: 10000), "eyJhbGciOiJub25lIn0.e30."] {
            #expect(throws: TokenError.self) { try Token(parsing: text) }
        }
    }

    @Test("tokens of the mode without identities are read, and pass for no identity")
    func insecure() throws {
        let token = try Token(
            parsing: Token.insecure(subject: "spiffe://test.com/subject", expires: Timestamp(seconds: 2_000_000_000)))
        #expect(token.subject == "spiffe://test.com/subject")
        #expect(throws: TokenError.self) { try token.verify(Self.key.publicKey) }
    }
}
