/// Identities as the SPIFFE Workload API tells them.
extension Identity {
    /// An identity of an answer, and all bundles.
    ///
    /// - Parameter hint: The first with this hint is taken; nil: the first, which is the default.
    /// - Throws: ``SPIFFEError``: an answer without an identity, or with one that can't be used, is none.
    package init(_ response: SPIFFEX509SVIDResponse, hint: String? = nil) throws(SPIFFEError) {
        guard !response.svids.isEmpty else { throw SPIFFEError("the answer holds no identity") }
        guard let first = hint.map({ hint in response.svids.first { $0.hint == hint } }) ?? response.svids.first else {
            let hints = response.svids.map { $0.hint.isEmpty ? "none" : String($0.hint.prefix(64)) }
            throw SPIFFEError(
                "none of the \(hints.count) identities has the hint \(hint ?? ""); theirs: \(hints.joined(separator: ", "))"
            )
        }
        let svid = try X509SVID(
            chain: splitCertificates(first.x509Svid), privateKeyPKCS8: Array(first.x509SvidKey))
        guard svid.id.description == first.spiffeID else {
            throw SPIFFEError("the certificate is of \(svid.id), and the answer says \(first.spiffeID)")
        }
        var authorities: [String: [[UInt8]]] = [:]
        for (domain, bytes) in response.federatedBundles {
            authorities[try Self.trustDomain(domain)] = try splitCertificates(bytes)
        }
        // Without authorities every peer would be refused, which is no answer to go on with.
        guard !first.bundle.isEmpty else { throw SPIFFEError("the answer has no bundle of \(svid.id.trustDomain)") }
        authorities[svid.id.trustDomain] = try splitCertificates(first.bundle)
        self.init(svid: svid, bundles: try TrustBundles(authorities))
    }

    /// The domain that a bundle is of: by the standard its SPIFFE ID, and with some servers its bare name.
    private static func trustDomain(_ text: String) throws(SPIFFEError) -> String {
        try SPIFFEID(text.hasPrefix("spiffe://") ? text : "spiffe://\(text)").trustDomain
    }

    /// The bundles alone.
    func bundlesResponse() -> SPIFFEX509BundlesResponse {
        var response = SPIFFEX509BundlesResponse()
        for (domain, certificates) in bundles.authorities {
            response.bundles["spiffe://\(domain)", default: .init()].append(contentsOf: certificates.joined())
        }
        return response
    }

    /// The answer for a caller who has this identity.
    func response() -> SPIFFEX509SVIDResponse {
        var message = SPIFFEX509SVID()
        message.spiffeID = svid.id.description
        message.x509Svid.append(contentsOf: svid.chain.joined())
        message.x509SvidKey.append(contentsOf: svid.privateKeyPKCS8)
        message.bundle.append(contentsOf: (bundles.authorities[svid.id.trustDomain] ?? []).joined())
        var response = SPIFFEX509SVIDResponse()
        response.svids = [message]
        for (domain, certificates) in bundles.authorities where domain != svid.id.trustDomain {
            response.federatedBundles["spiffe://\(domain)", default: .init()].append(contentsOf: certificates.joined())
        }
        return response
    }
}
