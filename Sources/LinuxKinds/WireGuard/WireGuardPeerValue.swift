internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// Another end of a WireGuard link.
public struct WireGuardPeerValue: Value {
    /// The word for it in plans and status.
    public static let kind = "WireGuard peer"
    /// After the settings.
    public static let rank = 4

    let interface: String
    private let spec: WireGuardSpec.Peer

    init(interface: String, _ spec: WireGuardSpec.Peer) {
        (self.interface, self.spec) = (interface, spec)
    }

    /// The public key.
    var key: WireGuardKey { spec.key }

    /// The name behind which it is; nil: none.
    var hostName: String? {
        if case .name(let name, _)? = spec.endpoint { return name }
        return nil
    }

    /// The public key in the alphabet for file names, as keys are paths.
    var valueKey: Key {
        let text = "\(spec.key)".map { letter in letter == "/" ? "_" : letter == "+" ? "-" : letter }
        return "linux/interface/\(interface)/wireguard/peer/\(String(text.filter { $0 != "=" }))"
    }

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }

    /// `5bxd…= at vpn.example:51820, allowed ips 10.0.0.0/8, of wg0`
    public var summary: String {
        var text = "\(spec.key)"
        if let endpoint = spec.endpoint { text += " at \(endpoint)" }
        if !spec.allowedIPs.isEmpty { text += ", allowed ips \(Self.text(spec.allowedIPs))" }
        return text + ", of \(interface)"
    }

    /// Some networks, for people.
    private static func text(_ networks: some Collection<IPPrefix>) -> String {
        if networks.isEmpty { return "none" }
        let first = networks.prefix(8).map(\.description).joined(separator: " ")
        return networks.count > 8 ? "\(first) and \(networks.count - 8) more" : first
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface)
        world.wireGuard.enter(self, key: key)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface)
        world.wireGuard.leave(self, key: key)
    }

    /// Compares it with the kernel's, and the shared key with that in the file.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface), link.link.kind.isOf(WireGuardAttributes.self) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let device: WireGuardDevice
        do throws(KernelError) {
            device = try WireGuardClass.known(of: link, world)
        } catch {
            return Assessment(.blocked(world.text(for: error)))
        }
        if device.publicKey == key {
            return Assessment(.blocked("this is the public key of \(interface) itself, which is no peer of its own"))
        }
        let have = device.peers[key]
        var wanted = WireGuardPeer()
        wanted.keepalive = spec.keepalive
        wanted.allowedIPs = Set(spec.allowedIPs)
        do throws(KeyFileError) {
            if let file = spec.presharedKeyFile { wanted.presharedKey = try KeyFile.read(file) }
        } catch {
            return Assessment(.blocked("preshared key: \(error)"))
        }
        switch endpoint(have, set: link.wireGuard?.endpoints[key], world) {
        case .known(let endpoint): wanted.endpoint = endpoint
        case .kept: wanted.endpoint = have?.endpoint
        case .asked(let name): return Assessment(.waiting(["endpoint: \(name) is being looked up"]))
        case .unknown(let reason): return Assessment(.blocked(reason))
        }
        guard let change = wanted.change(from: have, key) else { return .inPlace }
        var whole = WireGuardChange()
        whole.peers = [change]
        let operations = [LinuxOperation(link.namespace, .wireGuard(index: link.link.index, whole))]
        guard let have else { return Assessment(.create, operations: operations) }
        return Assessment(.update, operations: operations, differences: differences(have, wanted))
    }

    private func differences(_ have: WireGuardPeer, _ wanted: WireGuardPeer) -> [Difference] {
        var differences: [Difference] = []
        func note(_ name: String, _ old: String, _ new: String) {
            differences.append(Difference(name, old: old, new: new))
        }
        if have.presharedKey != wanted.presharedKey {
            note(
                "preshared key", have.presharedKey == nil ? "none" : "another",
                spec.presharedKeyFile.map { "that in \($0)" } ?? "none")
        }
        if have.endpoint != wanted.endpoint {
            note("endpoint", have.endpoint.map { "\($0)" } ?? "none", wanted.endpoint.map { "\($0)" } ?? "none")
        }
        if have.keepalive != wanted.keepalive {
            note("persistent keepalive", "\(have.keepalive)", "\(wanted.keepalive)")
        }
        if have.allowedIPs != wanted.allowedIPs {
            note("allowed ips", Self.text(have.allowedIPs.sorted()), Self.text(wanted.allowedIPs.sorted()))
        }
        return differences
    }

    // MARK: - Endpoints

    /// Where the peer is to be.
    private enum Place {
        /// There.
        case known(IPEndpoint)
        /// Where the kernel has it.
        case kept
        /// The name is being looked up.
        case asked(String)
        /// The name stands for nothing.
        case unknown(String)
    }

    /// How long a session lives without a new handshake, seconds. Source: `REJECT_AFTER_TIME`, drivers/net/wireguard/messages.h.
    private static let sessionTime: Int64 = 180

    /// Seconds of CLOCK_REALTIME.
    static var now: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Int64(now.tv_sec)
    }

    /// - Parameter set: the endpoint that we set last, if we did.
    private func endpoint(_ have: WireGuardPeer?, set: IPEndpoint?, _ world: LinuxWorld) -> Place {
        let wanted: [IPEndpoint]
        switch spec.endpoint {
        case nil: return .kept
        case .address(let endpoint): wanted = [endpoint]
        case .name(let name, let port):
            // Without events nobody would look again.
            let answer = world.wireGuard.names.answer(name, isWaiting: world.watcher == nil)
            if world.wireGuard.names.isAsking { world.watcher?.scheduleRecheck(after: NameLookups.recheck) }
            switch answer {
            case .addresses(let addresses): wanted = addresses.map { IPEndpoint($0, port: port) }
            case .asked:
                if have?.endpoint != nil { return .kept }
                return .asked(name)
            case .failed(let reason):
                if have?.endpoint != nil { return .kept }
                return .unknown(
                    "endpoint: \(name) can't be looked up (by the resolver of the agent's own namespace): \(reason)")
            }
        }
        guard let first = wanted.first else { return .kept }
        guard let now = have?.endpoint else { return .known(first) }
        if wanted.contains(now) { return .kept }
        // It roamed since, if we set it to what is still wanted. What an agent before us set nobody knows: as long as
        // packets come from there it is right.
        if let set { return wanted.contains(set) ? .kept : .known(first) }
        let isAlive = have?.lastHandshake.map { Self.now - $0 < Self.sessionTime } ?? false
        return isAlive ? .kept : .known(first)
    }

    /// How it stands, for people.
    func facts(_ state: WireGuardPeer, now: Int64) -> String {
        var text = state.lastHandshake.map { "handshake \(Self.age(now - $0)) ago" } ?? "no handshake yet"
        if case .address(let declared)? = spec.endpoint, let endpoint = state.endpoint, endpoint != declared {
            text += ", endpoint \(endpoint)"
        } else if hostName != nil || spec.endpoint == nil, let endpoint = state.endpoint {
            text += ", endpoint \(endpoint)"
        }
        return text
    }

    private static func age(_ seconds: Int64) -> String {
        switch seconds {
        case ..<120: "\(max(seconds, 0)) s"
        case ..<7200: "\(seconds / 60) min"
        case ..<172_800: "\(seconds / 3600) h"
        default: "\(seconds / 86400) d"
        }
    }
}
