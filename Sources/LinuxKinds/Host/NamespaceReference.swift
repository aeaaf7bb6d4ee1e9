/// How the configuration names a network namespace.
public enum NamespaceReference: Hashable, Sendable, CustomStringConvertible {
    /// The one the agent runs in.
    case own
    /// A name under /run/netns.
    case named(String)
    /// That of a process.
    case process(Int32)
    /// A file that refers to one.
    case file(String)
    /// That of a container with this label.
    case microservice(String)
    /// That of a pod, `namespace/name`.
    case pod(String)
    /// One that was left, by its number: nothing is to be ours there any more.
    case former(Int)

    /// Whether it takes a watch of its own to see it come and go.
    var hasOwnWatch: Bool {
        switch self {
        case .process, .file: true
        case .own, .named, .microservice, .pod, .former: false
        }
    }

    /// The words for people: `namespace p1`, `the namespace of process 12`.
    public var description: String {
        switch self {
        case .own: "the agent's namespace"
        case .named(let name): "namespace \(name)"
        case .process(let pid): "the namespace of process \(pid)"
        case .file(let path): "namespace \(path)"
        case .microservice(let label): "the namespace of microservice \(label)"
        case .pod(let name): "the namespace of pod \(name)"
        case .former: "the namespace of a container that is gone"
        }
    }

    /// As short as `ip -n` has it; empty for the agent's own.
    public var label: String {
        switch self {
        case .own: ""
        case .named(let name): name
        case .process(let pid): "pid \(pid)"
        case .file(let path): path
        case .microservice(let label): "microservice \(label)"
        case .pod(let name): "pod \(name)"
        case .former: "a container that is gone"
        }
    }

    /// For the end of one-line summaries; empty for the agent's own.
    var suffix: String { self == .own ? "" : " in \(label)" }
}

extension NamespaceState {
    /// All references that lead here.
    var references: Set<NamespaceReference> { otherReferences.union([reference]) }
}
