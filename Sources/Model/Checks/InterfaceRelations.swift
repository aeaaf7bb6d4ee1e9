/// What checks across interfaces need to know of one.
struct InterfaceFacts {
    var item: Int
    var name: String
    /// The name in the kernel.
    var hostName: String
    var type: Interface.TypeEnum
    var namespace: Int
}

extension Checker {
    private struct HostName: Hashable {
        var namespace: Int
        var name: String
    }

    /// Notes what other interfaces may ask about.
    mutating func remember(_ interface: Interface, _ item: Int) {
        let host = interface.hostIfName
        let facts = InterfaceFacts(
            item: item, name: interface.name,
            hostName: interface.type == .loopback ? "lo" : host.isEmpty ? interface.name : host, type: interface.type,
            namespace: number(of: interface.hasNamespace ? interface.namespace : nil))
        interfaceByName[facts.name] = interfaceByName[facts.name] ?? interfaces.count
        interfaces.append(facts)
    }

    /// Checks what interfaces say of each other.
    mutating func checkInterfacesTogether() {
        var hosts: [HostName: Int] = [:]
        hosts.reserveCapacity(interfaces.count)
        var ports: [String: Int] = [:]
        var vlans: [VlanTag: Int] = [:]
        for index in interfaces.indices {
            let facts = interfaces[index]
            guard case .interface(let message) = config.items[facts.item].value else { continue }
            checkHostName(facts, message, &hosts)
            if !message.vrfMasterInterface.isEmpty, facts.type != .vrfDevice { checkMaster(facts, message) }
            switch facts.type {
            case .veth: checkPeer(facts, message)
            case .bridge: checkPorts(facts, message, &ports)
            case .vlan:
                checkParent(facts, message.vlan.parent, "vlan", inNamespace: true)
                checkTag(facts, message.vlan, &vlans)
            case .vxlan: checkParent(facts, message.vxlan.parent, "vxlan", inNamespace: false)
            case .macvlan: checkParent(facts, message.macvlan.parent, "macvlan", inNamespace: false)
            case .ipvlan: checkParent(facts, message.ipvlan.parent, "ipvlan", inNamespace: false)
            case .undefined, .tapToVpp, .loopback, .existing, .dummy, .tap, .vrfDevice, .UNRECOGNIZED: break
            }
        }
    }

    /// Notes that an interface is referred to but not declared, unless a mistake noted before explains that.
    private mutating func reportMissing(_ name: String, _ facts: InterfaceFacts, _ path: [PathPart], _ text: String) {
        guard !isIncomplete, !brokenInterfaces.contains(name), !services.mayBring(name) else { return }
        let candidates = interfaces.lazy.map(\.name).filter { $0 != facts.name }
        report(facts.item, path, value: name, "\(text)\(hint(for: name, among: candidates))")
    }

    private func facts(named name: String) -> InterfaceFacts? { interfaceByName[name].map { interfaces[$0] } }

    private func message(_ facts: InterfaceFacts) -> Interface {
        guard case .interface(let message) = config.items[facts.item].value else { return Interface() }
        return message
    }

    private mutating func checkHostName(_ facts: InterfaceFacts, _ message: Interface, _ hosts: inout [HostName: Int]) {
        let key = HostName(namespace: facts.namespace, name: facts.hostName)
        guard let earlier = hosts.updateValue(facts.item, forKey: key) else { return }
        hosts[key] = earlier
        // One logical name declared twice is reported as such.
        guard config.items[earlier].key != config.items[facts.item].key else { return }
        let field: PathPart = message.hostIfName.isEmpty || facts.type == .loopback ? "name" : "host_if_name"
        let other = config.items[earlier].value.name.inQuotes
        report(
            facts.item, [field],
            "makes it '\(facts.hostName)' in the kernel, which is also \(other) in the same namespace "
                + "(\(position(of: [], in: earlier)))")
    }

    private mutating func checkPeer(_ facts: InterfaceFacts, _ message: Interface) {
        let name = message.veth.peerIfName
        let path: [PathPart] = ["veth", "peer_if_name"]
        guard !name.isEmpty else { return }
        guard name != facts.name else { return report(facts.item, path, value: name, "is the interface itself") }
        guard let peer = self.facts(named: name) else {
            return reportMissing(name, facts, path, "is not declared; both halves of a pair are")
        }
        guard peer.type == .veth else {
            return report(facts.item, path, value: name, "is a \(peer.type.word), not a VETH (\(place(peer)))")
        }
        let back = self.message(peer).veth.peerIfName
        if back != facts.name, !back.isEmpty {
            report(
                facts.item, path, value: name,
                "names \(back.inQuotes) as its peer, not \(facts.name.inQuotes) (\(place(peer)))")
        }
    }

