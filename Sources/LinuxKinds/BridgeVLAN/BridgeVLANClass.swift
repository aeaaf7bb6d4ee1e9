internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// VLANs of bridges and their ports. They are part of the links they are on: nothing of them is left over without these.
enum BridgeVLANClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        // Bridges that don't look at VLANs keep them as well.
        guard dump.links.contains(where: { $0.kind.isOf(BridgeAttributes.self) }) else { return }
        for case .port(let index, _, let vlans?) in try socket.dump(.bridges) { dump.vlans[index] = vlans }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for (index, vlans) in dump.vlans { state.links[index]?.vlans = vlans }
    }

    // MARK: - Changes

    /// A bridge or a port has these VLANs.
    static func put(_ vlans: BridgeVLANs, of index: Int32, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[index], link.link.port != nil || link.link.kind.isOf(BridgeAttributes.self),
            link.vlans != vlans
        else { return }
        world.journals.remember(link: index, in: state, isItself: false)
        link.vlans = vlans
        world.concern(link.link.name, in: state)
    }

    /// A link becomes a port of a bridge, or of none.
    static func startAnew(_ link: LinkState, in master: Int32) {
        let isPort = link.namespace.links[master]?.link.kind.isOf(BridgeAttributes.self) == true
        link.vlans = isPort ? .kernelDefault : nil
    }

    /// What a bridge or a port has. Nobody tells it of one that is new.
    static func known(of link: LinkState) -> BridgeVLANs { link.vlans ?? .kernelDefault }

    /// What leads from the VLANs that are there to others.
    static func operations(for wanted: BridgeVLANs, on link: LinkState, isPort: Bool) -> [LinuxOperation] {
        let (gone, set) = wanted.change(from: known(of: link))
        let index = link.link.index
        var operations: [LinuxOperation] = []
        if !gone.ranges.isEmpty {
            let request = Request.deleteVLANs(gone, linkIndex: index, isPort: isPort)
            operations.append(LinuxOperation(link.namespace, request: request))
        }
        if !set.ranges.isEmpty {
            let request = Request.addVLANs(set, linkIndex: index, isPort: isPort)
            operations.append(LinuxOperation(link.namespace, request: request))
        }
        return operations
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        // They go with their links.
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        // They go with their links.
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .finish { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let vlans = old?.vlans, let link = state.links[restoration.current(index, in: state)],
                    areTold(of: link)
                else { continue }
                for operation in operations(for: vlans, on: link, isPort: link.link.port != nil) {
                    restoration.add(operation.action, in: state.id)
                }
            }
        }
    }

    /// Whether the bridge tells VLANs apart. Otherwise nobody looks at them, and the kernel may have none.
    private static func areTold(of link: LinkState) -> Bool {
        let bridge = link.link.kind.isOf(BridgeAttributes.self) ? link : link.namespace.links[link.link.master]
        return bridge?.link.kind[BridgeAttributes.self]?.vlanFiltering == true
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        // They are part of the bridge.
    }
}
