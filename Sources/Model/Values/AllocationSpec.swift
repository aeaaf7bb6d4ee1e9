public import NetworkTypes

/// An address, or the reference to an allocated one.
public enum AddressSource: Hashable, Sendable {
    /// The address itself; a single one has the length of its family.
    case literal(IPPrefix)
    /// What was allocated under a name.
    case allocated(AllocationReference)
}

/// `alloc:NETWORK/INTERFACE[/GW]`, in place of an address.
public struct AllocationReference: Hashable, Sendable {
    /// The name of the network.
    public let network: String
    /// The logical name of the interface the address was reserved for.
    public let interface: String
    /// Whether its gateway is meant instead of the address.
    public let isGateway: Bool
}

/// An address that is reserved under a name.
public struct AllocationSpec: Hashable, Sendable {
    /// The name of the network.
    public let network: String
    /// The logical name of the interface.
    public let interface: String
    /// The address.
    public let address: IPPrefix
    /// The gateway. One without a prefix length has that of the address, if it lies in that network.
    public let gateway: IPPrefix?

    init?(_ message: Ligato_Netalloc_IPAllocation, _ findings: inout FieldFindings) {
        network = message.networkName
        interface = message.interfaceName
        findings.check(name: network, "network_name")
        if network.utf8.contains(UInt8(ascii: "/")) {
            findings.mistake(["network_name"], value: network, "holds a '/'")
        }
        findings.check(name: interface, "interface_name", what: "the name of an interface")
        let gateway = findings.prefix(message.gw, ["gw"])
        if message.address.isEmpty { findings.mistake(["address"], "is missing") }
        guard let address = findings.prefix(message.address, ["address"]) else { return nil }
        self.address = address
        guard let gateway else {
            self.gateway = nil
            return
        }
        if gateway.family != address.family {
            findings.mistake(
                ["gw"], value: message.gw, "is \(gateway.family.word), but address is \(address.family.word)")
        }
        let inherits = !message.gw.utf8.contains(UInt8(ascii: "/")) && address.contains(gateway.address)
        self.gateway = inherits ? IPPrefix(gateway.address, length: address.length) : gateway
    }
}

extension FieldFindings {
    /// Whether a reference to an allocation may mean its gateway.
    enum GatewayUse { case refused, allowed, required }

    /// Reads `alloc:NETWORK[/INTERFACE][/GW]`. `owner` is the interface that is meant when none is named, empty without
    /// one, nil when it is not known yet.
    mutating func reference(
        _ text: String, _ path: @autoclosure () -> [PathPart], owner: String?, gateway: GatewayUse
    ) -> AllocationReference? {
        var parts = text.dropFirst("alloc:".count).split(separator: "/", omittingEmptySubsequences: false)
        let isGateway = parts.count > 1 && parts.last == "GW"
        if isGateway { parts.removeLast() }
        guard parts.count <= 2, parts.allSatisfy({ !$0.isEmpty }), let network = parts.first else {
            malformed(path(), value: text, "is not a reference of the form alloc:NETWORK[/INTERFACE][/GW]")
            return nil
        }
        if parts.count == 1, let owner, owner.isEmpty {
            mistake(path(), value: text, "names no interface, and none is implied")
        }
        switch gateway {
        case .required: if !isGateway { mistake(path(), value: text, "must end in /GW here") }
        case .refused:
            if isGateway { mistake(path(), value: text, "can't be a gateway (/GW) here") }
            if parts.count == 2, let owner, !owner.isEmpty, parts[1] != owner {
                mistake(
                    path(), value: text, "refers to an allocation of another interface than \(owner.inQuotes)")
            }
        case .allowed: break
        }
        return AllocationReference(
            network: String(network), interface: parts.count == 2 ? String(parts[1]) : owner ?? "", isGateway: isGateway
        )
    }
}
