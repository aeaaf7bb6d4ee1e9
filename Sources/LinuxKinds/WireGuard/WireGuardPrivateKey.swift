internal import Netlink
public import NetworkTypes
public import Reconciler

/// The private key of a WireGuard link that has no file with it: its owner keeps it in memory, and asks the kernel for it after a
/// restart.
public struct WireGuardPrivateKey: Value {
    /// The word for it in plans and status.
    public static let kind = "WireGuard key"
    /// After the link, and before its peers: the kernel drops a peer that has the link's own public key.
    public static let rank = 3

    private let interface: String
    private let secret: WireGuardSecret

    /// The key of an interface, by its logical name.
    public init(interface: String, _ secret: WireGuardSecret) {
        (self.interface, self.secret) = (interface, secret.clamped)
    }

    /// The interface.
    public var dependencies: [Dependency<LinuxWorld>] {
        [Dependency(label: "interface-exists", target: .key(InterfaceKeys.key(interface)))]
    }

    /// `private key of wg0`
    public var summary: String { "private key of \(interface)" }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(key, user: interface) }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(key, user: interface) }

    /// Compares it with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface), link.link.kind.isOf(WireGuardAttributes.self) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let have: WireGuardSecret?
        do throws(KernelError) {
            have = try WireGuardClass.known(of: link, world).privateKey
        } catch {
            return Assessment(.blocked(world.text(for: error)))
        }
        if have == secret { return .inPlace }
        var change = WireGuardChange()
        change.privateKey = secret
        let operation = LinuxOperation(link.namespace, .wireGuard(index: link.link.index, change))
        guard have != nil else { return Assessment(.create, operations: [operation]) }
        return Assessment(
            .update, operations: [operation], differences: [Difference("private key", old: "another", new: "ours")])
    }
}
