internal import Netlink
public import Reconciler

/// That an interface is a port of a bridge or bond, or a member of a VRF.
public struct Membership: Value {
    /// The word for memberships in plans and status.
    public static let kind = "membership"
    /// Before addresses, since a VRF drops the IPv6 addresses of a new member.
    public static let rank = 3

    let member: String
    let master: String
    /// What the master is.
    let word: String
    var isVRF = false
    /// Whether the master prefers it to other ports.
    var isPrimary = false
    /// What a bridge is to keep for it; nil: the master is none.
    var port: BridgePort?

    /// Both interfaces.
    public var dependencies: [Dependency<LinuxWorld>] {
        isVRF
            ? [Dependency(label: "vrf-device-is-created", target: .key(InterfaceKeys.key(master)))]
            : [Dependency(label: "port-exists", target: .key(InterfaceKeys.key(member)))]
    }

    /// Forwarding entries of a bridge look here for their port.
    public var groups: [String] { port == nil ? [] : [Self.portGroup(member)] }

    static func portGroup(_ interface: String) -> String { "port/\(interface)" }

    /// `veth1 in bridge br0`
    public var summary: String { "\(member) in \(word) \(master)" }

    private func links(in world: LinuxWorld) -> (member: LinkState, master: LinkState)? {
        guard let member = world.link(of: member), let master = world.link(of: master) else { return nil }
        return (member, master)
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(key, user: member) }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(key, user: member) }

    /// The membership is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let (member, master) = links(in: world), member.link.master == master.link.index else { return nil }
        member.masterClaim = Claim(pass: world.pass, claimant: claimant)
        return Place(member.namespace, .master(member.link.index))
    }

    /// Compares the membership with the member's master.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let (member, master) = links(in: world) else {
            return Assessment(.waiting(["links of \(self.member) and \(self.master) are not there"]))
        }
        guard member.namespace === master.namespace else {
            return Assessment(.blocked("\(self.member) and \(self.master) are in different namespaces"))
        }
        var (operations, differences): ([LinuxOperation], [Difference]) = ([], [])
        if member.link.master != master.link.index {
            // What gets all that the member receives can't stay.
            let receivers = master.link.kind.isVRF ? [] : world.receivers(on: member)
            operations += receivers.map { LinuxOperation($0.namespace, .deleteLinks([$0.link.index])) }
            operations += member.operations(toJoin: master, up: isWantedUp(member, in: world))
            if let mtu = world.mtu(of: master, besidePortWith: member.link.mtu) { operations.append(mtu) }
            if let old = member.namespace.links[member.link.master]?.link.name {
                differences.append(Difference("master", old: old, new: master.link.name))
            }
        }
        let kind = InterfaceKinds.kind(of: master.link.kind)
        if isPrimary, kind.preferred(in: master.link.kind) != member.link.index {
            var attributes = LinkAttributes(index: master.link.index)
            attributes.kind = kind.preferring(member.link.index)
            operations.append(LinuxOperation(master.namespace, request: .setLink(attributes)))
            if member.link.master == master.link.index {
                differences.append(Difference("primary", old: "no", new: "yes"))
            }
        }
        assessPort(member, isJoined: member.link.master == master.link.index, &operations, &differences)
        if operations.isEmpty { return .inPlace }
        return Assessment(
            member.link.master == 0 ? .create : .update, operations: operations, differences: differences)
    }

    /// Compares what the bridge keeps for the port.
    private func assessPort(
        _ member: LinkState, isJoined: Bool, _ operations: inout [LinuxOperation], _ differences: inout [Difference]
    ) {
        guard let port else { return }
        let have = (isJoined ? member.link.port : nil) ?? .kernelDefault
        guard let change = port.change(from: have) else { return }
        var attributes = LinkAttributes(index: member.link.index)
        attributes.port = change
        operations.append(LinuxOperation(member.namespace, request: .setLink(attributes)))
        if !isJoined { return }
        let old = Dictionary(have.words) { first, _ in first }
        for (name, new) in change.words { differences.append(Difference(name, old: old[name] ?? "unknown", new: new)) }
    }

    /// Whether the member is to be up; nil: that is for others to say.
    private func isWantedUp(_ link: LinkState, in world: LinuxWorld) -> Bool? {
        guard let interface = world.declarations.interfaces[member]?.value else { return nil }
        if interface.enabled { return true }
        return interface.isAdopted ? nil : false
    }
}

extension LinuxWorld {
    /// What keeps the declared MTU of an interface that would follow its ports otherwise, for a port that comes with
    /// another one; nil: nothing is needed.
    ///
    /// The kernel doesn't tell whether an MTU was set. If it was, this changes nothing.
    func mtu(of master: LinkState, besidePortWith other: UInt32) -> LinuxOperation? {
        guard let alias = master.link.alias, let interface = declarations.interface(alias: alias),
            type(of: interface.kind).followsPorts, let mtu = interface.mtu, mtu != other
        else { return nil }
        var attributes = LinkAttributes(index: master.link.index)
        attributes.mtu = mtu
        return LinuxOperation(master.namespace, request: .setLink(attributes))
    }
}

extension LinuxWorld {
    /// Sets the declared MTU of bridges that had it from their ports until now, and lost it with them.
    func keepChosenMTUs(after operations: [LinuxOperation]) {
        if declarations.chosenMTUs.isEmpty { return }
        let namespaces = operations.namespacesOfLinks
        if namespaces.isEmpty { return }
        for name in declarations.chosenMTUs {
            guard let mtu = declarations.interfaces[name]?.value.mtu, let link = link(of: name), link.link.mtu == mtu,
                namespaces.contains(link.namespace.id), let socket = try? routeSocket(link.namespace),
                let now = try? socket.link(name: link.link.name), now.alias == link.link.alias, now.mtu != mtu
            else { continue }
            var attributes = LinkAttributes(index: now.index)
            attributes.mtu = mtu
            modifyingRequests += 1
            // What is refused is found by the next comparison.
            try? socket.perform(.setLink(attributes))
        }
    }
}

extension LinkState {
    /// Whether it is a port of a bond, which has the bond's MAC address and MTU.
    var isRuledByMaster: Bool { link.master != 0 && namespace.links[link.master]?.link.kind.rulesPorts == true }

    /// What makes it a port or member; with nil, one of nothing.
    ///
    /// A bond takes no port that is up. It takes ports up when they come, and down when they go.
    ///
    /// - Parameter up: whether it is to be up afterwards; nil: as the kernel leaves it.
    func operations(toJoin master: LinkState?, up: Bool?) -> [LinuxOperation] {
        var result: [LinuxOperation] = []
        func set(_ change: (inout LinkAttributes) -> Void) {
            var attributes = LinkAttributes(index: link.index)
            change(&attributes)
            result.append(LinuxOperation(namespace, request: .setLink(attributes)))
        }
        let isRuled = master?.link.kind.rulesPorts ?? false
        var isUp = link.isUp
        if isRuled, isUp, !isRuledByMaster { set { $0.up = false } }
        set { $0.master = master?.link.index ?? 0 }
        if isRuled || isRuledByMaster { isUp = isRuled }
        if let up, up != isUp { set { $0.up = up } }
        return result
    }
}
