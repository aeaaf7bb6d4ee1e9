internal import Netlink
public import Reconciler

/// The VLANs of a bridge that tells VLANs apart, or of one of its ports.
public struct BridgeVLANValue: Value {
    /// The word for it in plans and status.
    public static let kind = "VLANs"
    /// After memberships, and before forwarding entries, which are for VLANs that are there.
    public static let rank = 4

    let bridge: String
    /// nil: the bridge itself.
    let port: String?
    let vlans: BridgeVLANs

    var key: Key {
        port.map { "\(InterfaceKeys.port(bridge, $0))/vlans" } ?? "linux/interface/\(bridge)/vlans"
    }

    /// That the port is one.
    public var dependencies: [Dependency<LinuxWorld>] {
        port.map { [Dependency(label: "port-of-bridge: \($0)", target: .key(InterfaceKeys.port(bridge, $0)))] } ?? []
    }

    private var interface: String { port ?? bridge }

    /// `VLANs 1 PVID untagged, 10-19 of p in br0`
    public var summary: String { "VLANs \(vlans.text) of \(port.map { "\($0) in " } ?? "")\(bridge)" }

    /// Reports about the link concern it.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(key, user: interface) }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(key, user: interface) }

    /// Compares them with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface), let master = world.link(of: bridge) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        if port != nil, link.link.master != master.link.index {
            return Assessment(.waiting(["port-of-bridge: \(interface) is not a port of \(bridge)"]))
        }
        let operations = BridgeVLANClass.operations(for: vlans, on: link, isPort: port != nil)
        if operations.isEmpty { return .inPlace }
        let difference = Difference("vlans", old: BridgeVLANClass.known(of: link).text, new: vlans.text)
        return Assessment(.update, operations: operations, differences: [difference])
    }
}
