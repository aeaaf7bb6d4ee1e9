extension ConfigSet {
    /// The kernel stacks devices at most this deep (`MAX_NEST_DEV`), so a longer walk can only be a circle.
    private static var deepest: Int { 8 }

    /// Looks again at all that what changed may have to do with.
    mutating func checkRelations() {
        let (interfaces, clients) = concerned()
        for ref in interfaces { checkInterface(ref) }
        for ref in clients { checkClient(ref) }
        relations.forgetChanges()
    }

    private func concerned() -> (interfaces: Set<Ref>, clients: Set<Ref>) {
        var interfaces = relations.changedValues.union(relations.unresolved)
        for name in relations.changedNames { addReferrers(of: name, to: &interfaces) }
        for host in relations.changedHosts { addGroup(relations.hosts[host], to: &interfaces) }
        for tag in relations.changedTags { addGroup(relations.tags[tag], to: &interfaces) }
        for port in relations.changedPorts { addGroup(relations.ports[port], to: &interfaces) }
        var clients: Set<Ref> = []
        for name in relations.changedClients { clients.formUnion(relations.clients[name]?.all ?? []) }
        if !relations.clients.isEmpty {
            for host in relations.changedHosts where host.namespace == .own {
                clients.formUnion(relations.clients[host.name]?.all ?? [])
            }
        }
        return (interfaces, clients)
    }

    private func addGroup(_ refs: Refs?, to concerned: inout Set<Ref>) {
        // One alone is concerned when it changed itself, which is known.
        guard let refs else { return }
        concerned.formUnion(refs.all)
    }

    /// Those that refer to a name, and what stands on those.
    private func addReferrers(of name: String, to concerned: inout Set<Ref>) {
        var names: Set<String> = [name]
        for _ in 0...Self.deepest {
            var next: Set<String> = []
            for name in names {
                for ref in relations.referrers[name]?.all ?? [] {
                    concerned.insert(ref)
                    if let interface = interface(ref), interface.kind.parent == name { next.insert(interface.name) }
                }
            }
            if next.isEmpty { return }
            names = next
        }
    }

    private mutating func checkInterface(_ ref: Ref) {
        guard let interface = interface(ref) else { return }
        let (problems, isUnresolved) = result(ref, interface)
        if problems.list.isEmpty {
            if !relations.problems.isEmpty { relations.problems[ref] = nil }
        } else {
            relations.problems[ref] = problems
        }
        if isUnresolved {
            relations.unresolved.insert(ref)
        } else if !relations.unresolved.isEmpty {
            relations.unresolved.remove(ref)
        }
    }

    /// In a function of its own, as the check holds on to all that is here.
    private func result(_ ref: Ref, _ interface: InterfaceSpec) -> (problems: Relations.Problems, isUnresolved: Bool) {
        var check = InterfaceCheck(set: self, ref: ref, interface: interface)
        check.run()
        return (check.problems, check.isUnresolved)
    }

    private mutating func checkClient(_ ref: Ref) {
        guard case .client(let client)? = item(ref).specification else { return }
        var problems = Relations.Problems()
        let name = client.interfaceName
        let path: [PathPart] = ["interface_name"]
        if let earlier = first(relations.clients[name]), earlier != ref {
            // One client declared twice is reported as such.
            if item(earlier).key != item(ref).key {
                let other = item(earlier).value.name.inQuotes
                problems.add(
                    Relations.Problem(
                        path: path, value: name,
                        text: "is the interface of client \(other) already (\(place(earlier)))"))
            }
        } else if let (made, type) = made(name) {
            problems.add(
                Relations.Problem(
                    path: path, value: name,
                    text: "is the name of a \(type.word), which the agent makes itself (\(place(made))); "
                        + "choose another one"))
        }
        relations.problems[ref] = problems.list.isEmpty ? nil : problems
    }

    /// What the agent makes itself under a name in its own namespace.
    private func made(_ name: String) -> (Ref, LinkType)? {
        for ref in sorted(relations.hosts[Relations.HostName(namespace: .own, name: name)]) {
            if let type = interface(ref)?.kind.type, type != .existing { return (ref, type) }
        }
        return nil
    }
}

/// Looks at what one interface says of others.
private struct InterfaceCheck {
    let set: ConfigSet
    let ref: ConfigSet.Ref
    let interface: InterfaceSpec
    var problems = Relations.Problems()
    /// Whether it refers to an interface that is not there.
    var isUnresolved = false

    init(set: ConfigSet, ref: ConfigSet.Ref, interface: InterfaceSpec) {
        (self.set, self.ref, self.interface) = (set, ref, interface)
    }

    mutating func run() {
        checkHostName()
        if let vrf = interface.vrf { checkMaster(vrf) }
        switch interface.kind {
        case .veth(let peer, _, _): checkPeer(peer)
        case .bridge(let bridge): checkPorts(bridge.ports)
        case .vlan(let vlan):
            checkParent(vlan.parent, "vlan", inNamespace: true)
            checkTag(vlan)
        case .vxlan(let vxlan): if let parent = vxlan.parent { checkParent(parent, "vxlan", inNamespace: false) }
        case .macvlan(let parent, _): checkParent(parent, "macvlan", inNamespace: false)
        case .ipvlan(let parent, _): checkParent(parent, "ipvlan", inNamespace: false)
        case .loopback, .existing, .vrf, .dummy, .tap: break
        }
    }

