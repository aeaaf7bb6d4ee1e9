/// A kind of objects, as its path says it.
public struct KubernetesResource: Sendable, Hashable, CustomStringConvertible {
    /// The API group; empty for the core one.
    public let group: String
    /// The version, such as `v1`.
    public let version: String
    /// The name in paths, such as `pods`.
    public let plural: String
    /// The kind, such as `Pod`.
    public let kind: String
    /// Whether its objects are in namespaces.
    public let isNamespaced: Bool

    /// Names a kind of objects.
    public init(group: String, version: String, plural: String, kind: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// `CNFConfiguration` of `pantheon.tech`.
    public static let cnfConfiguration = KubernetesResource(
        group: "pantheon.tech", version: "v1", plural: "cnfconfigurations", kind: "CNFConfiguration")
    /// Leases, by which replicas agree who leads.
    public static let lease = KubernetesResource(
        group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease")
    /// What is said of objects.
    public static let event = KubernetesResource(
        group: "events.k8s.io", version: "v1", plural: "events", kind: "Event")
    /// Pods.
    public static let pod = KubernetesResource(group: "", version: "v1", plural: "pods", kind: "Pod")
    /// Definitions of kinds of objects.
    public static let definition = KubernetesResource(
        group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition", isNamespaced: false)

    /// `GROUP/VERSION`, or the version alone.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `PLURAL.GROUP`.
    public var description: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// - Parameter namespace: Nil: all of them.
    func path(namespace: String?, name: String? = nil, part: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if isNamespaced, let namespace { path += "/namespaces/\(HTTPRequest.escape(namespace))" }
        path += "/\(plural)"
        if let name { path += "/\(HTTPRequest.escape(name))" }
        if let part { path += "/\(part)" }
        return path
    }
}

/// An object of the API server.
public struct KubernetesObject: Sendable, Hashable {
    /// All that it says.
    public var json: JSONValue

    /// An object from what it says.
    public init(_ json: JSONValue) { self.json = json }

    private var metadata: JSONValue? { json["metadata"] }

    /// Its kind.
    public var kind: String { json["kind"]?.string ?? "" }
    /// Its name.
    public var name: String { metadata?["name"]?.string ?? "" }
    /// Its namespace; empty: it is in none.
    public var namespace: String { metadata?["namespace"]?.string ?? "" }
    /// What tells it from one of the same name that was there before.
    public var uid: String { metadata?["uid"]?.string ?? "" }
    /// Its version, which means something to the server only.
    public var resourceVersion: String { metadata?["resourceVersion"]?.string ?? "" }
    /// Counts changes of what is wanted.
    public var generation: Int64 { metadata?["generation"]?.int ?? 0 }
    /// Whether it is being deleted, and kept by finalizers.
    public var isDeleting: Bool { metadata?["deletionTimestamp"]?.string != nil }
    /// Who must be done before it goes.
    public var finalizers: [String] { metadata?["finalizers"]?.array?.compactMap(\.string) ?? [] }
    /// Its labels.
    public var labels: [String: String] {
        var labels: [String: String] = [:]
        for member in metadata?["labels"]?.members ?? [] { labels[member.key] = member.value.string }
        return labels
    }

    /// `NAMESPACE/NAME`, or the name alone.
    public var path: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }

    /// A part of it.
    public subscript(key: String) -> JSONValue? {
        get { json[key] }
        set { json[key] = newValue }
    }
}

/// Objects that were listed.
public struct KubernetesList: Sendable {
    /// The version of the list, from which it can be watched.
    public var resourceVersion: String
    /// The objects.
    public var objects: [KubernetesObject]
}

/// How an object is patched.
public enum KubernetesPatch: Sendable {
    /// Members that are given are set; those that are null go (RFC 7386).
    case merge(JSONValue)
    /// Steps (RFC 6902).
    case steps(JSONValue)
    /// What somebody wants of the object, and nothing else of what he wanted before (server-side apply).
    ///
    /// - Parameters:
    ///   - manager: Who wants it.
    ///   - isForced: Whether what others want of the same fields is overruled.
    case apply(JSONValue, manager: String, isForced: Bool)
}
