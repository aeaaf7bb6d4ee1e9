internal import Model
internal import Netlink

/// Our rule chains in an export.
extension RuleChainClass {
    static func export(_ state: NamespaceState, to export: inout Export) throws(KernelError) {
        let world = export.world
        for (id, known) in state.ruleTables.sorted(by: { "\($0.key)" < "\($1.key)" }) {
            guard known.isMarked || !known.marks.isEmpty, let word = RuleChainSpec.Table(id),
                let table = try? world.rules(of: id, word, in: state)
            else { continue }
            for (part, _) in table.parts {
                var message = Ligato_Linux_Iptables_RuleChain()
                message.name = part.mark.name(world.ownership)
                if let reference = export.reference(to: state) { message.namespace = reference }
                message.protocol = id.family == .ip6 ? .ipv6 : .ipv4
                message.table = word.message
                message.chainType = part.isCustom ? .custom : chainType(part.chain)
                if part.isCustom { message.chainName = part.chain }
                switch part.policy {
                case "ACCEPT": message.defaultPolicy = .accept
                case "DROP": message.defaultPolicy = .drop
                default: break
                }
                message.rules = part.rules.map { part.mark.unmarked($0.text) }
                export.others.append(.ruleChain(message))
            }
        }
    }

    private static func chainType(_ name: String) -> Ligato_Linux_Iptables_RuleChain.ChainType {
        switch name {
        case "INPUT": .input
        case "OUTPUT": .output
        case "FORWARD": .forward
        case "PREROUTING": .prerouting
        case "POSTROUTING": .postrouting
        default: .custom
        }
    }
}

extension RuleChainSpec.Table {
    fileprivate var message: Ligato_Linux_Iptables_RuleChain.Table {
        switch self {
        case .filter: .filter
        case .nat: .nat
        case .mangle: .mangle
        case .raw: .raw
        case .security: .security
        }
    }
}
