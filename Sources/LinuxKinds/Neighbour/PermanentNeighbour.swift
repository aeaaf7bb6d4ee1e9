internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum NeighbourKeys {
    static let prefix = ModelRegistry.model(.arp).keyPrefix
}

/// A permanent neighbour (ARP or Neighbor Discovery), or a proxy entry.
public struct PermanentNeighbour: Value {
    /// The word for neighbours in plans and status.
    public static let kind = "neighbour"
    /// After addresses.
    public static let rank = 7

    let interface: String
    let namespace: NamespaceReference
    let address: IPAddress?
    let reference: AllocationReference?
    let mac: MACAddress?
    let isProxy: Bool

    /// Takes a checked neighbour.
    init(_ spec: NeighbourSpec) {
        interface = spec.interface
        namespace = NamespaceReference(spec.namespace)
        isProxy = spec.isProxy
        mac = spec.mac
        switch spec.address {
        case .literal(let prefix): (address, reference) = (prefix.address, nil)
        case .allocated(let allocated): (address, reference) = (nil, allocated)
        }
    }

    /// The interface, if it is ours to make, and the allocation.
    public var dependencies: [Dependency<LinuxWorld>] {
        var result: [Dependency<LinuxWorld>] = [
            Dependency(label: "interface-exists", target: .keyIfDeclared(InterfaceKeys.key(interface)))
        ]
        result += namespace.dependencies
        if let reference { result.append(Dependency(label: "address-allocated", target: .key(reference.key))) }
        return result
    }

    /// `10.0.0.2 lladdr 02:… dev veth1`
    public var summary: String {
        let destination = address.map(\.description) ?? reference.map { "alloc:\($0.id)" } ?? ""
        return "\(destination) \(mac.map { "lladdr \($0)" } ?? "proxy") dev \(interface)"
    }

    /// An interface that is not ours and is not there.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if world.declarations.interfaces[interface] != nil { return [] }
        if let reason = world.unmetCondition(namespace) { return [reason] }
        if world.link(named: interface, in: namespace) != nil { return [] }
        return ["interface-exists: \(interface)\(namespace.suffix) is not there and not declared"]
    }

    private func wanted(in world: LinuxWorld) -> (LinkState, Neighbour)? {
        guard let link = world.link(named: interface, in: namespace),
            let destination = address ?? reference.flatMap({ world.declarations.allocations[$0.id]?.address.address })
        else { return nil }
        let entry = Neighbour(
            linkIndex: link.link.index, destination: destination, mac: mac, state: isProxy ? 0 : Neighbour.permanent,
            flags: isProxy ? Neighbour.proxy : 0, proto: world.ownership.proto)
        return (link, entry)
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface, in: namespace)
        // No event tells of proxy entries, nor of a neighbour that somebody replaced by the same one without our mark.
        world.declarations.enter(silent: self, key: key)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface, in: namespace)
        world.declarations.leave(silent: key)
    }

    /// The kernel's entry is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let (link, entry) = wanted(in: world), let index = link.position(of: entry) else { return nil }
        link.neighbours[index].claim = Claim(pass: world.pass, claimant: claimant)
        return entry.place(on: link)
    }

    /// Compares the entry with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let (link, entry) = wanted(in: world) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let state = link.namespace
        var operations: [LinuxOperation] = []
        if world.ownership.extent == .namespaces, state.routes[world.neighbourMarkID] == nil {
            operations.append(LinuxOperation(state, request: .addRoute(world.ownership.neighbourMark, replace: false)))
        }
        let add = LinuxOperation(state, request: .addNeighbour(entry, replace: true))
        guard let index = link.position(of: entry) else {
            return Assessment(.create, operations: operations + [add])
        }
        let have = link.neighbours[index].neighbour
        let isPermanent = isProxy || have.state & Neighbour.permanent != 0
        if have.mac == mac, isPermanent, have.proto != entry.proto, !Marks.isOwner(proto: have.proto) {
            // Without our mark nobody would know later that it is ours to take away.
            let difference = Difference(
                "proto", old: Names.routeProtocol(have.proto), new: Names.routeProtocol(entry.proto))
            return Assessment(.update, operations: operations + [add], differences: [difference])
        }
        if have.mac == mac, isPermanent {
            return operations.isEmpty ? .inPlace : Assessment(.update, operations: operations)
        }
        let difference = Difference(
            "lladdr", old: have.mac.map(\.description) ?? "none", new: mac.map(\.description) ?? "none")
        return Assessment(.update, operations: operations + [add], differences: [difference])
    }
}

extension PermanentNeighbour: SilentValue {
    func home(in world: LinuxWorld) -> LinkState? { world.link(named: interface, in: namespace) }

    /// Asks for the one entry: a dump walks through those of all namespaces.
    func lookAgain(in world: LinuxWorld) {
        guard let (link, entry) = wanted(in: world), link.link.index > 0, link.namespace.handle != nil else { return }
        do {
            let socket = try world.routeSocket(link.namespace)
            if let found = try socket.neighbour(entry.destination, on: link.link.index, isProxy: isProxy) {
                NeighbourClass.put(found, in: link.namespace, world)
            } else {
                NeighbourClass.remove(entry, in: link.namespace, world)
            }
        } catch {}
    }
}
