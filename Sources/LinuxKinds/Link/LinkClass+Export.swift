internal import Model
internal import Netlink
internal import NetworkTypes

/// Links in an export, as the interfaces that would find them in place.
extension LinkClass {
    static func export(_ state: NamespaceState, to export: inout Export) {
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
            if export.ownership.owns(alias: link.link.alias) {
                exportOwn(link, to: &export)
            } else if let loan = link.loan, !export.isEverything {
                exportLent(link, loan, to: &export)
            } else if export.isEverything, link.link.flags & LinkFlags.loopback == 0,
                !LinkKind.fallbackTunnels.contains(link.link.name) || link.link.isUp
            {
                exportForeign(link, isWhole: true, to: &export)
            }
        }
    }

    private static func base(_ link: LinkState, name: String, _ export: Export) -> Ligato_Linux_Interfaces_Interface {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = name
        if let reference = export.reference(to: link.namespace) { message.namespace = reference }
        if link.link.name != name { message.hostIfName = link.link.name }
        message.enabled = link.link.isUp
        return message
    }

    /// Someone else's link; if it is not wanted as a whole, only that it is there.
    static func exportForeign(_ link: LinkState, isWhole: Bool, to export: inout Export) {
        if export.names[ObjectIdentifier(link)] != nil { return }
        let name = export.take(link.link.name)
        export.names[ObjectIdentifier(link)] = name
        var message = base(link, name: name, export)
        message.type = .existing
        if isWhole {
            message.mtu = link.link.mtu
            addAddresses(of: link, to: &message, export) { _ in true }
            // Addresses that come and go by themselves are awaited, not made.
            message.linkOnly = link.addresses.contains { $0.address.flags & Address.permanent == 0 }
        } else {
            message.linkOnly = true
        }
        export.add(message, of: link)
    }

    /// A link that was moved, by its MAC address.
    static func exportLent(_ link: LinkState, _ loan: Loan, to export: inout Export) {
        if export.names[ObjectIdentifier(link)] != nil { return }
        export.names[ObjectIdentifier(link)] = loan.name
        var message = base(link, name: loan.name, export)
        message.type = .existing
        message.hostIfName = link.link.name
        message.match.mac = (link.link.permanentMAC ?? link.link.mac).map(\.description) ?? ""
        let proto = export.ownership.proto
        addAddresses(of: link, to: &message, export) { $0.proto == proto }
        export.add(message, of: link)
    }

    static func exportOwn(_ link: LinkState, to export: inout Export) {
        if export.names[ObjectIdentifier(link)] != nil { return }
        let name = export.ownName(of: link)
        export.names[ObjectIdentifier(link)] = name
        var message = base(link, name: name, export)
        InterfaceKinds.kind(of: link.link.kind).export(link, as: &message, &export)
        message.alias = link.link.alias.flatMap(export.ownership.text) ?? ""
        message.altNames = link.link.altNames
        if link.isRuledByMaster { (message.physAddress, message.mtu) = ("", 0) }
        let isEverything = export.isEverything
        let proto = export.ownership.proto
        addAddresses(of: link, to: &message, export) { isEverything || $0.proto == proto }
        if let master = link.namespace.links[link.link.master], master.link.kind.isVRF,
            export.ownership.owns(alias: master.link.alias)
        {
            message.vrfMasterInterface = export.name(of: master)
        }
        export.add(message, of: link)
    }

    private static func addAddresses(
        of link: LinkState, to message: inout Ligato_Linux_Interfaces_Interface, _ export: Export,
        where isWanted: (Address) -> Bool
    ) {
        for entry in link.addresses where isWanted(entry.address) {
            let address = entry.address
            // Addresses of the link and of the loopback interface that the kernel gives by itself.
            let isKernels = address.local.address.isLinkLocal || address.local.address.isLoopback
            if isKernels, address.proto != export.ownership.proto { continue }
            if address.peer == nil, address.flags & (Address.noDAD | Address.chosen) == 0, address.label == nil {
                message.ipAddresses.append("\(address.local)")
                continue
            }
            var part = Ligato_Linux_Interfaces_InterfaceAddress()
            part.nodad = address.flags & Address.noDAD != 0
            part.label = address.label ?? ""
            part.deprecated = address.flags & Address.deprecated != 0
            part.noprefixroute = address.flags & Address.noPrefixRoute != 0
            if let peer = address.peer {
                part.address = "\(address.local.address)"
                part.peer = "\(peer)/\(address.local.length)"
            } else {
                part.address = "\(address.local)"
            }
            message.addresses.append(part)
        }
    }
}

extension Export {
    /// The name of the link that another one is built on, also in another namespace; empty: none.
    mutating func parent(of link: LinkState) -> String {
        let index = link.link.kind.lower(link.link.link)
        guard index != 0 else { return "" }
        var place: NamespaceState? = link.namespace
        if let number = link.link.linkNamespaceID {
            place = world.namespace(numbered: number, seenFrom: link.namespace)
        }
        return place?.links[index].map { name(of: $0) } ?? ""
    }
}

extension LinkState {
    /// The MAC address as text; empty: none.
    var macText: String { link.mac.map(\.description) ?? "" }
}
