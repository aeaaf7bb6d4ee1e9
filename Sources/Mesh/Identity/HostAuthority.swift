internal import Concurrency
internal import CLinux
package import MeshTransport
internal import FoundationEssentials
internal import Glibc
public import Logging
public import SPIFFE
internal import Synchronization

/// The authority of a host without SPIRE: kept in a directory that only root can read, and made at the first start.
///
/// A workload's identity follows from its user and its network namespace: a process that may act as a user there may
/// have that user's connections, and a restarted workload has the same identity in the registry. A process in another
/// user namespace has the identity of its user here.
///
/// Long before an authority ends a next one is made. It is trusted at once, and signs only when every identity that was
/// given without it has ended; so at no moment somebody meets a certificate of an authority that is unknown to him.
public final class HostAuthority: Sendable {
    /// How long identities live; they are replaced at half of it.
    static let lifetime = Duration.seconds(3600)
    static let authorityLifetime = Duration.seconds(3600 * 24 * 365)
    /// A next authority is made this long before the newest one ends.
    static let renewal = Duration.seconds(3600 * 24 * 120)

    /// All that are trusted, the oldest first.
    private let authorities: Mutex<[CertificateAuthority]>
    private let trustDomain: String
    private let path: String
    private let host: String
    private let logger: Logger
    /// Identities that were issued recently. A caller that asks repeatedly gets the same one: a new one costs two
    /// signatures.
    private let given = Mutex<[SPIFFEID: (identity: Identity, at: Timestamp)]>([:])
    private static let mostGiven = 1024
    private static let givenAge = Duration.seconds(60)

    /// Reads the authority, or makes it.
    ///
    /// - Throws: `SPIFFEError` when the directory can't be used, or others could read what is in it.
    public init(directory: String, trustDomain: String, host: String, logger: Logger) throws {
        self.host = host
        self.trustDomain = trustDomain
        self.logger = logger
        path = "\(directory)/authority.pem"
        Self.makeFolders(above: directory)
        // The umask can take rights away, but not so many that we can't use it ourselves.
        let isMade = mkdir(directory, 0o700) == 0
        guard isMade || errno == EEXIST, !isMade || chmod(directory, 0o700) == 0 else {
            throw SPIFFEError("\(directory) can't be made: \(String(cString: strerror(errno)))")
        }
        var status = stat()
        guard stat(directory, &status) == 0, status.st_uid == geteuid(), status.st_mode & 0o077 == 0 else {
            throw SPIFFEError("\(directory) must belong to this user and be closed to all others (mode 0700)")
        }
        let stored = try Self.stored(path)
        if let other = stored.first(where: { $0.trustDomain != trustDomain }) {
            throw SPIFFEError(
                "\(directory) holds the authority of \(other.trustDomain), not of \(trustDomain); move it away first")
        }
        authorities = Mutex(stored)
        _ = try valid(at: .now)
    }

    /// Makes the folders that lead to one, as far as they are missing. What goes wrong shows when that one is made.
    private static func makeFolders(above path: String) {
        for (index, character) in zip(path.indices, path) where character == "/" && index > path.startIndex {
            _ = mkdir(String(path[..<index]), 0o755)
        }
    }

    /// The authorities in a file; none when there is no file.
    private static func stored(_ path: String) throws -> [CertificateAuthority] {
        guard access(path, F_OK) == 0 else { return [] }
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        do {
            return try CertificateAuthority.all(pem: String(decoding: data, as: UTF8.self))
        } catch {
            throw SPIFFEError("\(path) holds no authority: \(error); move it away to have a new one made")
        }
    }

