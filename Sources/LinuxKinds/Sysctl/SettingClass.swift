internal import Model
internal import Netlink
internal import Reconciler

/// A file below /proc/sys, which goes with its link if it is one's.
struct SettingFile: Hashable {
    /// The index of the link; 0: the path says all.
    let link: Int32
    /// What comes before the link's name.
    private let head: String
    /// What comes after it.
    private let tail: String

    /// The file of a path, which may have the name of a link in it.
    init(path: String, in state: NamespaceState) {
        // "", proc, sys, net, family, folder, interface, name
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 8, ["conf", "neigh"].contains(parts[5]), let link = state.linksByName[String(parts[6])]
        else {
            self.init(link: 0, head: path, tail: "")
            return
        }
        let name = parts[6]
        self.init(link: link.link.index, head: String(path[..<name.startIndex]), tail: String(path[name.endIndex...]))
    }

    private init(link: Int32, head: String, tail: String) {
        self.link = link
        self.head = head
        self.tail = tail
    }

    /// The path as long as the link has this name.
    func path(link name: String) -> String { head + (link == 0 ? "" : name) + tail }

    /// Whether it disables IPv6 on a link.
    var disablesV6: Bool { link != 0 && tail == "/disable_ipv6" }
    /// What it is, if it changes the files of all links.
    var sweeping: SweepingSetting? { link == 0 ? SweepingSetting(path: head) : nil }
    /// Whether it is the MTU of IPv6, which the kernel changes by itself.
    var isMTUv6: Bool { link != 0 && tail == "/mtu" }
}