    private func place(_ facts: InterfaceFacts) -> SourcePosition { position(of: [], in: facts.item) }

    private mutating func checkMaster(_ facts: InterfaceFacts, _ message: Interface) {
        let name = message.vrfMasterInterface
        let path: [PathPart] = ["vrf_master_interface"]
        guard name != facts.name else { return report(facts.item, path, value: name, "is the interface itself") }
        guard let master = self.facts(named: name) else {
            return reportMissing(name, facts, path, "is not declared")
        }
        guard master.type == .vrfDevice || master.type == .existing else {
            return report(
                facts.item, path, value: name, "is a \(master.type.word), not a VRF_DEVICE (\(place(master)))")
        }
        if master.namespace != facts.namespace {
            report(facts.item, path, value: name, "is in another namespace (\(place(master)))")
        }
    }

    private mutating func checkPorts(_ facts: InterfaceFacts, _ message: Interface, _ taken: inout [String: Int]) {
        for (index, name) in message.bridge.ports.enumerated() {
            let path: [PathPart] = ["bridge", "ports", .element(index)]
            guard name != facts.name else {
                report(facts.item, path, value: name, "is the bridge itself")
                continue
            }
            guard let port = self.facts(named: name) else {
                reportMissing(name, facts, path, "is not declared")
                continue
            }
            if let earlier = taken.updateValue(facts.item, forKey: name) {
                let bridge = config.items[earlier].value.name
                let text = earlier == facts.item ? "is there twice" : "is a port of bridge \(bridge.inQuotes) already"
                report(facts.item, path, value: name, text)
            } else if port.namespace != facts.namespace {
                report(facts.item, path, value: name, "is in another namespace than the bridge (\(place(port)))")
            } else if !self.message(port).vrfMasterInterface.isEmpty {
                report(facts.item, path, value: name, "is a member of a VRF, so it can't be a port (\(place(port)))")
            } else if port.type == .bridge || port.type == .loopback {
                report(facts.item, path, value: name, "is a \(port.type.word), which can't be a port (\(place(port)))")
            }
        }
    }
}

extension Checker {
    private struct VlanTag: Hashable {
        var parent: String
        var id: UInt32
        var proto: Int
    }

    private mutating func checkTag(
        _ facts: InterfaceFacts, _ vlan: Ligato_Linux_Interfaces_VlanLink, _ tags: inout [VlanTag: Int]
    ) {
        guard vlan.id != 0, !vlan.parent.isEmpty else { return }
        let tag = VlanTag(parent: vlan.parent, id: vlan.id, proto: vlan.protocol.rawValue)
        guard let earlier = tags[tag] else {
            tags[tag] = facts.item
            return
        }
        guard config.items[earlier].key != config.items[facts.item].key else { return }
        let other = config.items[earlier].value.name.inQuotes
        report(
            facts.item, ["vlan", "id"], value: String(vlan.id),
            "is taken on \(vlan.parent.inQuotes) by \(other) (\(position(of: [], in: earlier)))")
    }

    private mutating func checkParent(_ facts: InterfaceFacts, _ name: String, _ block: String, inNamespace: Bool) {
        let path: [PathPart] = [.field(block), "parent"]
        guard !name.isEmpty else { return }
        guard name != facts.name else { return report(facts.item, path, value: name, "is the interface itself") }
        guard let parent = self.facts(named: name) else {
            let text = "is not declared; declare it, as EXISTING if something else makes it"
            return reportMissing(name, facts, path, text)
        }
        if inNamespace, parent.namespace != facts.namespace {
            report(facts.item, path, value: name, "is in another namespace (\(place(parent)))")
        }
        // The kernel stacks devices at most 8 deep (`MAX_NEST_DEV`), so a longer walk can only be a circle.
        var above = parent
        for _ in 0..<8 {
            guard let next = self.facts(named: parentName(of: above)) else { return }
            guard next.item != facts.item else {
                return report(facts.item, path, value: name, "stands on this interface itself (\(place(parent)))")
            }
            above = next
        }
    }

    private func parentName(of facts: InterfaceFacts) -> String {
        switch facts.type {
        case .vlan: message(facts).vlan.parent
        case .vxlan: message(facts).vxlan.parent
        case .macvlan: message(facts).macvlan.parent
        case .ipvlan: message(facts).ipvlan.parent
        default: ""
        }
    }
}
