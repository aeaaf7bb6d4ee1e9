internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// Keys of interfaces and of what is derived from them.
enum InterfaceKeys {
    static let prefix = "config/linux/interfaces/v2/interface/"
    static func key(_ name: String) -> Key { prefix + name }
    static func up(_ name: String) -> Key { "linux/interface/state/\(name)/UP" }
    static func down(_ name: String) -> Key { "linux/interface/state/\(name)/DOWN" }
    static func master(_ name: String, vrf: String) -> Key { "linux/interface/\(name)/vrf/\(vrf)" }
    static func port(_ bridge: String, _ port: String) -> Key { "linux/interface/\(bridge)/port/\(port)" }
}

/// A network interface: one we make, or one we adopt.
public struct Interface: Value {
    /// What it is, with the attributes of that kind. Interfaces below or beside are named by their logical names.
    enum Kind: Hashable, Sendable {
        case veth(peer: String)
        case dummy
        case loopback
        case existing
        case vrf(table: UInt32)
        case tun(TUNAttributes)
        case bridge(BridgeAttributes, ports: [String])
        case vlan(parent: String, VLANAttributes)
        case vxlan(parent: String?, VXLANAttributes)
        case macvlan(parent: String, mode: UInt32)
        case ipvlan(parent: String, mode: UInt16)
    }

    /// The word for interfaces in plans and status.
    public static let kind = "interface"
    /// Before everything that is on an interface.
    public static let rank = 2

    let name: String
    let kind: Kind
    let namespace: NamespaceReference
    let hostName: String
    let enabled: Bool
    let mac: MACAddress?
    /// nil: whatever it is.
    let mtu: UInt32?
    let linkOnly: Bool
    let vrf: String?
    let addresses: [InterfaceAddress]
    let sysctls: [SysctlSetting]
    let receiveOffload: Bool?
    let transmitOffload: Bool?
    /// The mark on the link.
    let alias: String

    var key: Key { InterfaceKeys.key(name) }

    /// What must be there first: the other end of a pair, and what it is built on.
    public var dependencies: [Dependency<LinuxWorld>] {
        switch kind {
        case .veth(let peer): [Dependency(label: "veth-peer-exists", target: .key(InterfaceKeys.key(peer)))]
        case .vlan(let parent, _), .macvlan(let parent, _), .ipvlan(let parent, _):
            [Dependency(label: "parent-interface-exists", target: .key(InterfaceKeys.key(parent)))]
        case .vxlan(let parent?, _):
            [Dependency(label: "parent-interface-exists", target: .key(InterfaceKeys.key(parent)))]
        default: []
        }
    }

    /// Admin state, memberships, addresses, settings and offloads.
    public var derived: [DerivedValue<LinuxWorld>] {
        var values: [DerivedValue<LinuxWorld>] = []
        values.reserveCapacity(addresses.count + 1)
        let state = AdminState(interface: name, isUp: enabled)
        values.append(DerivedValue(key: enabled ? InterfaceKeys.up(name) : InterfaceKeys.down(name), value: state))
        if let vrf {
            let membership = Membership(member: name, master: vrf, isVRF: true)
            values.append(DerivedValue(key: InterfaceKeys.master(name, vrf: vrf), value: membership))
        }
        if case .bridge(_, let ports) = kind {
            for port in ports {
                let membership = Membership(member: port, master: name, isVRF: false)
                values.append(DerivedValue(key: InterfaceKeys.port(name, port), value: membership))
            }
        }
        for address in addresses { values.append(DerivedValue(key: address.key, value: address)) }
        for setting in sysctls { values.append(DerivedValue(key: setting.key, value: setting)) }
        if receiveOffload != nil || transmitOffload != nil {
            let offload = Offload(interface: name, receive: receiveOffload, transmit: transmitOffload)
            values.append(DerivedValue(key: "linux/interface/\(name)/offload", value: offload))
        }
        return values
    }

    /// `veth h0 in host0`
    public var summary: String { "\(kindName) \(hostName)\(namespace.suffix)" }

    var kindName: String {
        switch kind {
        case .veth: "veth"
        case .dummy: "dummy"
        case .loopback: "loopback"
        case .existing: "existing"
        case .vrf: "vrf"
        case .tun(let attributes): attributes.isTUN ? "tun" : "tap"
        case .bridge: "bridge"
        case .vlan: "vlan"
        case .vxlan: "vxlan"
        case .macvlan: "macvlan"
        case .ipvlan: "ipvlan"
        }
    }

    /// Whether the link is someone else's and only configured by us.
    var isAdopted: Bool {
        switch kind {
        case .existing, .loopback: true
        default: false
        }
    }

    /// A namespace that is not there, or an existing interface that is not.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if let reason = world.unmetCondition(namespace) { return [reason] }
        if case .existing = kind, world.link(of: self) == nil {
            return ["host-interface-exists: \(hostName)\(namespace.suffix) is not there"]
        }
        if case .veth(let peer) = kind, let other = world.interfaces[peer],
            let reason = world.unmetCondition(other.namespace)
        {
            return [reason]
        }
        return []
    }

    /// The link is ours.
    public func claim(in world: LinuxWorld) {
        guard let link = world.link(of: self) else { return }
        link.claim = world.pass
    }
}

/// The administrative state of an interface, for values that need it to be up.
public struct AdminState: Value {
    /// The word for it in status.
    public static let kind = "admin state"
    /// With the interface.
    public static let rank = 2

    let interface: String
    let isUp: Bool

    /// None but the interface itself.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// Routes look here for whether their interface is up.
    public var groups: [String] { isUp ? [Self.upGroup(interface)] : [] }

    static func upGroup(_ interface: String) -> String { "up/\(interface)" }
    /// `h0 is up`
    public var summary: String { "\(interface) is \(isUp ? "up" : "down")" }
    /// It comes with the interface, which is compared as a whole.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> { .inPlace }
}
