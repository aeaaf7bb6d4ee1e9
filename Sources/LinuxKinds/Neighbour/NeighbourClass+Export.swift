internal import Model
internal import Netlink
internal import NetworkTypes

/// Neighbours in an export.
extension NeighbourClass {
    static func export(_ state: NamespaceState, to export: inout Export) {
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) { self.export(link, to: &export) }
    }

    private static func export(_ link: LinkState, to export: inout Export) {
        for entry in link.neighbours where entry.neighbour.proto == export.ownership.proto {
            var message = Ligato_Linux_L3_ARPEntry()
            message.interface = export.name(of: link)
            message.ipAddress = "\(entry.neighbour.destination)"
            message.proxy = entry.neighbour.flags & Neighbour.proxy != 0
            if !message.proxy { message.hwAddress = entry.neighbour.mac.map(\.description) ?? "" }
            export.others.append(.arp(message))
        }
    }
}
