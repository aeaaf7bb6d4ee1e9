/// Identities as the SPIFFE Workload API tells them.
extension Identity {
    /// The default identity of an answer, and all bundles.
    package init(_ response: SPIFFEX509SVIDResponse) throws(SPIFFEError) {
        guard let first = response.svids.first else { throw SPIFFEError("the answer holds no identity") }
        let svid = try X509SVID(
            chain: splitCertificates(first.x509Svid), privateKeyPKCS8: Array(first.x509SvidKey))
        guard svid.id.description == first.spiffeID else {
            throw SPIFFEError("the certificate is of \(svid.id), and the answer says \(first.spiffeID)")
        }
        var authorities: [String: [[UInt8]]] = [:]
        for (domain, bytes) in response.federatedBundles {
            authorities[try SPIFFEID(domain).trustDomain] = try splitCertificates(bytes)
        }
        authorities[svid.id.trustDomain] = try splitCertificates(first.bundle)
        self.init(svid: svid, bundles: try TrustBundles(authorities))
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
