package import Concurrency
package import Crypto
internal import FoundationEssentials

/// What is wrong with a token. The token itself is never part of the text.
package struct TokenError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The reason.
    package let description: String
    init(_ description: String) { self.description = description }
}

/// A JSON web token in the compact form. Source: RFC 7515, RFC 7519; ES256 of RFC 7518.
package struct Token: Sendable {
    /// The compact form.
    package let text: String
    /// Whose it is.
    package let subject: String
    /// Whom it is for.
    package let audience: [String]
    /// When it ends; whole seconds.
    package let expires: Timestamp

    private let algorithm: String
    private let signed: Substring
    private let signature: [UInt8]

    /// Longer ones are refused.
    private static let longest = 8192

    /// Signs a token.
    ///
    /// - Throws: what the key throws.
    package static func sign(
        subject: String, audience: [String], expires: Timestamp, key: P256.Signing.PrivateKey
    ) throws -> String {
        let signed = try unsigned("ES256", Claims(sub: subject, exp: expires.wholeSeconds, aud: audience))
        let signature = try key.signature(for: Array(signed.utf8))
        return signed + "." + base64URL(signature.rawRepresentation)
    }

    /// A token for the mode without identities: signed with a secret that everybody knows.
    package static func insecure(subject: String, expires: Timestamp) -> String {
        guard let signed = try? unsigned("HS256", Claims(sub: subject, exp: expires.wholeSeconds, aud: nil)) else {
            return ""
        }
        let code = HMAC<SHA256>.authenticationCode(
            for: Array(signed.utf8), using: SymmetricKey(data: Array("supersecret".utf8)))
        return signed + "." + base64URL(Array(code))
    }

    /// Reads a token; the signature is not checked.
    ///
    /// - Throws: ``TokenError``.
    package init(parsing text: String) throws(TokenError) {
        guard text.utf8.count <= Self.longest else { throw TokenError("longer than \(Self.longest) bytes") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw TokenError(text.isEmpty ? "there is none" : "it has not three parts") }
        guard let header = Self.bytes(parts[0]), let payload = Self.bytes(parts[1]),
            let signature = Self.bytes(parts[2])
        else { throw TokenError("it is not base64url") }
        let claims: Claims
        do {
            algorithm =
                try PlainObject(header)?.text("alg") ?? JSONDecoder().decode(Header.self, from: Data(header)).alg
            claims = try Claims(payload)
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
        expires = Timestamp(seconds: claims.exp)
        signed = text[..<parts[1].endIndex]
    }

    /// Checks the signature: ES256 with this key.
    ///
    /// - Throws: ``TokenError``.
    package func verify(_ key: P256.Signing.PublicKey) throws(TokenError) {
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

        /// Reads what almost every token looks like without the help that the rest needs.
        init(_ bytes: [UInt8]) throws {
            if let plain = PlainObject(bytes), let sub = plain.text("sub"), let exp = plain.number("exp"),
                plain.isWithout("aud") || plain.texts("aud") != nil
            {
                self.init(sub: sub, exp: exp, aud: plain.texts("aud"))
            } else {
                self = try JSONDecoder().decode(Claims.self, from: Data(bytes))
            }
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
        if let text = PlainObject.text(of: claims.sub, claims.exp, claims.aud) {
            return base64URL(Array("{\"alg\":\"\(algorithm)\",\"typ\":\"JWT\"}".utf8)) + "."
                + base64URL(Array(text.utf8))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return base64URL(try encoder.encode(Header(alg: algorithm, typ: "JWT"))) + "."
            + base64URL(try encoder.encode(claims))
    }

    /// RFC 4648, section 5, without padding.
    private static func base64URL(_ bytes: some Collection<UInt8>) -> String {
        let letters = Base64URL.letters
        return String(unsafeUninitializedCapacity: (bytes.count + 2) / 3 * 4) { buffer in
            var count = 0
            var pending: UInt32 = 0
            var bits: UInt32 = 0
            for byte in bytes {
                pending = pending << 8 | UInt32(byte)
                bits += 8
                while bits >= 6 {
                    bits -= 6
                    buffer[count] = letters[Int(pending >> bits & 63)]
                    count += 1
                }
            }
            if bits > 0 {
                buffer[count] = letters[Int(pending << (6 - bits) & 63)]
                count += 1
            }
            return count
        }
    }

    /// Nil when the text is not base64url, or has bits that stand for nothing.
    private static func bytes(_ text: Substring) -> [UInt8]? {
        var result: [UInt8] = []
        result.reserveCapacity(text.utf8.count * 3 / 4)
        var pending: UInt32 = 0
        var bits: UInt32 = 0
        for letter in text.utf8 {
            let value = Base64URL.values[Int(letter)]
            guard value < 64 else { return nil }
            pending = pending << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: pending >> bits))
            }
        }
        return bits < 6 && pending & (1 << bits - 1) == 0 ? result : nil
    }
}

private enum Base64URL {
    static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    /// By letter; 255 for those that are none.
    static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, letter) in letters.enumerated() { values[Int(letter)] = UInt8(value) }
        return values
    }()
}

extension Timestamp {
    fileprivate var wholeSeconds: Int64 { nanoseconds / 1_000_000_000 }
}
