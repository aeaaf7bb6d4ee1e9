internal import Glibc
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// What WireGuard links have beside what all links have: a key, a port, a mark, and peers.
///
/// They are part of the links they are on: the kernel keeps no mark with them, a link of ours has exactly the declared peers, and
/// nothing of them is left over without it. The kernel tells nobody of changes, so they are read with the links, and once in a
/// while.
enum WireGuardClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // What can't be read now is read when it is compared, which then says why.
        for link in dump.links where isOurs(link, world) {
            dump.wireGuard[link.index] = try? world.wireGuardSocket(state).device(index: link.index)
        }
    }

    private static func isOurs(_ link: Link, _ world: LinuxWorld) -> Bool {
        link.kind.isOf(WireGuardAttributes.self) && world.ownership.owns(alias: link.alias)
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for (index, device) in dump.wireGuard {
            let known = WireGuardState(device)
            known.endpoints = former.links[index]?.wireGuard?.endpoints ?? [:]
            state.links[index]?.wireGuard = known
        }
    }

    /// What a link has; one that is planned has nothing yet.
    ///
    /// - Throws: the kernel's error when it can't be read.
    static func known(of link: LinkState, _ world: LinuxWorld) throws(KernelError) -> WireGuardDevice {
        if let device = link.wireGuard?.device { return device }
        if link.link.index < 0 || link.namespace.handle == nil { return WireGuardDevice() }
        let device = try world.wireGuardSocket(link.namespace).device(index: link.link.index)
        keep(device, of: link)
        return device
    }

    private static func keep(_ device: WireGuardDevice, of link: LinkState) {
        if let known = link.wireGuard { known.device = device } else { link.wireGuard = WireGuardState(device) }
    }

    /// Reads what a link has by now. Returns whether that is something else.
    static func lookAgain(at link: LinkState, _ world: LinuxWorld) -> Bool {
        guard link.link.index > 0, link.namespace.handle != nil,
            let device = try? world.wireGuardSocket(link.namespace).device(index: link.link.index)
        else { return false }
        let former = link.wireGuard?.device
        keep(device, of: link)
        return former.map { device.change(from: $0) != nil } ?? true
    }

    // MARK: - Changes

    /// A link has something else.
    static func put(_ change: WireGuardChange, of index: Int32, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[index], link.link.kind.isOf(WireGuardAttributes.self),
            let device = try? known(of: link, world)
        else { return }
        world.journals.remember(link: index, in: state, isItself: false)
        if link.wireGuard?.device == nil { keep(device, of: link) }
        link.wireGuard?.device?.apply(change)
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        // They go with their links.
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        // They go with their links.
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .finish { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old = old?.wireGuard, let link = state.links[restoration.current(index, in: state)],
                    link.link.kind.isOf(WireGuardAttributes.self),
                    let now = try? known(of: link, restoration.world), let change = old.change(from: now)
                else { continue }
                restoration.add(.wireGuard(index: link.link.index, change), in: state.id)
            }
        }
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        // They are part of the link.
    }
}

/// What is known of a WireGuard link beside the link itself.
final class WireGuardState {
    /// nil: it has to be read.
    var device: WireGuardDevice?
    /// The endpoints that we set, by peer. What the kernel has may be another one: it follows a peer that roams.
    var endpoints: [WireGuardKey: IPEndpoint] = [:]

    init(_ device: WireGuardDevice) { self.device = device }
}

/// What the world keeps for WireGuard.
struct WireGuardTools {
    /// The socket that was used last, and the number of its namespace. No more are kept: each would take a descriptor.
    fileprivate var socket: (namespace: Int, socket: WireGuardSocket)?
    /// Addresses of endpoints that are given by name.
    let names = NameLookups()
    /// Keys of the values that name a host.
    fileprivate(set) var nameUsers: [String: SmallSet<Key>] = [:]
    /// Declared peers by the keys of their values.
    fileprivate(set) var peers: [Key: WireGuardPeerValue] = [:]

