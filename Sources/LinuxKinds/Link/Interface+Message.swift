internal import Model

extension Interface {
    /// Takes a checked interface.
    init(_ spec: InterfaceSpec, ownership: Ownership) {
        name = spec.name
        anyKind = InterfaceKinds.kind(of: spec.kind)
        let kind = anyKind.base
        namespace = NamespaceReference(spec.namespace)
        hostName = spec.hostName
        enabled = spec.isEnabled
        linkOnly = spec.isLinkOnly
        isExclusive = spec.isExclusive
        mac = spec.isLinkOnly ? nil : spec.mac
        mtu = spec.mtu
        defaultMTU = spec.kind.type.defaultMTU
        vrf = spec.vrf
        // With link_only the addresses are left to others; on an existing interface we wait for them.
        addresses =
            spec.isLinkOnly && !(kind is ExistingKind)
            ? []
            : spec.addresses.map {
                InterfaceAddress($0, interface: spec.name, isExpected: spec.isLinkOnly, vrf: spec.vrf)
            }
        sysctls = spec.sysctls.map { SysctlSetting(interface: spec.name, $0) }
        (receiveOffload, transmitOffload) =
            if case .veth(_, let receive, let transmit) = spec.kind { (receive, transmit) } else { (nil, nil) }
        alias = "\(ownership.aliasPrefix)\(name)\(kind.peer.map { "/\($0)" } ?? "")"
    }
}
