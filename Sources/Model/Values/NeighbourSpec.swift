public import NetworkTypes

/// A permanent neighbour (ARP or Neighbor Discovery), or a proxy entry.
public struct NeighbourSpec: Hashable, Sendable {
    /// The logical name of the interface, or the name of one that is not declared.
    public let interface: String
    /// Where it is, if the interface is not declared.
    public let namespace: NetNamespace
    /// Its address.
    public let address: AddressSource
    /// Its MAC address; nil: the agent's host answers for it.
    public let mac: MACAddress?

    /// Whether the agent's host answers for it.
    public var isProxy: Bool { mac == nil }

    init?(_ message: Ligato_Linux_L3_ARPEntry, _ findings: inout FieldFindings) {
        interface = message.interface
        findings.check(name: interface, "interface", what: "the name of an interface")
        namespace = findings.namespace(message.hasNamespace ? message.namespace : nil)
        let address = findings.neighbour(message.ipAddress, on: interface)
        if message.proxy {
            if !message.hwAddress.isEmpty {
                findings.mistake(
                    ["hw_address"], value: message.hwAddress,
                    "does not belong to a proxy entry: the agent's host answers")
            }
            mac = nil
        } else {
            if message.hwAddress.isEmpty { findings.mistake(["hw_address"], "is missing") }
            mac = findings.mac(message.hwAddress, "hw_address")
        }
        guard let address else { return nil }
        self.address = address
    }
}

extension FieldFindings {
    fileprivate mutating func neighbour(_ text: String, on interface: String) -> AddressSource? {
        let path: [PathPart] = ["ip_address"]
        if text.isEmpty {
            mistake(path, "is missing")
            return nil
        }
        if text.isReference {
            return reference(text, path, owner: interface, gateway: .allowed).map { .allocated($0) }
        }
        guard let address = address(text, path) else { return nil }
        if address.isMulticast || address.isUnspecified {
            mistake(path, value: text, "can't be the address of a neighbour")
        }
        return .literal(IPPrefix(host: address))
    }
}
