internal import Netlink
public import Reconciler

/// That an interface is a port of a bridge or a member of a VRF.
public struct Membership: Value {
    /// The word for memberships in plans and status.
    public static let kind = "membership"
    /// Before addresses, since a VRF drops the IPv6 addresses of a new member.
    public static let rank = 3

    let member: String
    let master: String
    let isVRF: Bool

    /// Both interfaces.
    public var dependencies: [Dependency<LinuxWorld>] {
        isVRF
            ? [Dependency(label: "vrf-device-is-created", target: .key(InterfaceKeys.key(master)))]
            : [Dependency(label: "port-exists", target: .key(InterfaceKeys.key(member)))]
    }

    /// `veth1 in bridge br0`
    public var summary: String { "\(member) in \(isVRF ? "VRF" : "bridge") \(master)" }

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
        if member.link.master == master.link.index { return .inPlace }
        var attributes = LinkAttributes(index: member.link.index)
        attributes.master = master.link.index
        let old = member.namespace.links[member.link.master]?.link.name ?? "none"
        return Assessment(
            member.link.master == 0 ? .create : .update,
            operations: [LinuxOperation(member.namespace, request: .setLink(attributes))],
            differences: member.link.master == 0 ? [] : [Difference("master", old: old, new: master.link.name)])
    }
}
