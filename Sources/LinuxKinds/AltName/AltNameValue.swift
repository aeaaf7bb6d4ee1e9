internal import Netlink
public import Reconciler

/// An alternative name of an interface.
public struct AltNameValue: Value {
    /// The word for it in plans and status.
    public static let kind = "altname"
    /// With what else belongs to the link alone.
    public static let rank = 2

    /// The logical name.
    let interface: String
    /// The alternative one.
    let name: String

    var key: Key { "linux/interface/\(interface)/altname/\(name)" }

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `altname uplink of eth0`
    public var summary: String { "altname \(name) of \(interface)" }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(key, user: interface) }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(key, user: interface) }

    /// Looks whether the link has it. What has lost it to a link of ours gets it back from there.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        if link.link.altNames.contains(name) { return .inPlace }
        let state = link.namespace
        var operations: [LinuxOperation] = []
        if let holder = state.link(named: name) {
            guard holder.link.altNames.contains(name), AltNameClass.isLeftOver(name, of: holder, world) else {
                return Assessment(.blocked("\(name) is a name of \(holder.link.name)\(state.reference.suffix) already"))
            }
            let request = Request.deleteAltNames([name], linkIndex: holder.link.index)
            operations.append(LinuxOperation(state, request: request))
        }
        operations.append(LinuxOperation(state, request: .addAltNames([name], linkIndex: link.link.index)))
        return Assessment(.update, operations: operations, differences: [Difference("altname", old: "none", new: name)])
    }

    /// Nothing in the kernel tells whose it is: what the agent has added, as it remembers, goes with the value.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let link = world.link(of: interface) else { return nil }
        link.altNameClaims[name] = Claim(pass: world.pass, claimant: claimant)
        return Place(link.namespace, .altName(link.link.index, name))
    }
}
