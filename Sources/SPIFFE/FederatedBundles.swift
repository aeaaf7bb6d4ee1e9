internal import Concurrency
internal import FoundationEssentials
internal import Glibc
package import Logging
internal import SwiftASN1
internal import Synchronization

/// The authorities of other trust domains, from PEM files that are read again when they change.
///
/// A missing or invalid file is reported, and what was read from it before stays in use.
package final class FederatedBundles: Sendable {
    /// What tells one state of a file from another.
    private struct Stamp: Hashable {
        let inode: UInt
        let size: Int
        let seconds: Int
        let nanoseconds: Int

        init?(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return nil }
            inode = UInt(status.st_ino)
            size = Int(status.st_size)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }
    }
    private struct State {
        var stamps: [String: Stamp?] = [:]
        var authorities: [String: [[UInt8]]] = [:]
        var followers = Broadcast<Void, Never, Void>()
    }
    private let files: [String: String]
    private let logger: Logger
    private let state = Mutex(State())
    private static let largest = 1 << 20

    /// Reads the file of each trust domain.
    ///
    /// - Parameter files: Paths by trust domain.
    package init(_ files: [String: String], logger: Logger) {
        self.files = files
        self.logger = logger
        _ = authorities()
    }

    /// The authorities in the files, DER by trust domain. Files that changed are read.
    package func authorities() -> [String: [[UInt8]]] {
        state.withLock { state in
            var isNew = false
            for (domain, path) in files {
                let stamp = Stamp(path)
                if let seen = state.stamps[domain], seen == stamp { continue }
                state.stamps[domain] = .some(stamp)
                do {
                    state.authorities[domain] = try Self.read(path)
                    isNew = true
                } catch {
                    logger.error(
                        "the authorities of another trust domain can't be read",
                        metadata: ["domain": "\(domain)", "error": "\(error)"])
                }
            }
            if isNew { state.followers.tell(()) }
            return state.authorities
        }
    }

    /// An identity that also knows the authorities in the files.
    package func joined(to identity: Identity) -> Identity {
        let all = authorities().merging(identity.bundles.authorities) { _, own in own }
        guard let bundles = try? TrustBundles(all) else { return identity }
        return Identity(svid: identity.svid, bundles: bundles)
    }

    /// Identities that also know the authorities in the files: each that comes, and the last one again when a file changes.
    package func joined(to identities: AsyncStream<Identity>) -> AsyncStream<Identity> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let last = IdentityStore()
            // From now on: a change that nobody follows yet would be missed.
            let changes = self.changes()
            let task = Task {
                await withDiscardingTaskGroup { group in
                    group.addTask {
                        for await _ in changes {
                            if let identity = last.current { continuation.yield(self.joined(to: identity)) }
                        }
                    }
                    for await identity in identities {
                        last.replace(identity)
                        continuation.yield(self.joined(to: identity))
                    }
                    group.cancelAll()
                }
                continuation.finish()
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// Looks at the files every ten seconds until the task is cancelled, for those who follow identities.
    package func run() async {
        while (try? await Task.sleep(for: .seconds(10), tolerance: .seconds(1))) != nil { _ = authorities() }
    }

    private func changes() -> AsyncStream<Void> { state.withLock { $0.followers.follow(backlog: .newest) } }

    private static func read(_ path: String) throws(SPIFFEError) -> [[UInt8]] {
        guard let data = try? Data(contentsOf: URL(fileURLWithPath: path)), data.count < largest else {
            throw SPIFFEError("\(path) is not there or too large")
        }
        let certificates: [[UInt8]]
        do {
            certificates = try PEMDocument.parseMultiple(pemString: String(decoding: data, as: UTF8.self))
                .filter { $0.discriminator == "CERTIFICATE" }.map(\.derBytes)
        } catch {
            throw SPIFFEError("\(path) is not PEM: \(error)")
        }
        guard !certificates.isEmpty else { throw SPIFFEError("\(path) holds no certificate") }
        _ = try TrustBundles(["": certificates])
        return certificates
    }
}

/// An identity that also knows the authorities of other trust domains.
package struct FederatedIdentity: IdentitySource {
    private let base: any IdentitySource
    private let bundles: FederatedBundles

    /// Joins the authorities in files to the identities of a source.
    package init(_ base: any IdentitySource, _ bundles: FederatedBundles) {
        self.base = base
        self.bundles = bundles
    }

    /// The newest identity, with what the files hold now.
    package func identity() async throws -> Identity { bundles.joined(to: try await base.identity()) }

    /// The present identity, and each that follows.
    package func identities() -> AsyncStream<Identity> { bundles.joined(to: base.identities()) }
}

extension TrustBundles {
    /// The authorities of a trust domain as PEM, to send to others; empty when there are none.
    package func pem(of domain: String) -> String {
        (authorities[domain] ?? []).map { PEMDocument(type: "CERTIFICATE", derBytes: $0).pemString + "\n" }.joined()
    }
}

extension Identity {
    /// Checks a peer's chain.
    ///
    /// - Parameter chain: DER, the leaf first.
    /// - Throws: ``SPIFFEError`` with the reason.
    package func verify(chain: [[UInt8]]) async throws(SPIFFEError) -> VerifiedPeer {
        do {
            return try await bundles.verify(chain: chain)
        } catch {
            guard let first = chain.first, let leaf = try? Leaf(first), leaf.id.trustDomain == svid.id.trustDomain
            else { throw error }
            throw SPIFFEError(
                "\(error); if it is of another host: hosts with authorities of their own need trust domains of different"
                    + " names, and this host's is \(svid.id.trustDomain), too")
        }
    }
}
