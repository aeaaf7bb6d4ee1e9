public import LinuxKinds

/// The settings that an agent starts with.
public struct AgentSettings: Sendable {
    /// The owner of everything it makes: `default` unless set.
    public var label: String
    /// Protocol number of its addresses, routes, neighbours and rules; nil: the one that follows from the label.
    public var proto: UInt8?
    /// Where named network namespaces are.
    public var namespaceDirectory: String

    /// Makes settings.
    public init(label: String = "default", proto: UInt8? = nil, namespaceDirectory: String = "/run/netns") {
        self.label = label
        self.proto = proto
        self.namespaceDirectory = namespaceDirectory
    }

    /// The marks of the owner.
    public var ownership: Ownership { Ownership(label: label, proto: proto) }
}
