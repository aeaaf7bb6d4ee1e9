internal import Concurrency
internal import GRPCCore
package import MeshTransport
internal import Synchronization

/// Who may ask for shared prefixes, and how much of it each peer does.
package final class PrefixCallers: Sendable {
    /// Who asks.
    package struct Caller: Sendable {
        /// Who it is, proven; what he had he may have again.
        package let identity: String
        /// Whose limits count.
        package let account: String
        /// Whether it may have all prefixes that there are.
        package let isUnlimited: Bool
        /// Whether it asks for others, of whom it knows itself what they had.
        package let isRelay: Bool

        /// Describes a caller.
        ///
        /// - Parameter identity: His account unless given.
        package init(identity: String? = nil, account: String, isUnlimited: Bool, isRelay: Bool = false) {
            self.identity = identity ?? account
            self.account = account
            self.isRelay = isRelay
            self.isUnlimited = isUnlimited
        }
    }
    private struct Use {
        var streams = 0
        var prefixes = 0
    }
    private let uses = Mutex<[String: Use]>([:])
    private let admit: @Sendable (ConnectionInfo?) throws -> Caller
    /// Prefixes of one peer.
    let most: Int

    /// Streams of one peer.
    static let mostStreams = 16

    /// - Parameters:
    ///   - most: Prefixes of one peer.
    ///   - admit: Who it is; throws `RPCError` for one who may not ask.
    package init(most: Int, admit: @escaping @Sendable (ConnectionInfo?) throws -> Caller) {
        self.most = most
        self.admit = admit
    }

    /// A stream begins.
    func enter() throws -> Caller {
        let caller = try admit(ConnectionInfo.current)
        try uses.withLock { uses in
            guard uses[caller.account]?.streams ?? 0 < Self.mostStreams else {
                throw RPCError(
                    code: .resourceExhausted, message: "\(caller.account) has \(Self.mostStreams) streams for prefixes")
            }
            uses[caller.account, default: Use()].streams += 1
        }
        return caller
    }

    /// A stream ends, with prefixes that it still had.
    func leave(_ caller: Caller, prefixes: Int) {
        uses.withLock { uses in
            uses[caller.account]?.streams -= 1
            uses[caller.account]?.prefixes -= prefixes
            if uses[caller.account]?.streams == 0 { uses[caller.account] = nil }
        }
    }

    /// One more prefix.
    func take(_ caller: Caller) throws {
        try uses.withLock { uses in
            guard caller.isUnlimited || uses[caller.account]?.prefixes ?? 0 < most else {
                throw RPCError(
                    code: .resourceExhausted, message: "\(caller.account) has \(most) prefixes, which is the most")
            }
            uses[caller.account, default: Use()].prefixes += 1
        }
    }

    /// One less.
    func give(_ caller: Caller) { uses.withLock { $0[caller.account]?.prefixes -= 1 } }
}

extension PrefixCallers.Caller {
    /// Whose the prefixes of a call are.
    func owner(_ metadata: Metadata) -> PrefixBook.Owner {
        PrefixBook.Owner(identity, service: metadata[stringValues: WellKnown.prefixService].first { _ in true } ?? "")
    }
}
