internal import Glibc
public import Model
public import Netlink
internal import NetworkTypes

extension LinuxWorld {
    /// What the kernel has, as a configuration that finds all of it in place.
    ///
    /// Without `all`: what we own, under the names it was declared with, in every namespace or in one. Interfaces of
    /// others that ours are built on appear as EXISTING with link_only. Settings below /proc/sys are not among it, as
    /// nothing tells which of them were declared; neither is which addresses were allocated.
    ///
    /// With `all`: in one namespace, nil: our own, also what others made: their interfaces as EXISTING with all their
    /// addresses, their routes and rules; but no neighbours, and no routes that come and go by themselves.
    ///
    /// - Parameter name: a named namespace; nil: see above.
    /// - Throws: `ENOENT` when there is no such namespace; the kernel's error when it can't be read.
    public func export(namespace name: String?, all: Bool) throws(KernelError) -> [ModelValue] {
        try readAll()
        var export = Export(world: self, isEverything: all)
        if let name {
            guard let state = byReference[.named(name)] else {
                throw KernelError(code: ENOENT, message: "there is no namespace named \(name)")
            }
            try export.add(state)
        } else if all, let own = byReference[.own] {
            try export.add(own)
        } else {
            for state in states where state.handle != nil { try export.add(state) }
        }
        return export.finish()
    }
}

/// Collects the values of an export.
struct Export {
    let world: LinuxWorld
    /// Whether what others made is wanted, too.
    let isEverything: Bool
    private var interfaces: [(order: (Int, Int32), message: Ligato_Linux_Interfaces_Interface)] = []
    var others: [ModelValue] = []
    private var namespaces: [ModelValue] = []
    /// Names of the links that are part of the export.
    private var names: [ObjectIdentifier: String] = [:]
    private var usedNames: Set<String> = []
    var usedRuleNames: Set<String> = []

    init(world: LinuxWorld, isEverything: Bool) {
        self.world = world
        self.isEverything = isEverything
        // A declared name is never given to something else.
        for state in world.states {
            for link in state.ownedLinks.values { usedNames.insert(ownName(of: link)) }
        }
    }

    var ownership: Ownership { world.ownership }

    func finish() -> [ModelValue] {
        namespaces + interfaces.sorted { $0.order < $1.order }.map { .interface($0.message) } + others
    }

