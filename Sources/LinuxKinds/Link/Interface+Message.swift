internal import Model

extension Interface {
    /// Takes a checked interface.
    init(_ spec: InterfaceSpec, ownership: Ownership) {
        name = spec.name
        anyKind = InterfaceKinds.kind(of: spec)
        let kind = anyKind.base
        let place = NamespaceReference(spec.namespace)
        namespace = place
        hostName = spec.hostName
        enabled = spec.isEnabled
        linkOnly = spec.isLinkOnly
        isExclusive = spec.isExclusive
        mac = spec.isLinkOnly ? nil : spec.mac
        mtu = spec.mtu
        defaultMTU = type(of: spec.link).defaultMTU
        vrf = spec.vrf
        // With link_only the addresses are left to others; on an existing interface we wait for them.
        addresses =
            spec.isLinkOnly && !(kind is ExistingKind)
            ? []
            : spec.addresses.map {
                InterfaceAddress(
                    $0, interface: spec.name, in: place, isExpected: spec.isLinkOnly, vrf: spec.vrf)
            }
        sysctls = spec.sysctls.map { SysctlSetting(interface: spec.name, $0) }
        (receiveOffload, transmitOffload) = (kind.offloads.receive, kind.offloads.transmit)
        alias = ownership.alias(of: name, peer: kind.peer)
        match = (kind as? ExistingKind)?.match
        text = spec.alias
        altNames = spec.altNames.map { AltNameValue(interface: spec.name, name: $0) }
    }
}
