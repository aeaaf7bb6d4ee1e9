public import Reconciler

/// A setting of a namespace below /proc/sys/net.
public struct NamespaceSetting: Value {
    /// The word for settings in plans and status.
    public static let kind = "sysctl"
    /// Before links are up, and after the namespace.
    public static let rank = 2

    /// The name of the namespace under /run/netns.
    let namespace: String
    let name: String
    let path: String
    /// Words with one space between.
    let value: String

    /// None but the namespace.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `net.ipv4.ip_forward = 1 in p1`
    public var summary: String { "\(name) = \(value) in \(namespace)" }

    /// Reports about the namespace concern it, and no event tells of the setting.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, in: .named(namespace))
        world.declarations.enter(silent: self, key: key)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, in: .named(namespace))
        world.declarations.leave(silent: key)
    }

    /// Compares with the file.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let state = world.byReference[.named(namespace)] else {
            return Assessment(.waiting(["namespace \(namespace) is not there"]))
        }
        let write = LinuxOperation(state, .sysctl(path: path, value: value))
        // A namespace that is only planned has no files yet.
        guard state.handle != nil else {
            return Assessment(.create, operations: [write] + swept(in: state, world).operations)
        }
        guard let text = world.readSysctl(path, in: state) else {
            return Assessment(.blocked("the namespace has no \(path): this kernel doesn't, or only for all namespaces"))
        }
        let have = text.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
        if agrees(with: have) { return .inPlace }
        let (again, changed) = swept(in: state, world)
        return Assessment(
            .update, operations: [write] + again, differences: [Difference(name, old: have, new: value)] + changed)
    }

    /// Whether the file says the same. The kernel writes a list of ports in its own way.
    private func agrees(with text: String) -> Bool {
        if text == value { return true }
        guard name == "net.ipv4.ip_local_reserved_ports", let ports = Self.ports(value) else { return false }
        return Self.ports(text) == ports
    }

    /// Which ports a list such as `8080,9000-9010` names, by number; nil: it is none.
    private static func ports(_ text: String) -> [Bool]? {
        var ports = [Bool](repeating: false, count: 1 << 16)
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard ends.count <= 2, let first = UInt16(ends[0]), let last = UInt16(ends[ends.count - 1]), first <= last
            else { return nil }
            for port in first...last { ports[Int(port)] = true }
        }
        return ports
    }
}

extension NamespaceSetting: SilentValue {
    func home(in world: LinuxWorld) -> LinkState? { world.byReference[.named(namespace)]?.linksByName["lo"] }
    /// Files are read when they are compared.
    func lookAgain(in world: LinuxWorld) {}
}
