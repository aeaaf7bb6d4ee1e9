internal import NIOSSL
internal import Synchronization

/// Tokens and certificates as they are now: files are read again when they change.
///
/// A file that is changed to something that can't be used, or is gone for a moment, leaves what was there before.
final class KubernetesIdentity: Sendable {
    /// What a connection is made with.
    struct Secure: Sendable {
        /// Differs when files have changed.
        var generation: Int
        var context: NIOSSLContext
    }

    private struct Known {
        var stamps: [SmallFile.Stamp] = []
        var secure: Secure?
        var tokenStamp: SmallFile.Stamp?
        var token: String?
    }

    private let configuration: KubernetesConfiguration
    private let known = Mutex(Known())

    init(_ configuration: KubernetesConfiguration) { self.configuration = configuration }

    /// Nil: there is none.
    func token() throws(KubernetesError) -> String? {
        switch configuration.credentials {
        case .none: return nil
        case .token(let text): return text
        case .tokenFile(let path): return try token(from: path)
        }
    }

    private func token(from path: String) throws(KubernetesError) -> String? {
        let stamp = SmallFile.Stamp(path)
        return try known.withLock { known throws(KubernetesError) in
            if let token = known.token, known.tokenStamp == stamp { return token }
            do throws(KubernetesError) {
                let text = String(decoding: try SmallFile.read(path, limit: 64 << 10), as: UTF8.self)
                guard let word = text.split(whereSeparator: \.isWhitespace).first else {
                    throw KubernetesError(.badConfiguration, "\(path): no token is in it")
                }
                known.token = String(word)
                known.tokenStamp = stamp
            } catch {
                if known.token == nil { throw error }
            }
            return known.token
        }
    }

    /// Nil: the server is talked to without TLS.
    func secure() throws(KubernetesError) -> Secure? {
        guard configuration.server.isSecure else { return nil }
        let stamps = [configuration.tls.authorities, configuration.tls.certificate, configuration.tls.key]
            .map { pem in
                if case .file(let path) = pem { return SmallFile.Stamp(path) }
                return SmallFile.Stamp("")
            }
        return try known.withLock { known throws(KubernetesError) in
            if let secure = known.secure, known.stamps == stamps { return secure }
            do throws(KubernetesError) {
                known.secure = Secure(generation: (known.secure?.generation ?? 0) + 1, context: try context())
                known.stamps = stamps
            } catch {
                if known.secure == nil { throw error }
            }
            return known.secure
        }
    }

    private func context() throws(KubernetesError) -> NIOSSLContext {
        let tls = configuration.tls
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        settings.applicationProtocols = ["http/1.1"]
        if tls.acceptsAnyServer { settings.certificateVerification = .none }
        if let authorities = tls.authorities { settings.trustRoots = .certificates(try Self.certificates(authorities)) }
        if let certificate = tls.certificate, let key = tls.key {
            settings.certificateChain = try Self.certificates(certificate).map { .certificate($0) }
            settings.privateKey = .privateKey(
                try Self.using(key) { bytes in try NIOSSLPrivateKey(bytes: bytes, format: .pem) })
        }
        do {
            return try NIOSSLContext(configuration: settings)
        } catch {
            throw KubernetesError(.badConfiguration, "the certificates can't be used for TLS (\(error))")
        }
    }

    private static func certificates(_ pem: KubernetesConfiguration.PEM) throws(KubernetesError) -> [NIOSSLCertificate]
    {
        try using(pem) { bytes in try NIOSSLCertificate.fromPEMBytes(bytes) }
    }

    private static func using<Content>(
        _ pem: KubernetesConfiguration.PEM, _ body: ([UInt8]) throws -> Content
    ) throws(KubernetesError) -> Content {
        let (bytes, name): ([UInt8], String) =
            switch pem {
            case .file(let path): (try SmallFile.read(path), path)
            case .inline(let bytes): (bytes, "the kubeconfig's data")
            }
        do {
            return try body(bytes)
        } catch {
            throw KubernetesError(.badConfiguration, "\(name): can't be used for TLS (\(error)); it must be PEM")
        }
    }
}
