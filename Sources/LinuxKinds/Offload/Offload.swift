public import Reconciler

/// Checksum offloads of an interface, where they differ from the default.
public struct Offload: Value {
    /// The word for offloads in plans and status.
    public static let kind = "offload"
    /// With the settings.
    public static let rank = 2

    let interface: String
    let receive: Bool?
    let transmit: Bool?

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `rx off tx on on veth1`
    public var summary: String {
        let parts = [("rx", receive), ("tx", transmit)].compactMap { name, on in on.map { "\(name) \($0 ? "on" : "off")" } }
        return "checksum offload \(parts.joined(separator: " ")) on \(interface)"
    }

    /// Compares with what the driver says.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.interfaces[interface].flatMap(world.link(of:)) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let action = LinuxOperation.Action.offload(index: link.link.index, receive: receive, transmit: transmit)
        let set = LinuxOperation(namespace: link.namespace.id, action: action)
        guard link.link.index > 0, link.namespace.handle != nil else { return Assessment(.create, operations: [set]) }
        var differences: [Difference] = []
        for (name, wanted, isReceive) in [("rx-checksum", receive, true), ("tx-checksum", transmit, false)] {
            guard let wanted else { continue }
            guard let have = world.offload(of: link.link.name, receive: isReceive, in: link.namespace) else {
                return Assessment(.blocked("the driver of \(link.link.name) has no \(name) offload"))
            }
            if have != wanted { differences.append(Difference(name, old: have ? "on" : "off", new: wanted ? "on" : "off")) }
        }
        return differences.isEmpty ? .inPlace : Assessment(.update, operations: [set], differences: differences)
    }
}
