internal import Model
internal import NetworkTypes
public import Reconciler

/// An address that is reserved under a name. Nothing of it is in the kernel.
public struct Allocation: Value {
    /// The word for allocations in plans and status.
    public static let kind = "allocation"
    /// Before everything that refers to it.
    public static let rank = 0

    let network: String
    let interface: String
    let address: IPPrefix
    let gateway: IPPrefix?

    /// Takes a checked allocation.
    init(_ spec: AllocationSpec) {
        network = spec.network
        interface = spec.interface
        address = spec.address
        gateway = spec.gateway
    }

    var id: String { "\(network)/\(interface)" }

    /// None.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `10.0.0.1/24 for veth1 in network net1`
    public var summary: String { "\(address) for \(interface) in network \(network)" }
    /// Others find it by its name.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(self) }

    /// They find it no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(self) }

    /// It is known as soon as it is declared.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> { .inPlace }
}

/// `alloc:NETWORK/INTERFACE[/GW]`, in place of an address.
typealias AllocationReference = Model.AllocationReference

extension AllocationReference {
    var id: String { "\(network)/\(interface)" }
    var key: Key { ModelKey.allocation(network: network, interface: interface) }
}
