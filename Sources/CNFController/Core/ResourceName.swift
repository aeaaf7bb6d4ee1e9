/// Names a resource in its namespace.
public struct ResourceName: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The namespace.
    public let namespace: String
    /// The name.
    public let name: String

    /// Makes a name.
    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// `NAMESPACE/NAME`.
    public var description: String { "\(namespace)/\(name)" }

    /// By namespace, then by name.
    public static func < (left: Self, right: Self) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

/// How old a resource is: of two that want one key, neither of which has it yet, the older one gets it.
public struct ResourceAge: Hashable, Comparable, Sendable {
    /// When it was made, as the API server writes it: such times sort as texts.
    let created: String
    let name: ResourceName

    /// Makes an age.
    public init(created: String, name: ResourceName) {
        self.created = created
        self.name = name
    }

    /// The older one first; of those of one second, by name.
    public static func < (left: Self, right: Self) -> Bool {
        (left.created, left.name) < (right.created, right.name)
    }
}
