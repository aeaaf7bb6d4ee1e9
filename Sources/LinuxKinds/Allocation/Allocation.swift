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

    init(_ message: Ligato_Netalloc_IPAllocation) throws(InvalidValue) {
        network = message.networkName
        interface = message.interfaceName
        guard let address = IPPrefix(message.address) else {
            throw InvalidValue("address", text: "'\(message.address)' is not an IP address")
        }
        self.address = address
        if message.gw.isEmpty {
            gateway = nil
            return
        }
        guard let gateway = IPPrefix(message.gw) else {
            throw InvalidValue("gw", text: "'\(message.gw)' is not an IP address")
        }
        // A gateway without a prefix length has that of the address, if it lies in that network.
        let inherits = !message.gw.contains("/") && address.contains(gateway.address)
        self.gateway = inherits ? IPPrefix(gateway.address, length: address.length) : gateway
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

/// `alloc:NETWORK[/INTERFACE][/GW]`, in place of an address.
struct AllocationReference: Hashable, Sendable {
    let network: String
    let interface: String
    let isGateway: Bool

    /// nil when the text is no reference.
    init?(_ text: String, interface implied: String?) throws(InvalidValue) {
        guard text.hasPrefix("alloc:") else { return nil }
        var parts = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        isGateway = parts.count > 1 && parts.last == "GW"
        if isGateway { parts.removeLast() }
        guard let network = parts.first, !network.isEmpty else {
            throw InvalidValue("address", text: "'\(text)' names no network: write alloc:NETWORK/INTERFACE")
        }
        self.network = network
        let interface = parts.count > 1 ? parts[1...].joined(separator: "/") : implied
        guard let interface, !interface.isEmpty else {
            throw InvalidValue("address", text: "'\(text)' names no interface: write alloc:\(network)/INTERFACE")
        }
        if let implied, implied != interface {
            throw InvalidValue("address", text: "'\(text)' refers to \(interface), but belongs to \(implied)")
        }
        self.interface = interface
    }

    var id: String { "\(network)/\(interface)" }
    var key: Key { "config/netalloc/v1/ip/network/\(network)/interface/\(interface)" }
}
