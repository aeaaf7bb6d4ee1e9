internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum ForwardingKeys {
    static let prefix = ModelRegistry.model(.forwarding).keyPrefix
    static func remote(_ interface: String, _ remote: IPAddress) -> Key {
        "linux/interface/\(interface)/remote/\(remote)"
    }
}

/// A forwarding entry of a bridge or of a VXLAN.
public struct ForwardingValue: Value {
    /// The word for it in plans and status.
    public static let kind = "forwarding entry"
    /// After memberships: a bridge has entries of its ports only.
    public static let rank = 7

    let interface: String
    let namespace: NamespaceReference
    let mac: MACAddress
    let vlan: UInt16
    let destination: IPAddress?
    let port: UInt16?
    let vni: UInt32?

    /// Takes a checked entry.
    init(_ spec: ForwardingSpec) {
        interface = spec.interface
        namespace = NamespaceReference(spec.namespace)
        (mac, vlan) = (spec.mac, spec.vlan ?? 0)
        (destination, port, vni) = (spec.destination, spec.port, spec.vni)
    }

    /// One of several other ends to which a VXLAN sends what it knows no other way for.
    init(remote: IPAddress, of interface: String, in namespace: NamespaceReference) {
        self.interface = interface
        self.namespace = namespace
        (mac, vlan, destination, port, vni) = (MACAddress(bits: 0), 0, remote, nil, nil)
    }

    /// The interface, if it is ours to make; and that it is a port, for an entry of the bridge.
    public var dependencies: [Dependency<LinuxWorld>] {
        let key = InterfaceKeys.key(interface)
        let exists = Dependency<LinuxWorld>(label: "interface-exists", target: .keyIfDeclared(key))
        if destination != nil { return [exists] }
        let isPort = Dependency<LinuxWorld>(
            label: "port-of-bridge: \(interface)",
            target: .anyOf(group: Membership.portGroup(interface), unlessUndeclared: key, matches: { _ in true }))
        return [exists, isPort]
    }

    /// What somebody else made a port of a bridge is one, too.
    public func isGiven(_ dependency: Dependency<LinuxWorld>, in world: LinuxWorld) -> Bool {
        destination == nil && world.link(named: interface, in: namespace)?.link.port != nil
    }

    /// `02:… by vx0 dst 192.0.2.2`
    public var summary: String {
        var text = "\(mac) by \(interface)"
        if vlan != 0 { text += " vlan \(vlan)" }
        if let destination { text += " dst \(destination)" }
        return text
    }

    /// An interface that is not ours and is not there.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if world.declarations.interfaces[interface] != nil { return [] }
        if let reason = world.unmetCondition(namespace) { return [reason] }
        if world.link(named: interface, in: namespace) != nil { return [] }
        return ["interface-exists: \(interface)\(namespace.suffix) is not there and not declared"]
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface, in: namespace)
        if destination == nil { world.declarations.enter(key, forwarding: mac) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface, in: namespace)
        if destination == nil { world.declarations.leave(key, forwarding: mac) }
    }

    private func wanted(in world: LinuxWorld) -> (LinkState, ForwardingEntry)? {
        guard let link = world.link(named: interface, in: namespace) else { return nil }
        var entry = ForwardingEntry(
            linkIndex: link.link.index, mac: mac, isOfBridge: destination == nil, vlan: vlan, destination: destination,
            flags: ForwardingClass.mark)
        // The kernel does not tell what is that of the VXLAN.
        let vxlan = link.link.kind[VXLANAttributes.self]
        entry.port = port == vxlan?.port ? nil : port
        entry.vni = vni == vxlan?.vni ? nil : vni
        return (link, entry)
    }

    /// The kernel's entry is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let (link, entry) = wanted(in: world) else { return nil }
        let place = ForwardingPlace(entry)
        guard link.forwarding[place] != nil else { return nil }
        link.forwarding[place]?.claim = Claim(pass: world.pass, claimant: claimant)
        return Place(link.namespace, .forwarding(link.link.index, place))
    }

    /// Compares the entry with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let (link, entry) = wanted(in: world) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        if destination == nil, link.namespace.links[link.link.master]?.link.kind.isOf(BridgeAttributes.self) != true {
            return Assessment(.waiting(["port-of-bridge: \(interface) is not a port of a bridge"]))
        }
        if destination != nil, !link.link.kind.isOf(VXLANAttributes.self) {
            return Assessment(.blocked("\(interface) is not a VXLAN, and only these have entries with dst"))
        }
        if mac.isZero, destination != nil, link.link.kind[VXLANAttributes.self]?.remote != nil {
            return Assessment(.blocked("\(interface) has a remote of its own; name all of them in its 'remotes'"))
        }
        let place = ForwardingPlace(entry)
        if let other = link.otherPorts.first(where: { port in
            destination == nil && port.forwarding[place].map { world.isClaimed($0.claim) } ?? false
        }) {
            return Assessment(.waiting(["place-in-bridge: the entry for \(mac) by \(other.link.name) has it"]))
        }
        let add = LinuxOperation(link.namespace, request: .addForwarding(entry))
        if let have = link.forwarding[place]?.entry, ForwardingClass.isMarked(have) {
            if have.isEquivalent(to: entry) { return .inPlace }
            let difference = Difference("dst", old: have.end, new: entry.end)
            return Assessment(.update, operations: [add], differences: [difference])
        }
        guard let other = ForwardingClass.stranger(at: entry, of: link, world),
            let have = other.forwarding[place]?.entry
        else { return Assessment(.create, operations: [add]) }
        return Assessment(.update, operations: [add], differences: takingOver(have, by: other, as: entry, on: link))
    }

    /// What becomes of an entry of somebody else.
    private func takingOver(
        _ have: ForwardingEntry, by other: LinkState, as entry: ForwardingEntry, on link: LinkState
    ) -> [Difference] {
        var differences = [Difference("mark", old: "none (somebody else's)", new: "sticky")]
        if other !== link { differences.append(Difference("dev", old: other.link.name, new: link.link.name)) }
        if !have.isEquivalent(to: entry) { differences.append(Difference("dst", old: have.end, new: entry.end)) }
        return differences
    }
}

extension ForwardingEntry {
    /// Whether frames take the same way.
    fileprivate func isEquivalent(to other: ForwardingEntry) -> Bool {
        destination == other.destination && port == other.port && vni == other.vni
    }

    /// The other end, for people.
    var end: String {
        (destination.map { "\($0)" } ?? "none") + (port.map { " port \($0)" } ?? "") + (vni.map { " vni \($0)" } ?? "")
    }
}

/// What tells two forwarding entries of a link apart.
struct ForwardingPlace: Hashable, Sendable {
    let mac: MACAddress
    let vlan: UInt16
    let isOfBridge: Bool
    /// Of entries of which there may be several.
    let destination: IPAddress?
    let port: UInt16?
    let vni: UInt32?

    init(_ entry: ForwardingEntry) {
        (mac, vlan, isOfBridge) = (entry.mac, entry.vlan, entry.isOfBridge)
        let isOne = entry.isOneOfSeveral
        destination = isOne ? entry.destination : nil
        port = isOne ? entry.port : nil
        vni = isOne ? entry.vni : nil
    }
}

/// A forwarding entry with its claim.
struct ForwardingState {
    var entry: ForwardingEntry
    var claim = Claim()
}
