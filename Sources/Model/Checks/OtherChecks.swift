internal import NetworkTypes

extension Checker {
    /// Checks a neighbour.
    mutating func check(arp: Ligato_Linux_L3_ARPEntry, _ item: Int) {
        check(name: arp.interface, item, "interface", what: "the name of an interface")
        if arp.hasNamespace { check(namespace: arp.namespace, item) }
        if arp.ipAddress.isEmpty {
            report(item, ["ip_address"], "is missing")
        } else if arp.ipAddress.isReference {
            check(reference: arp.ipAddress, item, ["ip_address"], owner: arp.interface, gateway: .allowed)
        } else if let address = parseAddress(arp.ipAddress), address.isMulticast || address.isUnspecified {
            report(item, ["ip_address"], value: arp.ipAddress, "can't be the address of a neighbour")
        }
        if arp.proxy {
            if !arp.hwAddress.isEmpty {
                report(
                    item, ["hw_address"], value: arp.hwAddress,
                    "does not belong to a proxy entry: the agent's host answers")
            }
        } else if arp.hwAddress.isEmpty {
            report(item, ["hw_address"], "is missing")
        } else {
            check(mac: arp.hwAddress, item, "hw_address")
        }
    }

    /// Checks a named namespace.
    mutating func check(namespace: Nsmagent_Linux_Namespace, _ item: Int) {
        check(name: namespace.name, item, "name")
        if !namespace.name.isEmpty, let problem = Self.mistake(inNamespace: namespace.name) {
            report(item, ["name"], value: namespace.name, problem)
        }
    }

    /// Checks an IP allocation.
    mutating func check(allocation: Ligato_Netalloc_IPAllocation, _ item: Int) {
        check(name: allocation.networkName, item, "network_name")
        if allocation.networkName.utf8.contains(UInt8(ascii: "/")) {
            report(item, ["network_name"], value: allocation.networkName, "holds a '/'")
        }
        check(name: allocation.interfaceName, item, "interface_name", what: "the name of an interface")
        if allocation.address.isEmpty { report(item, ["address"], "is missing") }
        if let gateway = parsePrefix(allocation.gw), let address = parsePrefix(allocation.address),
            gateway.family != address.family
        {
            report(
                item, ["gw"], value: allocation.gw, "is \(gateway.family.word), but address is \(address.family.word)")
        }
    }

    /// Checks a rule chain: which chains and policies a table has.
    mutating func check(chain: Ligato_Linux_Iptables_RuleChain, _ item: Int) {
        check(name: chain.name, item, "name")
        if chain.hasNamespace { check(namespace: chain.namespace, item) }
        let kind = Schema.plain.enumName(chain.chainType.rawValue, of: "ligato.linux.iptables.RuleChain.ChainType")
        let table = Schema.plain.enumName(chain.table.rawValue, of: "ligato.linux.iptables.RuleChain.Table")
        if chain.chainType == .custom, chain.chainName.isEmpty {
            report(item, ["chain_name"], "is missing; a CUSTOM chain needs one")
        }
        let missing: [Ligato_Linux_Iptables_RuleChain.ChainType] =
            switch chain.table {
            case .filter, .security: [.prerouting, .postrouting]
            case .nat: [.input, .forward]
            case .raw: [.input, .forward, .postrouting]
            case .mangle, .UNRECOGNIZED: []
            }
        if missing.contains(chain.chainType) {
            report(item, ["chain_type"], value: kind, "is not a chain of table \(table)")
        }
        if chain.defaultPolicy != .none, chain.table != .filter || chain.chainType == .custom {
            report(item, ["default_policy"], "is only for built-in chains of table FILTER")
        }
    }
}
