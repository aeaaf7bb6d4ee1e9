internal import Netlink
public import Reconciler

/// Checksum offloads of an interface, where one is set. One that is not has the default, which is on.
public struct Offload: Value {
    /// The word for offloads in plans and status.
    public static let kind = "offload"
    /// With the settings.
    public static let rank = 2

    let interface: String
    let receive: Bool?
    let transmit: Bool?

    /// None but the interface.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `rx off tx on on veth1`
    public var summary: String {
        let parts = [("rx", receive), ("tx", transmit)].compactMap { name, on in
            on.map { "\(name) \($0 ? "on" : "off")" }
        }
        return "checksum offload \(parts.joined(separator: " ")) on \(interface)"
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface)
        world.declarations.enter(silent: self, key: key)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface)
        world.declarations.leave(silent: key)
    }

    /// Compares with what the driver says.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(of: interface) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        let isReceiving = receive ?? true
        let isTransmitting = transmit ?? true
        let action = LinuxOperation.Action.offload(
            index: link.link.index, receive: isReceiving, transmit: isTransmitting)
        var set = [LinuxOperation(link.namespace, action)]
        if link.link.group != world.ownership.tunedGroup {
            // The mark comes first: what is marked too early is put right, what is not marked is forgotten.
            var mark = LinkAttributes(index: link.link.index)
            mark.group = world.ownership.tunedGroup
            set.insert(LinuxOperation(link.namespace, request: .setLink(mark)), at: 0)
        }
        guard link.link.index > 0, link.namespace.handle != nil else { return Assessment(.create, operations: set) }
        var differences: [Difference] = []
        for (name, wanted, isReceive) in [("rx-checksum", isReceiving, true), ("tx-checksum", isTransmitting, false)] {
            guard let have = world.offload(of: link.link.name, receive: isReceive, in: link.namespace) else {
                return Assessment(.blocked("the driver of \(link.link.name) has no \(name) offload"))
            }
            if have != wanted {
                differences.append(Difference(name, old: have ? "on" : "off", new: wanted ? "on" : "off"))
            }
        }
        return differences.isEmpty ? .inPlace : Assessment(.update, operations: set, differences: differences)
    }
}

extension Offload: SilentValue {
    func home(in world: LinuxWorld) -> LinkState? { world.link(of: interface) }
    /// The driver is asked when it is compared.
    func lookAgain(in world: LinuxWorld) {}
}
