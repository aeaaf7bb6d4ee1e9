internal import GRPCCore
internal import MeshTransport
internal import NSM
internal import Synchronization

/// Which of our connections has the id that its client gave it, so that two clients of one name don't take turns in displacing
/// each other at their endpoint.
final class ClientIDs: Sendable {
    /// A connection as its client names it.
    private struct Name: Hashable {
        var client: String
        var id: String
    }
    /// The connection that holds the id.
    struct Holder: Hashable, Sendable {
        /// The connection's id here.
        var id: String
        var peer: PeerIdentity
        /// Where the client has his socket; nil: the kernel does not tell.
        var namespace: PeerNamespace?
        /// Who is trusted keeps it from strangers, and takes it from them.
        var isTrusted = false
    }
    /// How many ids are taken.
    var count: Int { holders.withLock { $0.names.count } }
    private let holders = Mutex<(byName: [Name: Holder], names: [String: Name])>(([:], [:]))

    /// Takes the id for a connection, unless one that counts has it from another namespace.
    ///
    /// - Parameters:
    ///   - holder: The connection that requests it.
    ///   - isInUse: Whether the present holder counts.
    /// - Returns: the connection that had it before.
    /// - Throws: `RPCError` for the client.
    func take(
        for connection: NSMConnection, _ holder: Holder, isInUse: (Holder) -> Bool
    ) throws(RPCError) -> String? {
        guard let first = connection.path.pathSegments.first else { return nil }
        let name = Name(client: first.name, id: first.id)
        let old = holders.withLock { $0.byName[name] }
        let isOther = old.map { $0.id != holder.id && !Self.isSame($0.namespace, holder.namespace) } ?? false
        if let old, isOther, old.isTrusted || !holder.isTrusted, isInUse(old) {
            throw RPCError(
                code: .alreadyExists,
                message:
                    "the id \(first.id.prefix(bytes: 253)) of \(first.name.prefix(bytes: 253)) is in use from another network namespace;"
                    + " give one of the two another name (NSM_NAME, --nsm-name)")
        }
        holders.withLock { holders in
            if let before = holders.byName.updateValue(holder, forKey: name) { holders.names[before.id] = nil }
            // One that changed its own id.
            if let former = holders.names[holder.id], former != name { holders.byName[former] = nil }
            holders.names[holder.id] = name
        }
        return isOther ? old?.id : nil
    }

    /// Forgets a connection that is gone.
    func release(_ id: String) {
        holders.withLock { holders in
            guard let name = holders.names.removeValue(forKey: id), holders.byName[name]?.id == id else { return }
            holders.byName[name] = nil
        }
    }

    private static func isSame(_ one: PeerNamespace?, _ other: PeerNamespace?) -> Bool {
        guard let one, let other else { return true }
        return one.isSame(as: other)
    }
}
