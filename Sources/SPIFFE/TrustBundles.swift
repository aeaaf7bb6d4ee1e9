package import Concurrency
package import Crypto
internal import FoundationEssentials
internal import X509

/// The authorities of trust domains.
public struct TrustBundles: Sendable {
    private let stores: [String: CertificateStore]
    /// DER by trust domain.
    public let authorities: [String: [[UInt8]]]

    /// Takes the authorities of each trust domain, DER.
    ///
    /// - Throws: ``SPIFFEError`` when one can't be read.
    public init(_ authorities: [String: [[UInt8]]]) throws(SPIFFEError) {
        var stores: [String: CertificateStore] = [:]
        for (domain, certificates) in authorities {
            do {
                stores[domain] = CertificateStore(try certificates.map { try Certificate(derEncoded: $0) })
            } catch {
                throw SPIFFEError("an authority of \(domain) can't be read: \(error)")
            }
        }
        self.stores = stores
        self.authorities = authorities
    }

    /// Checks a peer's chain: the leaf is an identity, and leads to an authority of its own trust domain.
    ///
    /// - Parameter chain: DER, the leaf first.
    /// - Throws: ``SPIFFEError`` with the reason.
    package func verify(chain: [[UInt8]]) async throws(SPIFFEError) -> VerifiedPeer {
        guard let first = chain.first else { throw SPIFFEError("the peer showed no certificate") }
        let leaf = try Leaf(first)
        guard let store = stores[leaf.id.trustDomain] else {
            throw SPIFFEError(
                "\(leaf.id) is of a trust domain that is not known here; known: \(stores.keys.sorted().joined(separator: ", "))"
            )
        }
        let others: [Certificate]
        do {
            others = try chain.dropFirst().map { try Certificate(derEncoded: $0) }
        } catch {
            throw SPIFFEError("a certificate of the chain of \(leaf.id) can't be read: \(error)")
        }
        var verifier = Verifier(rootCertificates: store) { RFC5280Policy() }
        let result = await verifier.validate(leaf: leaf.certificate, intermediates: CertificateStore(others))
        if case .couldNotValidate(let failures) = result {
            let reasons = failures.map { "\($0.policyFailureReason)" }
            throw SPIFFEError(
                "the certificate of \(leaf.id) does not lead to an authority of \(leaf.id.trustDomain)"
                    + (reasons.isEmpty ? "" : ": \(reasons.joined(separator: "; "))"))
        }
        guard let key = leaf.publicKey else {
            throw SPIFFEError("the certificate of \(leaf.id) has no ECDSA P-256 key; tokens need one")
        }
        return VerifiedPeer(id: leaf.id, publicKey: key, notAfter: leaf.notAfter)
    }
}

/// A peer whose certificate was checked.
package struct VerifiedPeer: Sendable {
    /// Its name.
    package let id: SPIFFEID
    /// The key of its certificate.
    package let publicKey: P256.Signing.PublicKey
    /// When its certificate ends.
    package let notAfter: Timestamp

    /// Makes a peer.
    package init(id: SPIFFEID, publicKey: P256.Signing.PublicKey, notAfter: Timestamp) {
        self.id = id
        self.publicKey = publicKey
        self.notAfter = notAfter
    }
}
