internal import CLinux
internal import FoundationEssentials
internal import Glibc
public import Logging
public import SPIFFE
internal import Synchronization

/// The authority of a host without SPIRE: kept in a directory that only root can read, and made at the first start.
///
/// A workload's identity follows from its user: whoever may act as a user may have that user's connections, and a workload
/// that is started again is the same one to the registry. Processes in other user namespaces are seen by their user here.
public final class HostAuthority: Sendable {
    /// How long identities live; they are replaced at half of it.
    private static let lifetime = Duration.seconds(3600)
    private static let authorityLifetime = Duration.seconds(3600 * 24 * 365)

    private let authority: CertificateAuthority
    private let host: String

    /// Reads the authority, or makes it.
    ///
    /// - Throws: `SPIFFEError` when the directory can't be used, or others could read what is in it.
    public init(directory: String, trustDomain: String, host: String, logger: Logger) throws {
        self.host = host
        let path = "\(directory)/authority.pem"
        guard mkdir(directory, 0o700) == 0 || errno == EEXIST else {
            throw SPIFFEError("\(directory) can't be made: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard stat(directory, &status) == 0, status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw SPIFFEError("\(directory) must belong to this user and be closed to all others (mode 0700)")
        }
        if let stored = try Self.stored(path) {
            guard stored.trustDomain == trustDomain else {
                throw SPIFFEError(
                    "\(directory) holds the authority of \(stored.trustDomain), not of \(trustDomain); move it away first"
                )
            }
            if stored.notAfter > UnixTime.now.adding(.seconds(3600 * 24 * 30)) {
                authority = stored
                return
            }
            logger.notice("the authority ends soon; a new one is made", metadata: ["directory": "\(directory)"])
        }
        authority = try CertificateAuthority(newFor: trustDomain, lifetime: Self.authorityLifetime)
        try Self.write(Array(authority.pem.utf8), to: path)
    }

    /// The authority in a file; nil when there is no file.
    private static func stored(_ path: String) throws -> CertificateAuthority? {
        guard access(path, F_OK) == 0 else { return nil }
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        do {
            return try CertificateAuthority(pem: String(decoding: data, as: UTF8.self))
        } catch {
            throw SPIFFEError("\(path) holds no authority: \(error); move it away to have a new one made")
        }
    }

    /// The name of a user's workloads.
    ///
    /// - Throws: `SPIFFEError` when the host's name can't be part of it.
    public func id(user: UInt32) throws -> SPIFFEID {
        try SPIFFEID("spiffe://\(authority.trustDomain)/host/\(host)/user/\(user)")
    }

    /// The manager's own name.
    ///
    /// - Throws: `SPIFFEError` when the host's name can't be part of it.
    public func managerID() throws -> SPIFFEID { try SPIFFEID("spiffe://\(authority.trustDomain)/host/\(host)/nsmgr") }

    /// An identity, new.
    ///
    /// - Throws: what the authority throws.
    public func issue(_ id: SPIFFEID) throws -> Identity {
        Identity(svid: try authority.issue(id, lifetime: Self.lifetime), bundles: try authority.bundles())
    }

    /// An identity, and each that follows it in time.
    ///
    /// - Throws: what the authority throws.
    public func identities(_ id: SPIFFEID) throws -> AsyncStream<Identity> {
        let first = try issue(id)
        return AsyncStream { continuation in
            continuation.yield(first)
            let task = Task {
                while (try? await Task.sleep(for: Self.lifetime / 2)) != nil {
                    if let next = try? self.issue(id) { continuation.yield(next) }
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Whole or not at all, and never readable by others.
    private static func write(_ bytes: [UInt8], to path: String) throws(SPIFFEError) {
        let part = path + ".new"
        unlink(part)
        let file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SPIFFEError("\(part): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        guard Glibc.write(file, bytes, bytes.count) == bytes.count, fsync(file) == 0, rename(part, path) == 0 else {
            throw SPIFFEError("\(path): \(String(cString: strerror(errno)))")
        }
    }
}
