internal import FoundationEssentials
internal import Logging
internal import SwiftASN1
internal import Synchronization

/// An identity from PEM files, read again when they are replaced.
public final class FileIdentity: IdentitySource {
    private let paths: Paths
    private let store: IdentityStore
    private let logger = Logger(label: "identity")

    private struct Paths: Sendable {
        let certificate: String
        let key: String
        let bundle: String
    }

    /// Reads a chain, its key, and the authorities of its trust domain.
    ///
    /// - Throws: ``SPIFFEError`` with the file that is wrong.
    public init(certificate: String, key: String, bundle: String) throws(SPIFFEError) {
        paths = Paths(certificate: certificate, key: key, bundle: bundle)
        store = IdentityStore(try Self.read(paths))
    }

    /// The identity of the files.
    public func identity() async throws -> Identity { try await store.wait() }

    /// The identity of the files, and each that replaces it.
    public func identities() -> AsyncStream<Identity> { store.follow() }

    /// Looks at the files every ten seconds until the task is cancelled. Files that are wrong leave the last identity.
    public func run() async {
        var seen = try? Self.contents(paths)
        while (try? await Task.sleep(for: .seconds(10))) != nil {
            guard let now = try? Self.contents(paths), now != seen else { continue }
            do {
                store.replace(try Self.read(paths))
                seen = now
            } catch {
                logger.error("the identity's files are wrong; the last identity stays", metadata: ["error": "\(error)"])
            }
        }
    }

    private static func contents(_ paths: Paths) throws(SPIFFEError) -> [String] {
        try [paths.certificate, paths.key, paths.bundle].map { path throws(SPIFFEError) in
            guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)), data.count < 1 << 20 else {
                throw SPIFFEError("\(path) can't be read")
            }
            return String(decoding: data, as: UTF8.self)
        }
    }

    private static func read(_ paths: Paths) throws(SPIFFEError) -> Identity {
        let contents = try contents(paths)
        let chain = try documents(contents[0], paths.certificate, "CERTIFICATE")
        let keys = try documents(contents[1], paths.key, "PRIVATE KEY")
        let svid = try X509SVID(chain: chain, privateKeyPKCS8: keys[0])
        let authorities = try documents(contents[2], paths.bundle, "CERTIFICATE")
        return Identity(svid: svid, bundles: try TrustBundles([svid.id.trustDomain: authorities]))
    }

    private static func documents(_ text: String, _ path: String, _ kind: String) throws(SPIFFEError) -> [[UInt8]] {
        let all: [PEMDocument]
        do {
            all = try PEMDocument.parseMultiple(pemString: text)
        } catch {
            throw SPIFFEError("\(path) is not PEM: \(error)")
        }
        let fitting = all.filter { $0.discriminator.hasSuffix(kind) }.map(\.derBytes)
        guard !fitting.isEmpty else { throw SPIFFEError("\(path) holds no \(kind)") }
        return fitting
    }
}
