internal import Netlink
public import Reconciler

/// A file below /proc/sys and what is to be in it.
public struct KernelSetting: Hashable, Sendable {
    let path: String
    let value: String

    /// Names a setting and its value; of several numbers the spaces between do not count.
    public init(_ path: String, _ value: String) {
        self.path = path
        self.value = value
    }
}

/// Settings of a link and its namespace that programs are better off with, and do without where they can't be set: on a kernel
/// without IPv6, or in a container with a read-only /proc/sys.
public struct DesirableSettings: Value {
    /// The word for them in plans and status.
    public static let kind = "settings"
    /// Before addresses.
    public static let rank = 2

    private let interface: String
    private let settings: [KernelSetting]

    /// Settings that an interface, by its logical name, is to be used with.
    public init(interface: String, _ settings: [KernelSetting]) {
        self.interface = interface
        self.settings = settings
    }

    /// The interface.
    public var dependencies: [Dependency<LinuxWorld>] {
        [Dependency(label: "interface-exists", target: .key(InterfaceKeys.key(interface)))]
    }

    /// `settings for veth1`
    public var summary: String { "settings for \(interface)" }

    /// Compares with the files.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let write = LinuxOperation(link.namespace, .desirable(settings, link: link.link.index))
        // A link that is only planned has no files yet.
        guard link.link.index > 0 else { return Assessment(.create, operations: [write]) }
        let differ = settings.contains { setting in
            guard let have = world.readSysctl(setting.path, in: link.namespace) else { return false }
            return have.split(whereSeparator: \.isWhitespace) != setting.value.split(separator: " ")
        }
        return differ ? Assessment(.update, operations: [write]) : .inPlace
    }
}
