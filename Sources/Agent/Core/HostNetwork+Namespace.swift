internal import Model
internal import Reconciler

extension HostNetwork {
    /// The namespace that a declared value is in, in the words of ``NamespaceReference/label``; empty: the agent's own, or it
    /// is in none. What uses a declared interface is where that interface is.
    func namespaceLabel(_ key: Key) -> String {
        guard let value = declaredValue(key) else { return "" }
        return switch value {
        case .interface(let message): label(message.name, else: message.namespace)
        case .arp(let message): label(message.interface, else: message.namespace)
        case .route(let message): label(outgoing(message), else: message.namespace)
        case .ruleChain(let message): label(message.namespace)
        case .rule(let message): label(message.namespace)
        case .filterTable(let message): label(message.namespace)
        case .allocation, .client, .endpoint, .namespace: ""
        }
    }

    private func outgoing(_ route: Ligato_Linux_L3_Route) -> String {
        route.outgoingInterface.isEmpty ? route.nextHops.first?.outgoingInterface ?? "" : route.outgoingInterface
    }

    private func label(_ interface: String, else namespace: Ligato_Linux_Namespace_NetNamespace) -> String {
        world.declaredNamespace(of: interface)?.label ?? label(namespace)
    }

    private func label(_ message: Ligato_Linux_Namespace_NetNamespace) -> String {
        switch message.type {
        case .undefined, .UNRECOGNIZED: ""
        case .nsid, .fd: message.reference
        case .pid: "pid \(message.reference)"
        case .microservice: "microservice \(message.reference)"
        }
    }
}
