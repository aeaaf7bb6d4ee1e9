internal import NetworkTypes
public import Reconciler

/// What a route of link scope makes reachable: a property other routes look for.
public struct LinkRoute: Value {
    /// The word for it in status.
    public static let kind = "link route"
    /// With the route.
    public static let rank = 5

    let interface: String
    let destination: IPPrefix

    /// None but the route.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// Routes look here for what makes their gateway reachable.
    public var groups: [String] { [InterfaceAddress.reachGroup(interface)] }
    /// `10.0.0.1/32 on the link of veth1`
    public var summary: String { "\(destination) on the link of \(interface)" }
    /// It comes with the route.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> { .inPlace }
}
