import Concurrency
import Crypto
import Testing

@testable import SPIFFE

@Suite("Tokens of a transport connection")
struct TokenMemoryTests {
    private let key = P256.Signing.PrivateKey()
    private var peer: VerifiedPeer {
        get throws {
            VerifiedPeer(id: try SPIFFEID("spiffe://a/me"), publicKey: key.publicKey, notAfter: .distantFuture)
        }
    }

    private func token(_ end: Int64 = 2_000_000_000, key: P256.Signing.PrivateKey? = nil) throws -> String {
        try Token.sign(
            subject: "spiffe://a/me", audience: ["spiffe://a/b"], expires: Timestamp(seconds: end),
            key: key ?? self.key)
    }

    @Test("a token goes out again that ends in time, and never one that ends later than it may")
    func signs() throws {
        let memory = TokenMemory()
        func end(_ wanted: Int64, slack: Duration = .seconds(6)) -> Int64 {
            let made = memory.token(ending: Timestamp(seconds: wanted), slack: slack) { "ends at \(wanted)" }
            #expect(made.text == "ends at \(made.end.nanoseconds / 1_000_000_000)")
            return made.end.nanoseconds / 1_000_000_000
        }
        #expect(end(1000) == 1000)
        #expect(end(1006) == 1000)
        #expect(memory.signatures == 1)
        #expect(end(1007) == 1007)
        // The client that it is for ends sooner.
        #expect(end(1003) == 1000)
        #expect(end(999) == 999)
        #expect(end(1003, slack: .zero) == 1003)
        #expect(end(1003, slack: .zero) == 1003)
        #expect(memory.signatures == 4)
        // Not for ever: others came after them.
        for next in 1...Int64(TokenMemory.capacity) { _ = end(2000 + next, slack: .zero) }
        let before = memory.signatures
        #expect(end(1003, slack: .zero) == 1003)
        #expect(memory.signatures == before + 1)
    }

    @Test("what can't be signed is not remembered")
    func failure() {
        struct Broken: Error {}
        let memory = TokenMemory()
        let end = Timestamp(seconds: 1000)
        #expect(throws: Broken.self) { try memory.token(ending: end, slack: .zero) { throw Broken() } }
        #expect(memory.token(ending: end, slack: .zero) { "made" }.text == "made")
    }

    @Test("a right signature is checked once, and a wrong one each time")
    func checks() throws {
        let memory = TokenMemory()
        let right = try Token(parsing: token())
        for _ in 0..<3 { try memory.verify(right, of: peer) }
        #expect(memory.checks == 1)
        // The same claims, signed by somebody else, or with the signature of another token.
        let others = try Token(parsing: token(key: P256.Signing.PrivateKey()))
        let parts = try token(2_000_000_001).split(separator: ".")
        let signature = try #require(right.text.split(separator: ".").last)
        let mixed = try Token(parsing: "\(parts[0]).\(parts[1]).\(signature)")
        for _ in 0..<2 {
            for wrong in [others, mixed] {
                #expect(throws: TokenError.self) { try memory.verify(wrong, of: peer) }
            }
        }
        #expect(memory.checks == 5)
        try memory.verify(right, of: peer)
        #expect(memory.checks == 5)
    }

    @Test("of the peer's tokens the latest are remembered, and of another connection's none")
    func bounds() throws {
        let memory = TokenMemory()
        let tokens = try (0...TokenMemory.capacity).map { try Token(parsing: token(3000 + Int64($0))) }
        for token in tokens { try memory.verify(token, of: peer) }
        try memory.verify(tokens[1], of: peer)
        #expect(memory.checks == tokens.count)
        try memory.verify(tokens[0], of: peer)
        #expect(memory.checks == tokens.count + 1)
        let other = TokenMemory()
        try other.verify(tokens[1], of: peer)
        #expect(other.checks == 1)
    }
}
