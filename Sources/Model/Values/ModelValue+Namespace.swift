extension ModelValue {
    /// The network namespace that it names itself; nil: none, so it is in the agent's own, or where the interface is that it
    /// belongs to.
    public var namespace: Ligato_Linux_Namespace_NetNamespace? {
        let namespace: Ligato_Linux_Namespace_NetNamespace
        switch self {
        case .interface(let message): namespace = message.namespace
        case .arp(let message): namespace = message.namespace
        case .route(let message): namespace = message.namespace
        case .ruleChain(let message): namespace = message.namespace
        case .rule(let message): namespace = message.namespace
        case .filterTable(let message): namespace = message.namespace
        case .forwarding(let message): namespace = message.namespace
        case .qdisc(let message): namespace = message.namespace
        case .nextHop(let message): namespace = message.namespace
        case .allocation, .client, .endpoint, .service, .namespace: return nil
        }
        return namespace.type == .undefined ? nil : namespace
    }
}
