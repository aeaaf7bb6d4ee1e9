public import KubernetesClient

/// Which resources of which Kubernetes API server configure an agent.
public struct KubernetesSettings: Sendable {
    /// Where the API server is, and who we are to it.
    public var client: KubernetesConfiguration
    /// The name of the agent in resources: their `microservice`.
    public var label: String
    /// Where the resources are.
    public var namespace: String
    /// Which of them are looked at, by their labels; empty: all.
    public var selector: String
    /// The one resource that is looked at; nil: all that are selected. The server need not look at the others.
    public var name: String?
    /// The name of the agent in their status: that of its pod.
    public var instance: String
    /// Whether the state of resources is written to them.
    public var reports: Bool

    /// Makes settings.
    public init(
        client: KubernetesConfiguration, label: String, namespace: String? = nil, selector: String = "",
        instance: String, reports: Bool = true
    ) {
        self.client = client
        self.label = label
        self.namespace = namespace ?? client.namespace
        self.selector = selector
        self.instance = instance
        self.reports = reports
    }
}