    /// A namespace is let go.
    mutating func forget(_ state: NamespaceState) { if socket?.namespace == state.id { socket = nil } }

    /// A peer is declared.
    mutating func enter(_ peer: WireGuardPeerValue, key: Key) {
        peers[key] = peer
        guard let name = peer.hostName else { return }
        nameUsers[name, default: SmallSet<Key>()].insert(key)
        names.lookUp(name)
    }

    /// It is not any more.
    mutating func leave(_ peer: WireGuardPeerValue, key: Key) {
        peers[key] = nil
        guard let name = peer.hostName else { return }
        nameUsers[name]?.remove(key)
        if nameUsers[name]?.isEmpty != true { return }
        nameUsers[name] = nil
        names.forget(name)
    }
}

extension LinuxWorld {
    func wireGuardSocket(_ state: NamespaceState) throws(KernelError) -> WireGuardSocket {
        if let kept = wireGuard.socket, kept.namespace == state.id { return kept.socket }
        guard let handle = state.handle else { throw KernelError(code: ENOENT, message: "the namespace is gone") }
        let socket: WireGuardSocket
        // Where we are already no move is needed, which would take CAP_SYS_ADMIN.
        if state.reference == .own {
            socket = try WireGuardSocket(in: nil)
        } else {
            do {
                socket = try handle.run(from: home) { try WireGuardSocket(in: nil) }
            } catch {
                throw error as? KernelError ?? KernelError(code: EINVAL, message: "\(error)")
            }
        }
        wireGuard.socket = (state.id, socket)
        return socket
    }

    /// Sets what a WireGuard link has.
    func setWireGuard(_ index: Int32, _ change: WireGuardChange, in state: NamespaceState) throws(KernelError) {
        let index = madeIndexes[index] ?? index
        let known = state.links[index]?.wireGuard
        do throws(KernelError) {
            try wireGuardSocket(state).set(change, index: index)
        } catch {
            // Some of it may have been set.
            known?.device = nil
            for peer in change.peers { known?.endpoints[peer.key] = nil }
            guard error.code == EADDRINUSE, let port = change.listenPort else { throw error }
            throw KernelError(code: error.code, message: "somebody else listens to UDP port \(port)")
        }
        for peer in change.peers where peer.endpoint != nil || peer.verb != .change {
            known?.endpoints[peer.key] = peer.endpoint
        }
        // The kernel makes the public key, and drops a peer that has the same.
        if change.privateKey != nil { known?.device = nil }
    }

    /// Marks the values for a check that name a host whose addresses are known by now.
    func takeHostNames() {
        if wireGuard.nameUsers.isEmpty { return }
        for name in wireGuard.names.takeAnswered() { wireGuard.nameUsers[name]?.add(to: &told.keys) }
        if wireGuard.names.isAsking { watcher?.scheduleRecheck(after: NameLookups.recheck) }
    }
}

extension LinuxWorld {
    /// How declared peers of WireGuard stand at this moment, by the keys of their values: the age of the last handshake, and an
    /// endpoint other than the declared one.
    public func peerFacts(of keys: some Sequence<Key>) -> [Key: String] {
        if wireGuard.peers.isEmpty { return [:] }
        var devices: [String: WireGuardDevice?] = [:]
        var facts: [Key: String] = [:]
        for key in keys {
            guard let peer = wireGuard.peers[key] else { continue }
            if devices[peer.interface] == nil {
                let link = link(of: peer.interface)
                devices[peer.interface] = .some(
                    link.flatMap { link in
                        link.link.index < 0
                            ? nil : try? wireGuardSocket(link.namespace).device(index: link.link.index)
                    })
            }
            guard let known = devices[peer.interface] ?? nil, let state = known.peers[peer.key] else { continue }
            facts[key] = peer.facts(state, now: WireGuardPeerValue.now)
        }
        return facts
    }
}
