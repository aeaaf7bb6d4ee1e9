internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

/// Keys of interfaces and of what is derived from them.
enum InterfaceKeys {
    static let prefix = ModelRegistry.model(.interface).keyPrefix
    static func key(_ name: String) -> Key { ModelKey.interface(name) }
    static func up(_ name: String) -> Key { "linux/interface/state/\(name)/UP" }
    static func down(_ name: String) -> Key { "linux/interface/state/\(name)/DOWN" }
    static func master(_ name: String, vrf: String) -> Key { "linux/interface/\(name)/vrf/\(vrf)" }
    static func port(_ bridge: String, _ port: String) -> Key { "linux/interface/\(bridge)/port/\(port)" }
}

/// A network interface: one we make, or one we adopt.
public struct Interface: Value {
    /// The word for interfaces in plans and status.
    public static let kind = "interface"
    /// Before everything that is on an interface.
    public static let rank = 2

    let name: String
    /// What it is.
    let anyKind: AnyInterfaceKind
    let namespace: NamespaceReference
    let hostName: String
    let enabled: Bool
    let mac: MACAddress?
    /// nil: whatever it is.
    let mtu: UInt32?
    /// What an unset MTU stands for, bytes; nil: whatever it is.
    let defaultMTU: UInt32?
    let linkOnly: Bool
    /// Whether addresses of others are removed.
    let isExclusive: Bool
    let vrf: String?
    let addresses: [InterfaceAddress]
    let sysctls: [SysctlSetting]
    let receiveOffload: Bool?
    let transmitOffload: Bool?
    /// The mark on the link.
    let alias: String
    /// The text for people behind it.
    let text: String?
    /// What an existing one is; nil: it is known by its name.
    let match: LinkMatch?
    /// More names in the kernel.
    let altNames: [AltNameValue]

    var key: Key { InterfaceKeys.key(name) }

    /// Whether an alternative name is declared.
    func hasAltName(_ name: String) -> Bool { altNames.contains { $0.name == name } }

    /// The mark with the text for people.
    var wholeAlias: String { text.map { "\(alias)\t\($0)" } ?? alias }

    var kind: any InterfaceKind { anyKind.base }

    /// What must be there first: the other end of a pair, and what it is built on.
    public var dependencies: [Dependency<LinuxWorld>] {
        var result = namespace.dependencies
        if let peer = kind.peer {
            result.append(Dependency(label: "veth-peer-exists", target: .key(InterfaceKeys.key(peer))))
        }
        if let parent = kind.parent {
            result.append(Dependency(label: "parent-interface-exists", target: .key(InterfaceKeys.key(parent))))
        }
        return result
    }

    /// Admin state, memberships, addresses, settings and offloads.
    public var derived: [DerivedValue<LinuxWorld>] {
        var values: [DerivedValue<LinuxWorld>] = []
        values.reserveCapacity(addresses.count + 1)
        let parent = enabled && type(of: kind).followsParent ? kind.parent : nil
        let state = AdminState(interface: name, isUp: enabled, parent: parent)
        values.append(DerivedValue(key: enabled ? InterfaceKeys.up(name) : InterfaceKeys.down(name), value: state))
        if let vrf {
            let membership = Membership(member: name, master: vrf, word: "VRF", isVRF: true)
            values.append(DerivedValue(key: InterfaceKeys.master(name, vrf: vrf), value: membership))
        }
        for port in kind.ports {
            let membership = Membership(
                member: port, master: name, word: kind.word, isPrimary: port == kind.primary,
                port: kind.settings(of: port))
            values.append(DerivedValue(key: InterfaceKeys.port(name, port), value: membership))
        }
        for (port, vlans) in kind.vlans {
            let value = BridgeVLANValue(bridge: name, port: port, vlans: vlans)
            values.append(DerivedValue(key: value.key, value: value))
        }
        for remote in kind.remotes {
            let entry = ForwardingValue(remote: remote, of: name, in: namespace)
            values.append(DerivedValue(key: ForwardingKeys.remote(name, remote), value: entry))
        }
        values += kind.derived(of: name)
        for address in addresses { values.append(DerivedValue(key: address.key, value: address)) }
        for setting in sysctls { values.append(DerivedValue(key: setting.key, value: setting)) }
        for name in altNames { values.append(DerivedValue(key: name.key, value: name)) }
        if receiveOffload != nil || transmitOffload != nil {
            let offload = Offload(interface: name, receive: receiveOffload, transmit: transmitOffload)
            values.append(DerivedValue(key: "linux/interface/\(name)/offload", value: offload))
        }
        return values
    }

