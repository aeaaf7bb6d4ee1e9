internal import Glibc
package import Logging
package import NIOSSL
internal import Synchronization

/// Files for TLS with certificates of the operator.
public struct TLSFiles: Sendable, Hashable {
    /// The server's certificates, PEM, its own first.
    public var certificateFile: String
    /// The key of the first of them, PEM.
    public var keyFile: String
    /// Files with the authorities of clients' certificates, PEM; empty: clients need none.
    public var clientFiles: [String]

    /// Names the files.
    public init(certificateFile: String, keyFile: String, clientFiles: [String] = []) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.clientFiles = clientFiles
    }
}

/// Certificates in files, which are read again when the files change.
package final class CertificateFiles: Sendable {
    /// What a file looked like.
    private struct Stamp: Hashable {
        var seconds = 0
        var nanoseconds = 0
        var size = 0
        var inode: UInt64 = 0
    }
    private struct Known {
        var stamps: [Stamp]
        var context: NIOSSLContext
        /// What could not be used, and when it is tried again: it may have been for want of descriptors.
        var failure: (stamps: [Stamp], retry: ContinuousClock.Instant)?
    }

    /// Whether clients need certificates.
    package let asksClients: Bool
    private let files: TLSFiles
    private let protocols: [String]
    private let logger: Logger
    private let known: Mutex<Known>

    /// - Parameter protocols: What is spoken, by the names of ALPN.
    /// - Throws: ``TransportError`` with the file that can't be used.
    package init(_ files: TLSFiles, protocols: [String], logger: Logger) throws(TransportError) {
        self.files = files
        self.protocols = protocols
        self.logger = logger
        asksClients = !files.clientFiles.isEmpty
        known = Mutex(Known(stamps: Self.stamps(files), context: try Self.read(files, protocols)))
    }

    /// For the next connection. When the files have changed to something that can't be used, that of before stays.
    package func context() -> NIOSSLContext {
        let stamps = Self.stamps(files)
        return known.withLock { known in
            if known.stamps == stamps { return known.context }
            let now = ContinuousClock.now
            let isKnown = known.failure?.stamps == stamps
            if isKnown, let failure = known.failure, now < failure.retry { return known.context }
            do throws(TransportError) {
                known.context = try Self.read(files, protocols)
                known.stamps = stamps
                known.failure = nil
                logger.info("certificates read again", metadata: ["file": "\(files.certificateFile)"])
            } catch {
                known.failure = (stamps, now + .seconds(5))
                if !isKnown {
                    logger.error(
                        "changed certificates can't be used; those of before stay", metadata: ["error": "\(error)"])
                }
            }
            return known.context
        }
    }

    private static func stamps(_ files: TLSFiles) -> [Stamp] {
        ([files.certificateFile, files.keyFile] + files.clientFiles).map { path in
            var status = stat()
            guard stat(path, &status) == 0 else { return Stamp() }
            return Stamp(
                seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, size: Int(status.st_size),
                inode: UInt64(status.st_ino))
        }
    }

    private static func read(_ files: TLSFiles, _ protocols: [String]) throws(TransportError) -> NIOSSLContext {
        let chain = try reading(files.certificateFile) { try NIOSSLCertificate.fromPEMFile(files.certificateFile) }
        let key = try reading(files.keyFile) { try NIOSSLPrivateKey(file: files.keyFile, format: .pem) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = protocols
        if !files.clientFiles.isEmpty {
            var authorities: [NIOSSLCertificate] = []
            for file in files.clientFiles {
                authorities += try reading(file) { try NIOSSLCertificate.fromPEMFile(file) }
            }
            configuration.trustRoots = .certificates(authorities)
            configuration.certificateVerification = .noHostnameVerification
        }
        let settings = configuration
        return try reading(files.certificateFile) { try NIOSSLContext(configuration: settings) }
    }

    static func reading<Content>(
        _ path: String, _ body: () throws -> Content
    ) throws(TransportError) -> Content {
        do {
            return try body()
        } catch {
            throw TransportError("\(path): can't be used for TLS (\(error)); give a PEM file of it")
        }
    }
}
