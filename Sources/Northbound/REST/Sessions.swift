internal import Concurrency
internal import NIOPosix
internal import Synchronization

/// Who may log in, and who has: users with passwords get a token for some time.
public final class Sessions: Sendable {
    /// Somebody who may log in.
    public struct Account: Sendable {
        /// The name.
        public var name: String
        /// The password.
        public var hash: PasswordHash
        /// Whether changes are allowed, not only looking.
        public var mayChange: Bool

        /// Makes one.
        public init(name: String, hash: PasswordHash, mayChange: Bool) {
            self.name = name
            self.hash = hash
            self.mayChange = mayChange
        }
    }

    private struct Session {
        let account: Account
        let end: ContinuousClock.Instant
    }

    /// How long a token is good.
    let lifetime: Duration
    private let accounts: [String: Account]
    private let open = Mutex<[String: Session]>([:])
    /// Hashing is slow on purpose: one after the other, so that guessing is as well.
    private let hashing = Gate(1)
    /// How many log in, by who they are.
    private let arrivals = Mutex<[ConnectionCount.Group: Int]>([:])
    /// How many may wait to log in, in all and of one peer.
    private static let mostWaiting = (all: 32, peer: 2)
    /// The most tokens of one user at once; the one that ends first makes room.
    private let limit: Int
    /// The longest name and password that are looked at, bytes.
    static let longest = 256

    /// Makes a table in which nobody has logged in yet. Of two accounts with one name the later counts.
    public init(_ accounts: [Account], lifetime: Duration, limit: Int = 1000) {
        self.accounts = Dictionary(accounts.map { ($0.name, $0) }, uniquingKeysWith: { $1 })
        self.limit = max(limit / max(self.accounts.count, 1), 1)
        self.lifetime = lifetime
    }

    /// A token; nil: name or password is wrong.
    ///
    /// - Throws: ``RESTError`` when too many log in already.
    func logIn(_ name: String, _ password: String, from peer: ConnectionCount.Group = .unknown) async throws -> String?
    {
        guard name.utf8.count <= Self.longest, password.utf8.count <= Self.longest else { return nil }
        try begin(peer)
        defer { end(peer) }
        let account = accounts[name]
        // That of somebody, so that the time does not tell who there is.
        guard let hash = account?.hash ?? accounts.values.first?.hash ?? PasswordHash.ofNobody else { return nil }
        let isRight = try await hashing.run {
            // Away from the threads that answer others.
            try await NIOThreadPool.singleton.runIfActive { hash.matches(password) }
        }
        guard isRight, let account else { return nil }
        var generator = SystemRandomNumberGenerator()
        let token = (0..<4).map { _ in Self.hexadecimal(generator.next()) }.joined()
        open.withLock { open in
            let now = ContinuousClock.now
            open = open.filter { $0.value.end > now }
            let own = open.filter { $0.value.account.name == account.name }
            if own.count >= limit, let first = own.min(by: { $0.value.end < $1.value.end }) { open[first.key] = nil }
            open[token] = Session(account: account, end: now + lifetime)
        }
        return token
    }

    private func begin(_ peer: ConnectionCount.Group) throws {
        try arrivals.withLock { arrivals in
            guard arrivals.values.reduce(0, +) < Self.mostWaiting.all,
                arrivals[peer, default: 0] < Self.mostWaiting.peer
            else { throw RESTError("too many log in at once; try again", .tooManyRequests) }
            arrivals[peer, default: 0] += 1
        }
    }

    private func end(_ peer: ConnectionCount.Group) {
        arrivals.withLock { arrivals in
            let count = arrivals[peer, default: 1] - 1
            arrivals[peer] = count > 0 ? count : nil
        }
    }

    private static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// How many tokens there are.
    var count: Int { open.withLock { $0.count } }

    /// The account of a token; nil: the token is unknown or has expired.
    func account(_ token: String) -> Account? {
        open.withLock { open in open[token].flatMap { $0.end > .now ? $0.account : nil } }
    }

    /// Ends all tokens of the account that has this one.
    func logOut(_ token: String) {
        guard let name = account(token)?.name else { return }
        open.withLock { open in open = open.filter { $0.value.account.name != name } }
    }
}