    /// `veth h0 in host0`
    public var summary: String { "\(kind.word) \(hostName.isEmpty ? name : hostName)\(namespace.suffix)" }

    /// Whether the link is someone else's and only configured by us.
    var isAdopted: Bool { kind.isAdopted }

    /// Others find it by its name, its alias and its place.
    public func declare(in world: LinuxWorld, key: Key) { world.declarations.enter(self, key: key) }

    /// They find it no more.
    public func withdraw(in world: LinuxWorld, key: Key) { world.declarations.leave(self, key: key) }

    /// A namespace that is not there, or an existing interface that is not.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if let reason = world.unmetCondition(namespace) { return [reason] }
        if let match {
            if case .nowhere(let reason) = world.sight(of: self, match) { return [reason] }
        } else if kind is ExistingKind, world.link(of: self) == nil {
            return ["host-interface-exists: \(hostName)\(namespace.suffix) is not there"]
        }
        if let other = kind.peer.flatMap({ world.declarations.interfaces[$0] }),
            let reason = world.unmetCondition(other.value.namespace)
        {
            return [reason]
        }
        return []
    }

    /// The link is ours. What is made and not marked yet is found by its name.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let state = world.byReference[namespace] else { return nil }
        let link = world.link(of: self)
        if let link, kind is ExistingKind {
            if holder(of: link, in: world) != nil { return nil }
            link.holder = name
            if let loan = link.loan, loan.name != name {
                var mine = loan
                mine.name = name
                world.states.loans.rename(loan, to: name)
                link.namespace.lend(link, as: mine, world.ownership)
            }
        }
        link?.claim = Claim(pass: world.pass, claimant: claimant)
        if match != nil {
            let mark = world.ownership.lentPrefix + name
            link?.matchedAs = mark
            return Place(state, .link(.init(alias: mark, name: "")))
        }
        return Place(state, .link(.init(alias: isAdopted ? "" : alias, name: hostName)))
    }
}

extension Interface {
    /// The logical name of another interface of type EXISTING that has a link already, by its name or by what it is; nil: none has.
    func holder(of link: LinkState, in world: LinuxWorld) -> String? {
        guard let other = link.holder, other != name, let interface = world.declarations.interfaces[other]?.value,
            interface.kind is ExistingKind, world.link(of: interface) === link
        else { return nil }
        return other
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
    /// The logical name of the interface without which it can't be up.
    let parent: String?

    /// None but the interface itself, and what must be up for it to be.
    public var dependencies: [Dependency<LinuxWorld>] {
        parent.map { [Dependency(label: "parent-interface-exists", target: .key(InterfaceKeys.key($0)))] } ?? []
    }

    /// That the interface below stays down.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        guard let parent, let reason = world.reasonWhyDown(parent) else { return [] }
        return ["parent-is-up: \(reason)"]
    }

    /// Reports about the interface below concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        if let parent { world.declarations.enter(key, user: parent) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        if let parent { world.declarations.leave(key, user: parent) }
    }

    /// Routes look here for whether their interface is up.
    public var groups: [String] { isUp ? [Self.upGroup(interface)] : [] }

    static func upGroup(_ interface: String) -> String { "up/\(interface)" }
    /// `h0 is up`
    public var summary: String { "\(interface) is \(isUp ? "up" : "down")" }
    /// It comes with the interface, which is compared as a whole.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> { .inPlace }
}

extension LinuxWorld {
    /// Why an interface will not be up; nil: it is, or will be.
    fileprivate func reasonWhyDown(_ name: String, depth: Int = 8) -> String? {
        guard depth > 0, let interface = declarations.interfaces[name]?.value else { return nil }
        if !interface.enabled {
            if !interface.isAdopted { return "\(name) is not enabled" }
            // What others made is up or not, as they like.
            return link(of: interface)?.link.isUp == false ? "\(name) is down" : nil
        }
        guard type(of: interface.kind).followsParent, let parent = interface.kind.parent else { return nil }
        return reasonWhyDown(parent, depth: depth - 1)
    }
}
