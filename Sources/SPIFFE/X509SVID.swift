public import Concurrency
public import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// An identity that can be shown: a chain of certificates and the key of the first.
public struct X509SVID: Sendable {
    /// The name in the first certificate.
    public let id: SPIFFEID
    /// DER, the leaf first.
    public let chain: [[UInt8]]
    /// The leaf's key. It is never written or logged.
    public let privateKey: P256.Signing.PrivateKey
    /// When the leaf ends.
    public let notAfter: Timestamp

    /// Takes a chain and its key.
    ///
    /// - Throws: ``SPIFFEError`` when they can't be read, don't fit together, or are not an identity.
    public init(chain: [[UInt8]], privateKeyPKCS8: [UInt8]) throws(SPIFFEError) {
        guard let first = chain.first else { throw SPIFFEError("the identity has no certificate") }
        let leaf = try Leaf(first)
        let key: P256.Signing.PrivateKey
        do {
            key = try P256.Signing.PrivateKey(derRepresentation: privateKeyPKCS8)
        } catch {
            throw SPIFFEError("the key of \(leaf.id) is not an ECDSA P-256 key; tokens need one")
        }
        guard leaf.publicKey?.rawRepresentation == key.publicKey.rawRepresentation else {
            throw SPIFFEError("the key is not that of the certificate of \(leaf.id)")
        }
        self.chain = chain
        privateKey = key
        id = leaf.id
        notAfter = leaf.notAfter
    }

    /// The key as PKCS#8, DER.
    package var privateKeyPKCS8: [UInt8] { Array(privateKey.derRepresentation) }
}

/// What is shown to peers, and what peers are checked against.
public struct Identity: Sendable {
    /// What is shown.
    public let svid: X509SVID
    /// What peers are checked against.
    public let bundles: TrustBundles

    /// Pairs them.
    public init(svid: X509SVID, bundles: TrustBundles) {
        self.svid = svid
        self.bundles = bundles
    }
}

/// Where a program's identity comes from.
public protocol IdentitySource: Sendable {
    /// The newest identity; waits for the first one.
    ///
    /// - Throws: `CancellationError`, or why there never will be one.
    func identity() async throws -> Identity

    /// The present identity, if there is one, and then each new one.
    func identities() -> AsyncStream<Identity>
}

/// The first certificate of a chain, after the rules for identities. Source: the X509-SVID standard.
struct Leaf {
    let certificate: Certificate
    let id: SPIFFEID
    let notAfter: Timestamp
    let publicKey: P256.Signing.PublicKey?

    init(_ der: [UInt8]) throws(SPIFFEError) {
        let certificate: Certificate
        let names: [String]
        let isAuthority: Bool
        let signsCertificates: Bool
        do {
            certificate = try Certificate(derEncoded: der)
            names =
                try certificate.extensions.subjectAlternativeNames.map { names in
                    names.compactMap { name in
                        if case .uniformResourceIdentifier(let uri) = name { uri } else { nil }
                    }
                } ?? []
            if case .isCertificateAuthority = try certificate.extensions.basicConstraints {
                isAuthority = true
            } else {
                isAuthority = false
            }
            let usage = try certificate.extensions.keyUsage
            signsCertificates = usage.map { $0.keyCertSign || $0.cRLSign } ?? false
        } catch {
            throw SPIFFEError("the certificate can't be read: \(error)")
        }
        guard names.count == 1, let name = names.first else {
            throw SPIFFEError("the certificate names \(names.count) URIs; an identity has exactly one")
        }
        id = try SPIFFEID(name)
        guard !isAuthority, !signsCertificates else {
            throw SPIFFEError("the certificate of \(id) is an authority's, not a workload's")
        }
        self.certificate = certificate
        notAfter = Timestamp(certificate.notValidAfter)
        publicKey = P256.Signing.PublicKey(certificate.publicKey)
    }
}

extension Timestamp {
    init(_ date: Date) {
        // The years of certificates end with 9999.
        self.init(seconds: Int64(min(max(date.timeIntervalSince1970.rounded(.down), -1e12), 1e12)))
    }
    var date: Date { Date(timeIntervalSince1970: Double(nanoseconds) / 1e9) }
}

/// Splits certificates that stand one behind the other.
///
/// - Throws: ``SPIFFEError`` when the bytes are not whole DER sequences.
func splitCertificates(_ bytes: some Collection<UInt8>) throws(SPIFFEError) -> [[UInt8]] {
    var rest = Array(bytes)[...]
    var all: [[UInt8]] = []
    while !rest.isEmpty {
        guard rest.count >= 2, rest[rest.startIndex] == 0x30 else {
            throw SPIFFEError("the certificates are not DER sequences")
        }
        var length = Int(rest[rest.startIndex + 1])
        var header = 2
        if length >= 0x80 {
            let count = length & 0x7f
            guard (1...3).contains(count), rest.count >= 2 + count else {
                throw SPIFFEError("a certificate is cut off")
            }
            length = rest[(rest.startIndex + 2)..<(rest.startIndex + 2 + count)].reduce(0) { $0 << 8 | Int($1) }
            header += count
        }
        guard rest.count >= header + length else { throw SPIFFEError("a certificate is cut off") }
        all.append(Array(rest.prefix(header + length)))
        rest = rest.dropFirst(header + length)
    }
    return all
}
