internal import Model
public import Reconciler

/// A setting of an interface below /proc/sys/net.
public struct SysctlSetting: Value {
    /// The word for settings in plans and status.
    public static let kind = "sysctl"
    /// Before memberships and addresses.
    public static let rank = 2

    let interface: String
    private let setting: InterfaceSysctl
    let value: String

    /// Takes a checked setting.
    init(interface: String, _ spec: InterfaceSpec.Sysctl) {
        self.interface = interface
        setting = spec.setting
        value = spec.value
    }

    private var name: String { "\(setting.family).\(setting.name)" }

    /// Whether the kernel tells of changes (`RTM_NEWNETCONF`). It does for few.
    private var hasEvents: Bool {
        switch name {
        case "ipv4.forwarding", "ipv4.rp_filter", "ipv4.proxy_arp", "ipv4.bc_forwarding",
            "ipv4.ignore_routes_with_linkdown", "ipv6.forwarding", "ipv6.proxy_ndp",
            "ipv6.ignore_routes_with_linkdown":
            true
        default: false
        }
    }

    /// Whether the kernel changes it by itself, see ``LinuxWorld/keep(_:after:_:)``.
    private var isMTUv6: Bool { name == "ipv6.mtu" }

    /// The file, where the link has this name.
    func path(link: String) -> String { setting.path(interface: link) }

    var key: Key { "linux/interface/\(interface)/sysctl/\(name)" }

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `ipv4.forwarding = 1 on veth1`
    public var summary: String { "\(name) = \(value) on \(interface)" }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface)
        if !hasEvents { world.declarations.enter(silent: self, key: key) }
        if isMTUv6 { world.declarations.enter(mtuV6: self, key: key) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface)
        if !hasEvents { world.declarations.leave(silent: key) }
        if isMTUv6 { world.declarations.leave(mtuV6: key) }
    }

    /// Compares with the file.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let path = path(link: link.link.name)
        let write = LinuxOperation(link.namespace, .sysctl(path: path, value: value))
        // A link that is only planned has no files yet.
        guard link.link.index > 0, link.namespace.handle != nil else { return Assessment(.create, operations: [write]) }
        guard let have = world.readSysctl(path, in: link.namespace) else {
            return Assessment(.blocked("this kernel has no \(path)"))
        }
        if have == value { return .inPlace }
        return Assessment(.update, operations: [write], differences: [Difference(setting.name, old: have, new: value)])
    }
}

extension SysctlSetting: SilentValue {
    func home(in world: LinuxWorld) -> LinkState? { world.link(of: interface) }
    /// Files are read when they are compared.
    func lookAgain(in world: LinuxWorld) {}
}
