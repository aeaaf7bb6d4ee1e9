package import Concurrency
internal import Crypto
internal import FoundationEssentials
internal import SwiftASN1
internal import X509

/// An authority that gives identities in its trust domain.
package struct CertificateAuthority: Sendable {
    /// The trust domain.
    package let trustDomain: String
    /// Its certificate, DER.
    package let certificate: [UInt8]
    /// When its certificate begins.
    package let notBefore: Timestamp
    /// When its certificate ends.
    package let notAfter: Timestamp
    private let key: P256.Signing.PrivateKey

    /// Makes a new authority, whose certificate begins now.
    ///
    /// - Throws: ``SPIFFEError`` when the trust domain can't be one.
    package init(newFor trustDomain: String, lifetime: Duration, now: Timestamp = .now) throws {
        let id = try SPIFFEID("spiffe://\(trustDomain)")
        let key = P256.Signing.PrivateKey()
        let name = try DistinguishedName {
            OrganizationName("nsm-agent")
            CommonName(id.trustDomain)
        }
        let certificate = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(key.publicKey),
            notValidBefore: now.advanced(by: .seconds(-60)).date, notValidAfter: now.advanced(by: lifetime).date,
            issuer: name, subject: name, signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectAlternativeNames([.uniformResourceIdentifier(id.description)])
                SubjectKeyIdentifier(hash: .init(key.publicKey))
            },
            issuerPrivateKey: .init(key))
        try self.init(certificate: certificate, key: key)
    }

    /// Takes authorities that were stored: of each its key and its certificate, one behind the other.
    ///
    /// - Throws: when they can't be read or don't fit together.
    package static func all(pem: String) throws -> [CertificateAuthority] {
        let documents = try PEMDocument.parseMultiple(pemString: pem)
        let certificates = documents.filter { $0.discriminator == "CERTIFICATE" }
        let keys = documents.filter { $0.discriminator.hasSuffix("PRIVATE KEY") }
        guard !certificates.isEmpty, certificates.count == keys.count else {
            throw SPIFFEError("certificates and a key of each are needed")
        }
        return try zip(certificates, keys).map { certificate, key in
            try CertificateAuthority(
                certificate: Certificate(derEncoded: certificate.derBytes),
                key: P256.Signing.PrivateKey(derRepresentation: key.derBytes))
        }
    }

    private init(certificate: Certificate, key: P256.Signing.PrivateKey) throws {
        let uris = try certificate.extensions.subjectAlternativeNames?.compactMap { name in
            if case .uniformResourceIdentifier(let uri) = name { uri } else { nil as String? }
        }
        guard let uri = uris?.first, uris?.count == 1 else {
            throw SPIFFEError("the authority's certificate names no trust domain")
        }
        guard certificate.publicKey == Certificate.PublicKey(key.publicKey) else {
            throw SPIFFEError("the authority's key is not that of its certificate")
        }
        trustDomain = try SPIFFEID(uri).trustDomain
        var serializer = DER.Serializer()
        try serializer.serialize(certificate)
        self.certificate = serializer.serializedBytes
        notBefore = Timestamp(certificate.notValidBefore)
        notAfter = Timestamp(certificate.notValidAfter)
        self.key = key
    }

    /// Key and certificate, for the root-only file they are kept in: one file, so that they always fit together.
    package var pem: String {
        key.pemRepresentation + "\n" + PEMDocument(type: "CERTIFICATE", derBytes: certificate).pemString + "\n"
    }

    /// The bundle of its trust domain.
    ///
    /// - Throws: never for an authority that could be made.
    package func bundles() throws -> TrustBundles { try TrustBundles([trustDomain: [certificate]]) }

    /// Gives an identity, which ends no later than the authority.
    ///
    /// - Throws: ``SPIFFEError`` for a name of another trust domain.
    package func issue(_ id: SPIFFEID, lifetime: Duration, now: Timestamp = .now) throws -> X509SVID {
        guard id.trustDomain == trustDomain, !id.path.isEmpty else {
            throw SPIFFEError("\(id) can't be given by the authority of \(trustDomain)")
        }
        let issuer = try Certificate(derEncoded: certificate)
        let leafKey = P256.Signing.PrivateKey()
        let leaf = try Certificate(
            version: .v3, serialNumber: Certificate.SerialNumber(), publicKey: .init(leafKey.publicKey),
            notValidBefore: now.advanced(by: .seconds(-60)).date,
            notValidAfter: min(now.advanced(by: lifetime), notAfter).date,
            issuer: issuer.subject, subject: try DistinguishedName { OrganizationName("nsm-agent") },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames([.uniformResourceIdentifier(id.description)])
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: .init(key.publicKey)).keyIdentifier)
            },
            issuerPrivateKey: .init(key))
        var serializer = DER.Serializer()
        try serializer.serialize(leaf)
        return try X509SVID(
            chain: [serializer.serializedBytes], privateKeyPKCS8: Array(leafKey.derRepresentation))
    }
}
