/// Looks at what one interface says of others.
struct InterfaceCheck {
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
        interface.checkedLink.check(&self)
    }

    /// Notes a mistake, and which other value it is about.
    mutating func report(_ path: [PathPart], _ value: String? = nil, _ text: String, with other: ConfigSet.Ref? = nil) {
        problems.add(Relations.Problem(path: path, value: value, text: text, other: other))
    }

    /// Notes that an interface is referred to but not declared, unless a mistake noted before explains that.
    mutating func reportMissing(_ path: [PathPart], _ name: String, _ text: String) {
        let relations = set.relations
        guard relations.expectsAll else { return }
        isUnresolved = true
        guard relations.incompleteTexts == 0, relations.broken[name] == nil, !relations.mayBring(name) else { return }
        problems.add(Relations.Problem(path: path, value: name, text: text, isMissing: true))
    }

    func declared(_ name: String) -> (ref: ConfigSet.Ref, interface: InterfaceSpec)? {
        guard let ref = set.first(set.relations.interfaces[name]), let interface = set.interface(ref) else {
            return nil
        }
        return (ref, interface)
    }

    private mutating func checkHostName() {
        if interface.hostName.isEmpty { return }
        guard let group = set.relations.hosts[Relations.HostName(interface)], group.only == nil,
            let earlier = set.first(group), earlier != ref,
            // One logical name declared twice is reported as such.
            set.item(earlier).key != set.item(ref).key
        else { return }
        let isOwn = interface.hostName == interface.name || interface.type == .loopback
        let other = set.item(earlier).value.name.inQuotes
        report(
            [isOwn ? "name" : "host_if_name"],
            nil,
            "makes it '\(interface.hostName)' in the kernel, which is also \(other) in the same namespace "
                + "(\(set.place(earlier)))", with: earlier)
    }

    private mutating func checkMaster(_ name: String) {
        let path: [PathPart] = ["vrf_master_interface"]
        guard name != interface.name else { return report(path, name, "is the interface itself") }
        guard let (ref, master) = declared(name) else { return reportMissing(path, name, "is not declared") }
        guard master.type == .vrfDevice || master.type == .existing else {
            return report(path, name, "is a \(master.word), not a VRF_DEVICE (\(set.place(ref)))", with: ref)
        }
        if !isBeside(master) { report(path, name, "is in another namespace (\(set.place(ref)))", with: ref) }
    }

    private func isBeside(_ other: InterfaceSpec) -> Bool {
        interface.namespace == other.namespace || interface.namespace.identity == other.namespace.identity
    }

    /// Looks at the ports of an interface that has such.
    ///
    /// - Parameter path: the list's.
    /// - Parameter refused: kinds that can't be ports.
    mutating func checkPorts(_ names: [String], _ path: [PathPart], refusing refused: [any LinkSpec.Type]) {
        let kind = interface.word.lowercased()
        var seen: Set<String> = []
        for (index, name) in names.enumerated() {
            let path = path + [.element(index)]
            guard name != interface.name else {
                report(path, name, "is the \(kind) itself")
                continue
            }
            guard let (ref, port) = declared(name) else {
                reportMissing(path, name, "is not declared")
                continue
            }
            let place = set.place(ref)
            if !seen.insert(name).inserted {
                report(path, name, "is there twice")
            } else if let (taker, word, other) = taker(of: name) {
                report(path, name, "is a port of \(word) \(taker.inQuotes) already", with: other)
            } else if !isBeside(port) {
                report(path, name, "is in another namespace than the \(kind) (\(place))", with: ref)
            } else if port.vrf != nil {
                report(path, name, "is a member of a VRF, so it can't be a port (\(place))", with: ref)
            } else if refused.contains(where: { $0 == type(of: port.link) }) {
                report(path, name, "is a \(port.word), which can't be a port (\(place))", with: ref)
            }
        }
    }

    /// Another interface that has a port.
    private func taker(of port: String) -> (name: String, kind: String, ref: ConfigSet.Ref)? {
        guard let taker = set.first(set.relations.ports[port]), taker != ref else { return nil }
        return (set.item(taker).value.name, set.interface(taker)?.word.lowercased() ?? "", taker)
    }

    /// Another interface, declared earlier, that has what only one can have.
    func holder() -> (name: String, ref: ConfigSet.Ref)? {
        let share = interface.checkedLink.share(in: interface.namespace)
        guard let group = share.flatMap({ set.relations.shares[$0] }), group.only == nil,
            let earlier = set.first(group), earlier != ref, set.item(earlier).key != set.item(ref).key
        else { return nil }
        return (set.item(earlier).value.name.inQuotes, earlier)
    }

    /// Looks at the ends of a tunnel.
    mutating func checkEnds(_ block: String, _ field: String) {
        guard let (name, ref) = holder() else { return }
        report(
            [.field(block), .field(field)], nil,
            "makes it the same tunnel as \(name) in the same namespace (\(set.place(ref)))", with: ref)
    }

    /// Looks at the interface below one that takes its packets before anybody else does: only one can (`rx_handler`).
    mutating func checkIsNoPort(_ name: String, _ block: String) {
        guard let taker = set.first(set.relations.ports[name]), taker != ref, let master = set.interface(taker) else {
            return
        }
        report(
            [.field(block), "parent"], name,
            "is a port of \(master.word.lowercased()) \(master.name.inQuotes) (\(set.place(taker))), and the kernel gives "
                + "the packets of an interface to one of them only", with: taker)
    }

    /// Looks at the MAC address of the interface below, which is that of this one, too.
    mutating func checkSharesMAC(_ name: String, _ block: String) {
        guard let mac = interface.mac, let (ref, parent) = declared(name), let other = parent.mac, mac != other else {
            return
        }
        report(
            ["phys_address"], "\(mac)",
            "is not \(other), the MAC address of \(name.inQuotes) (\(set.place(ref))), and in mode PASSTHRU both have one",
            with: ref)
    }

    /// Looks at the interface below.
    mutating func checkParent(_ name: String, _ block: String, inNamespace: Bool) {
        let path: [PathPart] = [.field(block), "parent"]
        guard name != interface.name else { return report(path, name, "is the interface itself") }
        guard let (first, parent) = declared(name) else {
            return reportMissing(path, name, "is not declared; declare it, as EXISTING if something else makes it")
        }
        if inNamespace, !isBeside(parent) {
            report(path, name, "is in another namespace (\(set.place(first)))", with: first)
        }
        var above = parent
        for _ in 0..<8 {
            guard let (ref, next) = above.checkedLink.parent.flatMap({ declared($0) }) else { return }
            guard ref != self.ref else {
                return report(path, name, "stands on this interface itself (\(set.place(first)))", with: first)
            }
            above = next
        }
    }
}

extension InterfaceSpec {
    /// Whether nothing changed that a check of other interfaces, or of itself beside them, looks at.
    func isSameToOthers(as other: Self) -> Bool {
        name == other.name && hostName == other.hostName && type == other.type && namespace == other.namespace
            && vrf == other.vrf && isEnabled == other.isEnabled && mtu == other.mtu && mac == other.mac
            && addresses.isEmpty == other.addresses.isEmpty && checkedLink.isEqual(to: other.checkedLink)
    }
}
