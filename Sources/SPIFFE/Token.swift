public import Crypto
internal import FoundationEssentials

/// What is wrong with a token. The token itself is never part of the text.
public struct TokenError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The reason.
    public let description: String
    init(_ description: String) { self.description = description }
}

/// A JSON web token in the compact form. Source: RFC 7515, RFC 7519; ES256 of RFC 7518.
public struct Token: Sendable {
    /// The compact form.
    public let text: String
    /// Whose it is.
    public let subject: String
    /// Whom it is for.
    public let audience: [String]
    /// When it ends; whole seconds.
    public let expires: UnixTime

    private let algorithm: String
    private let signed: Substring
    private let signature: [UInt8]

    /// Longer ones are refused.
    private static let longest = 8192

    /// Signs a token.
    ///
    /// - Throws: what the key throws.
    public static func sign(
        subject: String, audience: [String], expires: UnixTime, key: P256.Signing.PrivateKey
    ) throws -> String {
        let signed = try unsigned("ES256", Claims(sub: subject, exp: expires.wholeSeconds, aud: audience))
        let signature = try key.signature(for: Array(signed.utf8))
        return signed + "." + base64URL(signature.rawRepresentation)
    }

    /// A token for the mode without identities: signed with a secret that everybody knows.
    public static func insecure(subject: String, expires: UnixTime) -> String {
        guard let signed = try? unsigned("HS256", Claims(sub: subject, exp: expires.wholeSeconds, aud: nil)) else {
            return ""
        }
        let code = HMAC<SHA256>.authenticationCode(
            for: Array(signed.utf8), using: SymmetricKey(data: Array("supersecret".utf8)))
        return signed + "." + base64URL(code)
    }

    /// Reads a token; the signature is not checked.
    ///
    /// - Throws: ``TokenError``.
    public init(parsing text: String) throws(TokenError) {
        guard text.utf8.count <= Self.longest else { throw TokenError("longer than \(Self.longest) bytes") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw TokenError(text.isEmpty ? "there is none" : "it has not three parts") }
        guard let header = Self.bytes(parts[0]), let payload = Self.bytes(parts[1]),
            let signature = Self.bytes(parts[2])
        else { throw TokenError("it is not base64url") }
        let claims: Claims
        do {
            algorithm = try JSONDecoder().decode(Header.self, from: Data(header)).alg
            claims = try JSONDecoder().decode(Claims.self, from: Data(payload))
        } catch {
            throw TokenError("its claims can't be read")
        }
        guard algorithm == "ES256" || algorithm == "HS256" else {
            throw TokenError("it is signed with \(algorithm.prefix(16)); ES256 is needed")
        }
        self.text = text
        self.signature = signature
        subject = claims.sub
        audience = claims.aud ?? []
        expires = UnixTime(seconds: claims.exp)
        signed = text[..<parts[1].endIndex]
    }

    /// Checks the signature: ES256 with this key.
    ///
    /// - Throws: ``TokenError``.
    public func verify(_ key: P256.Signing.PublicKey) throws(TokenError) {
        guard algorithm == "ES256" else { throw TokenError("it is signed with \(algorithm); ES256 is needed") }
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else {
            throw TokenError("its signature is not 64 bytes")
        }
        guard key.isValidSignature(signature, for: Array(signed.utf8)) else {
            throw TokenError("its signature is wrong")
        }
    }

    // MARK: - Parts

    private struct Header: Codable {
        var alg: String
        var typ: String?
    }

    private struct Claims: Codable {
        var sub: String
        var exp: Int64
        var aud: [String]?

        init(sub: String, exp: Int64, aud: [String]?) {
            self.sub = sub
            self.exp = exp
            self.aud = aud
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            sub = try values.decode(String.self, forKey: .sub)
            if let whole = try? values.decode(Int64.self, forKey: .exp) {
                exp = whole
            } else {
                let number = try values.decode(Double.self, forKey: .exp)
                guard number.magnitude < 9e15 else { throw TokenError("exp is out of range") }
                exp = Int64(number)
            }
            if !values.contains(.aud) {
                aud = nil
            } else if let one = try? values.decode(String.self, forKey: .aud) {
                aud = [one]
            } else {
                aud = try values.decode([String].self, forKey: .aud)
            }
        }
    }

    private static func unsigned(_ algorithm: String, _ claims: Claims) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return base64URL(try encoder.encode(Header(alg: algorithm, typ: "JWT"))) + "."
            + base64URL(try encoder.encode(claims))
    }

    private static func base64URL(_ bytes: some Sequence<UInt8>) -> String {
        let text = Data(bytes).base64EncodedString()
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.compactMap { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 == "=" ? nil : $0 }))
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        guard
            text.utf8.allSatisfy({ byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || byte == 0x2d
                    || byte == 0x5f
            })
        else { return nil }
        var base64 = String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }))
        while base64.utf8.count % 4 != 0 { base64 += "=" }
        return Data(base64Encoded: base64).map { Array($0) }
    }
}

extension UnixTime {
    fileprivate var wholeSeconds: Int64 { nanoseconds / 1_000_000_000 }
}
