internal import Model
internal import Netlink
internal import Reconciler

/// A bridge with its ports.
struct BridgeKind: InterfaceKind {
    static let link: (any LinkKindAttributes.Type)? = BridgeAttributes.self

    static let followsPorts = true

    private let attributes: BridgeAttributes
    let ports: [String]
    /// Of ports for which something is declared, by logical name.
    private let settings: [String: BridgePort]
    /// Of ports for which some are declared, by logical name, and with the empty name of the bridge itself.
    private let declaredVLANs: [String: BridgeVLANs]
    /// Whether any are declared. Without, VLANs are the business of others.
    private let declaresVLANs: Bool

    init(_ bridge: BridgeSpec) {
        declaredVLANs = bridge.portSettings.mapValues { BridgeVLANs($0.vlans) }
            .merging(["": BridgeVLANs(bridge.vlans)]) { first, _ in first }
        declaresVLANs = !bridge.vlans.isEmpty || bridge.portSettings.values.contains { !$0.vlans.isEmpty }
        settings = bridge.portSettings.mapValues(BridgePort.init)
        ports = bridge.ports
        // The kernel counts in 1/100 s.
        attributes = BridgeAttributes(
            stpState: bridge.isSTP ? 1 : 0, vlanFiltering: bridge.isFilteringVLANs,
            ageingTime: bridge.ageingTime * 100, forwardDelay: bridge.forwardDelay * 100)
    }

    var word: String { "bridge" }

    func settings(of port: String) -> BridgePort? { settings[port] ?? .kernelDefault }

    var vlans: [(port: String?, vlans: BridgeVLANs)] {
        if attributes.vlanFiltering != true || !declaresVLANs { return [] }
        return [(nil, declaredVLANs[""] ?? .kernelDefault)] + ports.map { ($0, declaredVLANs[$0] ?? .kernelDefault) }
    }

    func make(_ attributes: LinkAttributes, of interface: Interface, _ plan: inout LinkPlan) {
        // What it has already counts as chosen only when it has had another one.
        var attributes = attributes
        attributes.mtu = interface.mtu == BridgeAttributes.kernelMTU ? BridgeAttributes.kernelMTU - 1 : nil
        plan.create(attributes, Self.request(for: .bridge(self.attributes)))
    }

    /// Only an MTU that is set later counts as chosen; otherwise the bridge follows its ports.
    func finish(_ attributes: inout LinkAttributes, of interface: Interface) { attributes.mtu = interface.mtu }

    func change(from have: LinkKind, _ differences: inout [Difference]) -> LinkKind? {
        guard let have = have[BridgeAttributes.self] else { return nil }
        var change = BridgeAttributes()
        func note(_ name: String, _ old: UInt32?, _ new: UInt32?) -> UInt32? {
            guard let new, old != new else { return nil }
            differences.append(Difference(name, old: old.map(String.init) ?? "unknown", new: "\(new)"))
            return new
        }
        change.stpState = note("stp", have.stpState, attributes.stpState)
        change.ageingTime = note("ageing_time", have.ageingTime, attributes.ageingTime)
        change.forwardDelay = note("forward_delay", have.forwardDelay, attributes.forwardDelay)
        let isFiltering = have.vlanFiltering ?? false
        if let wanted = attributes.vlanFiltering, wanted != isFiltering {
            differences.append(Difference("vlan_filtering", old: "\(isFiltering)", new: "\(wanted)"))
            change.vlanFiltering = wanted
        }
        return change == BridgeAttributes() ? nil : .bridge(change)
    }

    /// Only what differs.
    static func wayBack(from now: LinkKind, to old: LinkKind) -> LinkKind? {
        guard let now = now[BridgeAttributes.self], let old = old[BridgeAttributes.self] else { return nil }
        var change = BridgeAttributes()
        if now.stpState != old.stpState { change.stpState = old.stpState }
        if now.ageingTime != old.ageingTime { change.ageingTime = old.ageingTime }
        if now.forwardDelay != old.forwardDelay { change.forwardDelay = old.forwardDelay }
        let wasFiltering = old.vlanFiltering ?? false
        if now.vlanFiltering ?? false != wasFiltering { change.vlanFiltering = wasFiltering }
        return change == BridgeAttributes() ? nil : .bridge(change)
    }

    /// A kernel without VLAN filtering refuses to switch it off, too.
    static func request(for old: LinkKind) -> LinkKind {
        guard var bridge = old[BridgeAttributes.self] else { return old }
        if bridge.vlanFiltering == false { bridge.vlanFiltering = nil }
        return .bridge(bridge)
    }

    static func export(_ link: LinkState, as message: inout Ligato_Linux_Interfaces_Interface, _ export: inout Export) {
        guard let bridge = link.link.kind[BridgeAttributes.self] else { return }
        message.type = .bridge
        message.bridge.stp = bridge.stpState ?? 0 != 0
        message.bridge.vlanFiltering = bridge.vlanFiltering ?? false
        if let time = bridge.ageingTime, time != 30000 { message.bridge.ageingTime = time / 100 }
        if let delay = bridge.forwardDelay, delay != 1500 { message.bridge.forwardDelay = delay / 100 }
        let ports = link.namespace.uppers(of: link.link.index).filter { $0.link.master == link.link.index }
        message.bridge.ports = ports.map { export.name(of: $0) }
        message.bridge.portSettings = ports.compactMap { port in
            port.link.port.flatMap { settings in
                let vlans = message.bridge.vlanFiltering ? BridgeVLANClass.known(of: port) : .kernelDefault
                return Ligato_Linux_Interfaces_BridgePort(settings, vlans, of: export.name(of: port))
            }
        }
        if message.bridge.vlanFiltering {
            message.bridge.vlans = BridgeVLANClass.known(of: link).messages
            for one in [link] + ports where BridgeVLANClass.known(of: one).ranges.isEmpty {
                export.omit("VLANs of \(one.link.name)", "are none at all, which can't be declared")
            }
        }
        // Any other than that of its ports was chosen.
        if link.link.mtu != ports.map(\.link.mtu).min() ?? BridgeAttributes.kernelMTU { message.mtu = link.link.mtu }
        // Without an address of its own it has that of a port, which is better not written down.
        let isOfPort = ports.isEmpty || ports.contains { $0.link.mac == link.link.mac }
        if !isOfPort { message.physAddress = link.macText }
    }
}
