internal import Model
internal import Netlink
internal import NetworkTypes

/// A field of a message that can't be used as it is.
struct InvalidValue: Error {
    let fields: [String]
    let text: String

    init(_ fields: String..., text: String) {
        self.fields = fields
        self.text = text
    }
}

extension Interface {
    /// Reads an interface from its message.
    init(_ message: Ligato_Linux_Interfaces_Interface, ownership: Ownership) throws(InvalidValue) {
        guard !message.name.isEmpty else { throw InvalidValue("name", text: "the interface has no name") }
        name = message.name
        anyKind = try InterfaceKinds.kind(of: message)
        let kind = anyKind.base
        namespace = NamespaceReference(message.namespace, given: message.hasNamespace)
        hostName = kind is LoopbackKind ? "lo" : message.hostIfName.isEmpty ? message.name : message.hostIfName
        if let mistake = InterfaceName.mistake(in: hostName) {
            throw InvalidValue("host_if_name", text: "the host name '\(hostName)' \(mistake)")
        }
        enabled = message.enabled
        linkOnly = message.linkOnly
        if message.physAddress.isEmpty || message.linkOnly {
            mac = nil
        } else {
            guard let address = MACAddress(message.physAddress) else {
                throw InvalidValue("phys_address", text: "'\(message.physAddress)' is not a MAC address")
            }
            mac = address
        }
        mtu = message.mtu == 0 ? kind.defaultMTU : message.mtu
        vrf = message.vrfMasterInterface.isEmpty ? nil : message.vrfMasterInterface
        addresses = try Self.addresses(of: message, isExisting: kind is ExistingKind)
        sysctls = try message.sysctls.sorted { $0.key < $1.key }.map { entry throws(InvalidValue) in
            try SysctlSetting(interface: message.name, name: entry.key, value: entry.value)
        }
        receiveOffload = message.veth.rxChecksumOffloading.setting
        transmitOffload = message.veth.txChecksumOffloading.setting
        alias = "\(ownership.aliasPrefix)\(name)\(kind.peer.map { "/\($0)" } ?? "")"
    }

    private static func addresses(
        of message: Ligato_Linux_Interfaces_Interface, isExisting: Bool
    ) throws(InvalidValue) -> [InterfaceAddress] {
        // With link_only the addresses are left to others; on an existing interface we wait for them.
        if message.linkOnly, !isExisting { return [] }
        var result: [InterfaceAddress] = []
        result.reserveCapacity(message.ipAddresses.count)
        for text in message.ipAddresses {
            result.append(
                try InterfaceAddress(
                    interface: message.name, text: text, peer: nil, noDAD: false,
                    isExpected: message.linkOnly, vrf: message.vrfMasterInterface))
        }
        for address in message.addresses {
            result.append(
                try InterfaceAddress(
                    interface: message.name, text: address.address, peer: address.peer, noDAD: address.nodad,
                    isExpected: message.linkOnly, vrf: message.vrfMasterInterface))
        }
        return result
    }
}

extension Ligato_Linux_Interfaces_VethLink.ChecksumOffloading {
    /// nil: the kernel's default, which is on.
    var setting: Bool? {
        switch self {
        case .chksmOffloadEnabled: true
        case .chksmOffloadDisabled: false
        case .chksmOffloadDefault, .UNRECOGNIZED: nil
        }
    }
}
