internal import Model
internal import Reconciler

extension HostNetwork {
    /// The namespace that a declared value is in, in the words of ``NamespaceReference/label``; empty: the agent's own, or it
    /// is in none. What uses a declared interface is where that interface is.
    func namespaceLabel(_ key: Key) -> String {
        guard let value = declaredValue(key) else { return "" }
        let interface: String
        switch value {
        case .interface(let message): interface = message.name
        case .arp(let message): interface = message.interface
        case .forwarding(let message): interface = message.interface
        case .qdisc(let message): interface = message.interface
        case .route(let message) where !message.nexthop.isEmpty:
            return world.declaredNamespace(ofNextHop: message.nexthop)?.label ?? ""
        case .route(let message): interface = outgoing(message)
        case .nextHop(let message): return world.declaredNamespace(ofNextHop: message.name)?.label ?? ""
        case .ruleChain, .rule, .filterTable, .allocation, .client, .endpoint, .service, .namespace: interface = ""
        }
        return world.declaredNamespace(of: interface)?.label ?? value.namespace.map(label) ?? ""
    }

    private func outgoing(_ route: Ligato_Linux_L3_Route) -> String {
        route.outgoingInterface.isEmpty ? route.nextHops.first?.outgoingInterface ?? "" : route.outgoingInterface
    }

    private func label(_ message: Ligato_Linux_Namespace_NetNamespace) -> String {
        switch message.type {
        case .undefined, .UNRECOGNIZED: ""
        case .nsid, .fd: message.reference
        case .pid: "pid \(message.reference)"
        case .microservice: "microservice \(message.reference)"
        case .pod: "pod \(message.reference)"
        }
    }
}
