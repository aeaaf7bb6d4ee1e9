internal import Glibc
internal import NIOCore
internal import NIOSSL
internal import Synchronization

/// Files for TLS of a client: whom it believes, and what it shows.
public struct ClientTLSFiles: Sendable, Hashable {
    /// Authorities of the server's certificate, PEM; nil: those of the system.
    public var authorityFile: String?
    /// Our certificates, PEM, our own first; nil: none is shown.
    public var certificateFile: String?
    /// The key of the first of them, PEM.
    public var keyFile: String?

    /// Names the files.
    public init(authorityFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
        self.authorityFile = authorityFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// How a server with certificates of an operator is recognised.
package final class ServerTrust: Sendable {
    let context: NIOSSLContext
    /// The name that its certificate must have; nil: the address that was connected to.
    let name: String?
    private let place: String
    private let authorities: String
    private let alert = Mutex<String?>(nil)

    /// - Parameter host: A name, or a numeric address.
    /// - Throws: ``TransportError`` with the file that can't be used.
    package init(_ files: ClientTLSFiles, host: String) throws(TransportError) {
        var bytes = in6_addr()
        let isNumeric = inet_pton(AF_INET, host, &bytes) == 1 || inet_pton(AF_INET6, host, &bytes) == 1
        name = isNumeric ? nil : host
        place = host
        authorities = files.authorityFile ?? "the authorities of this system"
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2"]
        if let file = files.authorityFile {
            configuration.trustRoots = .certificates(
                try CertificateFiles.reading(file) { try NIOSSLCertificate.fromPEMFile(file) })
        }
        if let file = files.certificateFile, let keyFile = files.keyFile {
            let chain = try CertificateFiles.reading(file) { try NIOSSLCertificate.fromPEMFile(file) }
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(
                try CertificateFiles.reading(keyFile) { try NIOSSLPrivateKey(file: keyFile, format: .pem) })
        }
        let settings = configuration
        context = try CertificateFiles.reading(files.certificateFile ?? authorities) {
            try NIOSSLContext(configuration: settings)
        }
    }

    func note(_ error: any Error) { alert.withLock { $0 = $0 ?? explanation(error) } }

    /// Why TLS ended; nil: it did not, as far as is known.
    package var refusal: String? { alert.withLock { $0 } }

    /// Explains a TLS error to the client.
    func explanation(_ error: any Error) -> String? {
        if let error = error as? NIOSSLExtraError, error == .failedToValidateHostname {
            return "its certificate is not one of '\(place)': \(error)"
        }
        let text = "\(error)"
        guard error is NIOSSLError || error is BoringSSLError else { return nil }
        if text.contains("CERTIFICATE_VERIFY_FAILED") { return "its certificate is not signed by \(authorities)" }
        if text.contains("WRONG_VERSION_NUMBER") { return "no TLS is spoken there" }
        if text.contains("ALERT") { return "it refuses our certificate, or that there is none: \(text)" }
        return nil
    }
}

/// Keeps what TLS says when it ends, also after the handshake: whether its certificate was accepted a client hears later.
final class AlertWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    private let trust: ServerTrust

    init(_ trust: ServerTrust) { self.trust = trust }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        trust.note(error)
        context.fireErrorCaught(error)
    }
}
