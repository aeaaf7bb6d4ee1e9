internal import Crypto
internal import Glibc
public import NetworkTypes

/// What an end of a WireGuard tunnel has of its own: a key that nobody else knows, and a port.
public struct WireGuardIdentity: Hashable, Sendable {
    /// It is in this process and in the kernel, and nowhere else.
    let privateKey: WireGuardSecret
    /// By which the other end knows it.
    public let publicKey: WireGuardKey
    /// The UDP port on which it listens.
    public let port: UInt16

    /// Makes a new key; nil: swift-crypto made none.
    init?(newAt port: UInt16) {
        var bytes = Array(Curve25519.KeyAgreement.PrivateKey().rawRepresentation)
        defer { explicit_bzero(&bytes, bytes.count) }
        guard let key = bytes.withUnsafeBytes({ WireGuardSecret($0) }) else { return nil }
        self.init(key, port: port)
    }

    /// Takes a key that a link has; nil: it can't be one.
    init?(_ privateKey: WireGuardSecret, port: UInt16) {
        let key = privateKey.clamped
        var bytes = key.withBytes { Array($0) }
        defer { explicit_bzero(&bytes, bytes.count) }
        guard !privateKey.isZero, let parsed = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: bytes),
            let publicKey = Array(parsed.publicKey.rawRepresentation).withUnsafeBytes({ WireGuardKey($0) })
        else { return nil }
        self.init(key, publicKey, port)
    }

    private init(_ privateKey: WireGuardSecret, _ publicKey: WireGuardKey, _ port: UInt16) {
        (self.privateKey, self.publicKey, self.port) = (privateKey, publicKey, port)
    }

    /// The same key at another port.
    func moved(to port: UInt16) -> WireGuardIdentity { WireGuardIdentity(privateKey, publicKey, port) }
}

/// One end of a WireGuard tunnel, and what is known of the other.
public struct WireGuardEnd: Hashable, Sendable {
    /// Ours.
    public var own: WireGuardIdentity
    /// The public key of the other end.
    public var peer: WireGuardKey

    /// Makes an end.
    public init(own: WireGuardIdentity, peer: WireGuardKey) {
        self.own = own
        self.peer = peer
    }
}