    mutating func add(_ state: NamespaceState) throws(KernelError) {
        if case .named(let name) = state.reference, state.linksByName["lo"]?.link.group == ownership.namespaceGroup {
            var message = Nsmagent_Linux_Namespace()
            message.name = name
            namespaces.append(.namespace(message))
        }
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
            if ownership.owns(alias: link.link.alias) {
                addOwn(link)
            } else if isEverything, link.link.flags & LinkFlags.loopback == 0 {
                addForeign(link, isWhole: true)
            }
        }
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) { addNeighbours(of: link) }
        try addRoutes(of: state)
        try addRules(of: state)
    }

    // MARK: - Names

    /// The name a link was declared with.
    private func ownName(of link: LinkState) -> String {
        let names = (link.link.alias ?? "").dropFirst(ownership.aliasPrefix.count)
        guard link.link.kind == .veth else { return String(names) }
        let peer = world.peer(of: link)?.link.alias.map { String($0.dropFirst(ownership.aliasPrefix.count)) }
        // NAME/PEER, where both may hold slashes: the peer says PEER/NAME.
        for slash in names.indices where names[slash] == "/" {
            let (first, second) = (names[..<slash], names[names.index(after: slash)...])
            if peer == nil || peer == "\(second)/\(first)" { return String(first) }
        }
        return String(names)
    }

    /// The name of a link in the export; if it is someone else's, it becomes part of the export.
    mutating func name(of link: LinkState) -> String {
        if let name = names[ObjectIdentifier(link)] { return name }
        if ownership.owns(alias: link.link.alias) {
            addOwn(link)
        } else {
            addForeign(link, isWhole: isEverything)
        }
        return names[ObjectIdentifier(link)] ?? link.link.name
    }

    private mutating func take(_ wish: String) -> String {
        var name = wish
        var number = 1
        while !usedNames.insert(name).inserted {
            number += 1
            name = "\(wish)-\(number)"
        }
        return name
    }

    func reference(to state: NamespaceState) -> Ligato_Linux_Namespace_NetNamespace? {
        var message = Ligato_Linux_Namespace_NetNamespace()
        switch state.reference {
        case .own: return nil
        case .named(let name): (message.type, message.reference) = (.nsid, name)
        case .process(let pid): (message.type, message.reference) = (.pid, "\(pid)")
        case .file(let path): (message.type, message.reference) = (.fd, path)
        case .microservice(let label): (message.type, message.reference) = (.microservice, label)
        }
        return message
    }

    // MARK: - Interfaces

    private func base(_ link: LinkState, name: String) -> Ligato_Linux_Interfaces_Interface {
        var message = Ligato_Linux_Interfaces_Interface()
        message.name = name
        if let reference = reference(to: link.namespace) { message.namespace = reference }
        if link.link.name != name { message.hostIfName = link.link.name }
        message.enabled = link.link.isUp
        return message
    }

    /// Someone else's link; if it is not wanted as a whole, only that it is there.
    private mutating func addForeign(_ link: LinkState, isWhole: Bool) {
        if names[ObjectIdentifier(link)] != nil { return }
        let name = take(link.link.name)
        names[ObjectIdentifier(link)] = name
        var message = base(link, name: name)
        message.type = .existing
        if isWhole {
            message.mtu = link.link.mtu
            addAddresses(of: link, to: &message) { _ in true }
            // Addresses that come and go by themselves are awaited, not made.
            message.linkOnly = link.addresses.contains { $0.address.flags & Address.permanent == 0 }
        } else {
            message.linkOnly = true
        }
        interfaces.append(((link.namespace.id, link.link.index), message))
    }

    private mutating func addOwn(_ link: LinkState) {
        if names[ObjectIdentifier(link)] != nil { return }
        let name = ownName(of: link)
        names[ObjectIdentifier(link)] = name
        var message = base(link, name: name)
        setKind(of: &message, link)
        let isEverything = isEverything
        let proto = ownership.proto
        addAddresses(of: link, to: &message) { isEverything || $0.proto == proto }
        if let master = link.namespace.links[link.link.master], case .vrf = master.link.kind,
            ownership.owns(alias: master.link.alias)
        {
            message.vrfMasterInterface = self.name(of: master)
        }
        interfaces.append(((link.namespace.id, link.link.index), message))
    }

    private mutating func setKind(of message: inout Ligato_Linux_Interfaces_Interface, _ link: LinkState) {
        let mac = link.link.mac.map(\.description) ?? ""
        switch link.link.kind {
        case .veth:
            message.type = .veth
            message.physAddress = mac
            if link.link.mtu != 1500 { message.mtu = link.link.mtu }
            message.veth.peerIfName = world.peer(of: link).map { name(of: $0) } ?? ""
            if link.link.group == ownership.tunedGroup {
                message.veth.rxChecksumOffloading = offload(of: link, receive: true)
                message.veth.txChecksumOffloading = offload(of: link, receive: false)
            }
        case .dummy:
            message.type = .dummy
            message.physAddress = mac
            if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        case .vrf(let table):
            message.type = .vrfDevice
            message.vrfDev.routingTable = table
        case .bridge(let bridge): setBridge(of: &message, link, bridge)
        case .tun(let tun):
            message.type = .tap
            message.tuntap.mode = tun.isTUN ? .tun : .tap
            message.tuntap.multiQueue = tun.multiQueue
            message.tuntap.vnetHeader = tun.vnetHeader
            if let owner = tun.owner { message.tuntap.owner = owner }
            if let group = tun.group { message.tuntap.group = group }
            if !tun.isTUN { message.physAddress = mac }
            if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        case .vlan, .vxlan, .macvlan, .ipvlan: setUpper(of: &message, link, mac: mac)
        case .none, .other:
            message.type = .loopback
            message.hostIfName = ""
        }
    }

    private mutating func setBridge(
        of message: inout Ligato_Linux_Interfaces_Interface, _ link: LinkState, _ bridge: BridgeAttributes
    ) {
        message.type = .bridge
        message.bridge.stp = bridge.stpState ?? 0 != 0
        message.bridge.vlanFiltering = bridge.vlanFiltering ?? false
        if let time = bridge.ageingTime, time != 30000 { message.bridge.ageingTime = time / 100 }
        if let delay = bridge.forwardDelay, delay != 1500 { message.bridge.forwardDelay = delay / 100 }
        let ports = link.namespace.links.values.filter { $0.link.master == link.link.index }
            .sorted { $0.link.index < $1.link.index }
        message.bridge.ports = ports.map { name(of: $0) }
        // Without an address of its own it has that of a port, which is better not written down.
        let isOfPort = ports.isEmpty || ports.contains { $0.link.mac == link.link.mac }
        if !isOfPort { message.physAddress = link.link.mac.map(\.description) ?? "" }
    }

    /// Links that are built on another one.
    private mutating func setUpper(
        of message: inout Ligato_Linux_Interfaces_Interface, _ link: LinkState, mac: String
    ) {
        let parent = below(link).map { name(of: $0) } ?? ""
        if link.link.mtu != 1500 { message.mtu = link.link.mtu }
        message.physAddress = mac
        switch link.link.kind {
        case .vlan(let vlan):
            message.type = .vlan
            message.vlan.parent = parent
            message.vlan.id = UInt32(vlan.id)
            message.vlan.protocol = vlan.ethertype == 0x88a8 ? .dot1Ad : .dot1Q
        case .macvlan(let mode):
            message.type = .macvlan
            message.macvlan.parent = parent
            message.macvlan.mode = [1: .private, 2: .vepa, 8: .passthru][mode] ?? .bridge
        case .ipvlan(let mode):
            message.type = .ipvlan
            message.physAddress = ""
            message.ipvlan.parent = parent
            message.ipvlan.mode = .init(rawValue: Int(mode)) ?? .l2
        case .vxlan(let vxlan):
            message.type = .vxlan
            message.vxlan.parent = parent
            message.vxlan.vni = vxlan.vni
            message.vxlan.local = vxlan.local?.description ?? ""
            message.vxlan.noLearning = vxlan.learning == false
            if let port = vxlan.port, port != 4789 { message.vxlan.port = UInt32(port) }
            message.vxlan.ttl = UInt32(vxlan.ttl ?? 0)
            guard let remote = vxlan.remote else { return }
            if remote.isMulticast { message.vxlan.group = "\(remote)" } else { message.vxlan.remote = "\(remote)" }
        default: break
        }
    }

    /// The link that another one is built on, also in another namespace.
    private func below(_ link: LinkState) -> LinkState? {
        var index = link.link.link
        if case .vxlan(let vxlan) = link.link.kind { index = vxlan.link }
        guard index != 0 else { return nil }
        guard let number = link.link.linkNamespaceID else { return link.namespace.links[index] }
        return world.namespace(numbered: number, seenFrom: link.namespace)?.links[index]
    }

    private func offload(of link: LinkState, receive: Bool) -> Ligato_Linux_Interfaces_VethLink.ChecksumOffloading {
        switch world.offload(of: link.link.name, receive: receive, in: link.namespace) {
        case true?: .chksmOffloadEnabled
        case false?: .chksmOffloadDisabled
        case nil: .chksmOffloadDefault
        }
    }

    private func addAddresses(
        of link: LinkState, to message: inout Ligato_Linux_Interfaces_Interface, where isWanted: (Address) -> Bool
    ) {
        for entry in link.addresses where isWanted(entry.address) {
            let address = entry.address
            // Addresses of the link and of the loopback interface that the kernel gives by itself.
            let isKernels = address.local.address.isLinkLocal || address.local.address.isLoopback
            if isKernels, address.proto != ownership.proto { continue }
            if address.peer == nil, address.flags & Address.noDAD == 0 {
                message.ipAddresses.append("\(address.local)")
                continue
            }
            var part = Ligato_Linux_Interfaces_InterfaceAddress()
            part.nodad = address.flags & Address.noDAD != 0
            if let peer = address.peer {
                part.address = "\(address.local.address)"
                part.peer = "\(peer)/\(address.local.length)"
            } else {
                part.address = "\(address.local)"
            }
            message.addresses.append(part)
        }
    }
}