    /// Those that are valid, the oldest first, with a next one where it is time for it.
    private func valid(at now: Timestamp) throws -> [CertificateAuthority] {
        try authorities.withLock { known in
            var all = known.filter { $0.notAfter > now }
            if all.last.map({ $0.notAfter.since(now) < Self.renewal }) ?? true {
                let next = try CertificateAuthority(
                    newFor: trustDomain, lifetime: Self.authorityLifetime, now: now)
                do {
                    let text = (all + [next]).map(\.pem).joined()
                    try Self.write(Array(text.utf8), to: path)
                    all.append(next)
                    logger.notice(
                        "a new authority", metadata: ["file": "\(path)", "until": "\(next.notAfter.rfc3339)"])
                } catch {
                    // The old one goes on; it is tried again with the next identity.
                    if all.isEmpty { throw error }
                    logger.error("no new authority could be written", metadata: ["error": "\(error)"])
                }
            }
            known = all
            return all
        }
    }

    /// The name of a process: of its user, and of the network namespace that its socket was made in unless that is the mesh's
    /// own. All pods of a host have a user 0.
    ///
    /// - Throws: `SPIFFEError` when the kernel does not tell where the socket was made, or the host's name can't be part of it.
    package func id(of credentials: PeerCredentials) throws -> SPIFFEID {
        try Self.id(of: credentials, trustDomain: trustDomain, host: host)
    }

    static func id(of credentials: PeerCredentials, trustDomain: String, host: String) throws -> SPIFFEID {
        guard let space = credentials.namespace, let own = PeerNamespace.own else {
            throw SPIFFEError("the kernel does not tell in which network namespace the socket was made")
        }
        let start = "spiffe://\(trustDomain)/host/\(host)"
        if space.isSame(as: own) { return try SPIFFEID("\(start)/user/\(credentials.uid)") }
        let number = space.cookie.map { "\($0)" } ?? space.inode.map { "inode-\($0.number)" } ?? ""
        return try SPIFFEID("\(start)/net/\(number)/user/\(credentials.uid)")
    }

    /// The manager's own name.
    ///
    /// - Throws: `SPIFFEError` when the host's name can't be part of it.
    public func managerID() throws -> SPIFFEID { try SPIFFEID("spiffe://\(trustDomain)/host/\(host)/nsmgr") }

    /// An identity, new.
    ///
    /// - Throws: what the authority throws.
    public func issue(_ id: SPIFFEID) throws -> Identity { try issue(id, at: .now) }

    func issue(_ id: SPIFFEID, at now: Timestamp) throws -> Identity {
        let all = try valid(at: now)
        let isKnown = { (authority: CertificateAuthority) in authority.notBefore.advanced(by: Self.lifetime) <= now }
        guard let signer = all.last(where: isKnown) ?? all.first else { throw SPIFFEError("there is no authority") }
        return Identity(
            svid: try signer.issue(id, lifetime: Self.lifetime, now: now),
            bundles: try TrustBundles([trustDomain: all.map(\.certificate)]))
    }

    /// An identity, and each that follows it in time.
    ///
    /// - Throws: what the authority throws.
    public func identities(_ id: SPIFFEID) throws -> AsyncStream<Identity> {
        let first = try recent(id)
        return AsyncStream { continuation in
            continuation.yield(first)
            let task = Task {
                while (try? await Task.sleep(for: Self.lifetime / 2)) != nil {
                    if let next = try? self.recent(id) { continuation.yield(next) }
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private func recent(_ id: SPIFFEID) throws -> Identity {
        let now = Timestamp.now
        let known = given.withLock { $0[id] }
        if let known, known.at <= now, known.at.advanced(by: Self.givenAge) > now { return known.identity }
        let identity = try issue(id, at: now)
        given.withLock { given in
            if given.count >= Self.mostGiven { given = [:] }
            given[id] = (identity, now)
        }
        return identity
    }

    /// Whole or not at all, and never readable by others.
    private static func write(_ bytes: [UInt8], to path: String) throws(SPIFFEError) {
        let part = path + ".new"
        unlink(part)
        let file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0, fchmod(file, 0o600) == 0 else {
            throw SPIFFEError("\(part): \(String(cString: strerror(errno)))")
        }
        defer { close(file) }
        guard cl_write_all(file, bytes, bytes.count) == 0, fsync(file) == 0, rename(part, path) == 0 else {
            throw SPIFFEError("\(path): \(String(cString: strerror(errno)))")
        }
    }
}
