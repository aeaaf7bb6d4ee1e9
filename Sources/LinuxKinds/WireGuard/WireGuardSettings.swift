internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// What a WireGuard link has for all of its peers: the private key, the port, the firewall mark; and that it has no other peers.
public struct WireGuardSettings: Value {
    /// The word for it in plans and status.
    public static let kind = "WireGuard"
    /// After the link, and before the peers, which may get what others have.
    public static let rank = 3

    let interface: String
    private let keyFile: String?
    private let listenPort: UInt16?
    private let firewallMark: UInt32
    private let peers: Set<WireGuardKey>

    init(interface: String, _ spec: WireGuardSpec) {
        self.interface = interface
        (keyFile, listenPort, firewallMark) = (spec.privateKeyFile, spec.listenPort, spec.firewallMark)
        peers = Set(spec.peers.map(\.key))
    }

    var key: Key { "linux/interface/\(interface)/wireguard" }

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }

    /// `private key, listen port 51820, 2 peers of wg0`
    public var summary: String {
        var words: [String] = []
        if keyFile != nil { words.append("private key") }
        if let listenPort { words.append("listen port \(listenPort)") }
        if firewallMark != 0 { words.append("fwmark \(firewallMark)") }
        words.append(peers.count == 1 ? "1 peer" : "\(peers.count) peers")
        return "\(words.joined(separator: ", ")) of \(interface)"
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface)
        world.declarations.enter(silent: self, key: key)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface)
        world.declarations.leave(silent: key)
    }

    /// Compares them with the kernel's, and the key with that in the file.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface), link.link.kind.isOf(WireGuardAttributes.self) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        var (change, differences) = (WireGuardChange(), [Difference]())
        do {
            let have = try WireGuardClass.known(of: link, world)
            if let keyFile {
                let wanted = try KeyFile.read(keyFile).clamped
                if wanted != have.privateKey {
                    change.privateKey = wanted
                    differences.append(
                        Difference(
                            "private key", old: have.privateKey == nil ? "none" : "another", new: "that in \(keyFile)"))
                }
            }
            compare(have, &change, &differences)
        } catch let error as KernelError {
            return Assessment(.blocked(world.text(for: error)))
        } catch {
            return Assessment(.blocked("private key: \(error)"))
        }
        if change.isEmpty { return .inPlace }
        let operation = LinuxOperation(link.namespace, .wireGuard(index: link.link.index, change))
        let isNew = link.link.index < 0
        return Assessment(isNew ? .create : .update, operations: [operation], differences: isNew ? [] : differences)
    }

    private func compare(
        _ have: WireGuardDevice, _ change: inout WireGuardChange, _ differences: inout [Difference]
    ) {
        if let listenPort, listenPort != have.listenPort {
            change.listenPort = listenPort
            differences.append(Difference("listen port", old: "\(have.listenPort)", new: "\(listenPort)"))
        }
        if firewallMark != have.firewallMark {
            change.firewallMark = firewallMark
            differences.append(Difference("fwmark", old: "\(have.firewallMark)", new: "\(firewallMark)"))
        }
        for key in have.peers.keys.sorted() where !peers.contains(key) {
            change.peers.append(WireGuardChange.Peer(key, .remove))
            differences.append(Difference("peer", old: "\(key)", new: "none"))
        }
    }
}

extension WireGuardSettings: SilentValue {
    func home(in world: LinuxWorld) -> LinkState? { world.link(of: interface) }

    /// Peers are looked at, too, when something has changed.
    func lookAgain(in world: LinuxWorld) {
        guard let link = world.link(of: interface), link.link.kind.isOf(WireGuardAttributes.self),
            WireGuardClass.lookAgain(at: link, world)
        else { return }
        world.concern(link.link.name, in: link.namespace)
    }
}