    private mutating func report(_ path: [PathPart], _ value: String? = nil, _ text: String) {
        problems.add(Relations.Problem(path: path, value: value, text: text))
    }

    /// Notes that an interface is referred to but not declared, unless a mistake noted before explains that.
    private mutating func reportMissing(_ path: [PathPart], _ name: String, _ text: String) {
        isUnresolved = true
        let relations = set.relations
        guard relations.incompleteTexts == 0, relations.broken[name] == nil, !relations.mayBring(name) else { return }
        problems.add(Relations.Problem(path: path, value: name, text: text, isMissing: true))
    }

    private func declared(_ name: String) -> (ref: ConfigSet.Ref, interface: InterfaceSpec)? {
        guard let ref = set.first(set.relations.interfaces[name]), let interface = set.interface(ref) else {
            return nil
        }
        return (ref, interface)
    }

    private mutating func checkHostName() {
        guard let group = set.relations.hosts[Relations.HostName(interface)], group.only == nil,
            let earlier = set.first(group), earlier != ref,
            // One logical name declared twice is reported as such.
            set.item(earlier).key != set.item(ref).key
        else { return }
        let isOwn = interface.hostName == interface.name || interface.kind == .loopback
        let other = set.item(earlier).value.name.inQuotes
        report(
            [isOwn ? "name" : "host_if_name"],
            nil,
            "makes it '\(interface.hostName)' in the kernel, which is also \(other) in the same namespace "
                + "(\(set.place(earlier)))")
    }

    private mutating func checkPeer(_ name: String) {
        let path: [PathPart] = ["veth", "peer_if_name"]
        guard name != interface.name else { return report(path, name, "is the interface itself") }
        guard let (ref, peer) = declared(name) else {
            return reportMissing(path, name, "is not declared; both halves of a pair are")
        }
        guard let back = peer.peer else {
            return report(path, name, "is a \(peer.kind.type.word), not a VETH (\(set.place(ref)))")
        }
        if back != interface.name {
            report(
                path, name,
                "names \(back.inQuotes) as its peer, not \(interface.name.inQuotes) (\(set.place(ref)))")
        }
    }

    private mutating func checkMaster(_ name: String) {
        let path: [PathPart] = ["vrf_master_interface"]
        guard name != interface.name else { return report(path, name, "is the interface itself") }
        guard let (ref, master) = declared(name) else { return reportMissing(path, name, "is not declared") }
        guard master.kind.type == .vrf || master.kind.type == .existing else {
            return report(path, name, "is a \(master.kind.type.word), not a VRF_DEVICE (\(set.place(ref)))")
        }
        if !isBeside(master) { report(path, name, "is in another namespace (\(set.place(ref)))") }
    }

    private func isBeside(_ other: InterfaceSpec) -> Bool {
        interface.namespace == other.namespace || interface.namespace.identity == other.namespace.identity
    }

    private mutating func checkPorts(_ names: [String]) {
        var seen: Set<String> = []
        for (index, name) in names.enumerated() {
            let path: [PathPart] = ["bridge", "ports", .element(index)]
            guard name != interface.name else {
                report(path, name, "is the bridge itself")
                continue
            }
            guard let (ref, port) = declared(name) else {
                reportMissing(path, name, "is not declared")
                continue
            }
            let place = set.place(ref)
            if !seen.insert(name).inserted {
                report(path, name, "is there twice")
            } else if let taker = set.first(set.relations.ports[name]), taker != self.ref {
                report(path, name, "is a port of bridge \(set.item(taker).value.name.inQuotes) already")
            } else if !isBeside(port) {
                report(path, name, "is in another namespace than the bridge (\(place))")
            } else if port.vrf != nil {
                report(path, name, "is a member of a VRF, so it can't be a port (\(place))")
            } else if port.kind.type == .bridge || port.kind.type == .loopback {
                report(path, name, "is a \(port.kind.type.word), which can't be a port (\(place))")
            }
        }
    }

    private mutating func checkTag(_ vlan: VLANSpec) {
        guard let group = Relations.Tag(interface).flatMap({ set.relations.tags[$0] }), group.only == nil,
            let earlier = set.first(group), earlier != ref, set.item(earlier).key != set.item(ref).key
        else { return }
        let other = set.item(earlier).value.name.inQuotes
        report(
            ["vlan", "id"], String(vlan.id),
            "is taken on \(vlan.parent.inQuotes) by \(other) (\(set.place(earlier)))")
    }

    private mutating func checkParent(_ name: String, _ block: String, inNamespace: Bool) {
        let path: [PathPart] = [.field(block), "parent"]
        guard name != interface.name else { return report(path, name, "is the interface itself") }
        guard let (first, parent) = declared(name) else {
            return reportMissing(path, name, "is not declared; declare it, as EXISTING if something else makes it")
        }
        if inNamespace, !isBeside(parent) { report(path, name, "is in another namespace (\(set.place(first)))") }
        var above = parent
        for _ in 0..<8 {
            guard let (ref, next) = above.kind.parent.flatMap({ declared($0) }) else { return }
            guard ref != self.ref else {
                return report(path, name, "stands on this interface itself (\(set.place(first)))")
            }
            above = next
        }
    }
}