/// Settings below /proc/sys and offloads, which no report tells of. They are read when a value is compared, and before
/// something is changed that may be undone.
enum SettingClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {}

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {}

    // MARK: - Changes

    /// A file is written. Without IPv6 a link loses all that belongs to it.
    static func put(_ path: String, _ value: String, in state: NamespaceState, _ world: LinuxWorld) {
        let file = SettingFile(path: path, in: state)
        remember(file, in: state, world)
        rememberSwept(by: path, in: state, world)
        guard file.disablesV6, value != "0", let link = state.links[file.link] else { return }
        // When it is enabled again, its MTU is that of the link.
        world.journals.remember(link: link.link.index, in: state)
        // Nothing can be put back as long as it is disabled.
        for entry in link.addresses where entry.address.local.family == .v6 && !entry.address.local.address.isLinkLocal
        {
            world.drop(entry.address, in: state)
        }
        LinkClass.flushV6(link, world)
    }

    /// Offloads are set.
    static func put(offloadsOf index: Int32, in state: NamespaceState, _ world: LinuxWorld) {
        if let link = state.links[index] { rememberOffloads(of: link, world) }
    }

    // MARK: - What was there before

    /// A file is about to be written.
    static func remember(_ file: SettingFile, in state: NamespaceState, _ world: LinuxWorld) {
        guard world.journals.isAnyKept, state.handle != nil, file.link >= 0 else { return }
        let path = file.path(link: state.links[file.link].map { kernelName(of: $0, world) } ?? "")
        guard let value = world.readSysctl(path, in: state) else { return }
        world.journals.remember(setting: file, value, in: state)
    }

    /// A link is about to change: the MTU of IPv6 follows that of the link, and is its own once it was set.
    static func rememberMTU(of link: LinkState, _ world: LinuxWorld) {
        guard link.link.index > 0, link.link.mtu > 1280, link.namespace.handle != nil else { return }
        let file = SettingFile(path: "/proc/sys/net/ipv6/conf/\(link.link.name)/mtu", in: link.namespace)
        let path = file.path(link: kernelName(of: link, world))
        guard let value = world.readSysctl(path, in: link.namespace), value != "\(link.link.mtu)" else { return }
        world.journals.remember(setting: file, value, in: link.namespace)
    }

    /// The name by which the kernel has a link at this moment: a new one may only be planned.
    static func kernelName(of link: LinkState, _ world: LinuxWorld) -> String {
        guard link.link.index > 0, link.namespace.isSimulated, link.namespace.handle != nil,
            let known = try? world.routeSocket(link.namespace).link(index: link.link.index)
        else { return link.link.name }
        return known.name
    }

    /// A link goes, and with it what its files say. What differs from the files of a new link is remembered.
    ///
    /// - Parameter isMoved: Whether it goes to another namespace: then also those of a link of somebody else.
    static func rememberAll(of link: LinkState, _ world: LinuxWorld, isMoved: Bool = false) {
        let state = link.namespace
        guard world.journals.isAnyKept, link.link.index > 0, state.handle != nil,
            isMoved || world.ownership.owns(alias: link.link.alias)
        else { return }
        let name = kernelName(of: link, world)
        if link.link.group == world.ownership.tunedGroup { rememberOffloads(of: link, world) }
        let differing = try? world.inside(state) {
            InterfaceSysctl.all.compactMap { setting -> (String, String)? in
                // It follows the MTU of the link, and has been looked at.
                if setting.family == "ipv6", setting.name == "mtu" { return nil }
                let path = setting.path(interface: name)
                guard let value = SysctlFile.read(path), value != SysctlFile.read(setting.path(interface: "default"))
                else {
                    return nil
                }
                return (path, value)
            }
        }
        for (path, value) in differing ?? [] {
            world.journals.remember(setting: SettingFile(path: path, in: state), value, in: state)
        }
    }

    private static func rememberOffloads(of link: LinkState, _ world: LinuxWorld) {
        guard world.journals.isAnyKept, link.link.index > 0, link.namespace.handle != nil else { return }
        let (name, state) = (kernelName(of: link, world), link.namespace)
        let offloads = Journal.Offloads(
            receive: world.offload(of: name, receive: true, in: state),
            transmit: world.offload(of: name, receive: false, in: state))
        world.journals.remember(offloads: offloads, of: link.link.index, in: state)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        for (state, part) in restoration.parts {
            var swept: [SweepingSetting: String] = [:]
            for (file, value) in part.settings.sorted(by: isEarlier) {
                // Every change of a link changes its MTU of IPv6, too.
                guard step == (file.isMTUv6 ? .finish : .mend) else { continue }
                let isWritten = restore(file, value, in: state, swept, &restoration)
                if isWritten, let sweeping = file.sweeping { swept[sweeping] = value }
            }
            if step == .mend {
                for (index, offloads) in part.offloads.sorted(by: { $0.key < $1.key }) {
                    let current = restoration.current(index, in: state)
                    guard state.links[current] != nil, offloads.receive ?? offloads.transmit != nil else { continue }
                    restoration.add(
                        .offload(index: current, receive: offloads.receive, transmit: offloads.transmit), in: state.id)
                }
            }
        }
    }

    /// What changes others comes before them.
    private static func isEarlier(
        _ one: (key: SettingFile, value: String), _ other: (key: SettingFile, value: String)
    ) -> Bool {
        let (first, second) = (one.key.sweeping == nil ? 1 : 0, other.key.sweeping == nil ? 1 : 0)
        return (first, one.value) < (second, other.value)
    }

    /// - Parameter swept: What has been written by now, and has changed other files.
    /// - Returns: Whether it is written.
    private static func restore(
        _ file: SettingFile, _ value: String, in state: NamespaceState, _ swept: [SweepingSetting: String],
        _ restoration: inout Restoration
    ) -> Bool {
        let index = restoration.current(file.link, in: state)
        let link = state.links[index]
        if file.link != 0, link == nil { return false }
        let path = file.path(link: link?.link.name ?? "")
        // One that is made again has the default, and the MTU what is left of it by then.
        let isKnown = index >= 0 && state.handle != nil && !file.isMTUv6
        let written = swept.compactMap { sweeping, value in sweeping.content(of: path, afterWriting: value) }.first
        if isKnown, written ?? restoration.world.readSysctl(path, in: state) == value { return false }
        restoration.add(.sysctl(path: path, value: value), in: state.id)
        return true
    }

    // MARK: - Nothing of it has a mark

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {}

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {}

    static func export(_ state: NamespaceState, to export: inout Export) {
        // Settings are part of the interface they are of.
    }
}
