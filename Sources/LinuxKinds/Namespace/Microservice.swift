internal import Netlink
public import Reconciler

/// A container that values name by its label or its pod, as it stands in status and graph: it is there, or why not.
public struct Microservice: Value {
    /// The word for it in status.
    public static let kind = "microservice"
    /// Before everything that is in one.
    public static let rank = 1

    let name: ContainerName

    /// Stands for a container that values name.
    public init(_ name: ContainerName) { self.name = name }

    /// None: others make it.
    public var dependencies: [Dependency<LinuxWorld>] { [] }
    /// `microservice web`
    public var summary: String { "\(name)" }
    /// It is as others made it.
    public static var isObtained: Bool { true }

    /// That it does not run, or can't be reached.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(NamespaceReference(name)).map { [$0] } ?? []
    }

    /// It is not made by us.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> { .inPlace }
}

/// By what values name a container.
public enum ContainerName: Hashable, Sendable, CustomStringConvertible {
    /// The label in its environment.
    case label(String)
    /// A pod, `namespace/name`.
    case pod(String)

    /// `microservice web`, `pod default/web`
    public var description: String {
        switch self {
        case .label(let label): "microservice \(label)"
        case .pod(let name): "pod \(name)"
        }
    }

    /// The key under which it stands in status and graph.
    public var key: Key {
        switch self {
        case .label(let label): "linux/microservice/\(label)"
        case .pod(let name): "linux/pod/\(name)"
        }
    }
}

extension NamespaceReference {
    init(_ name: ContainerName) {
        switch name {
        case .label(let label): self = .microservice(label)
        case .pod(let pod): self = .pod(pod)
        }
    }

    /// The container that it names; nil: it names something else.
    var container: ContainerName? {
        switch self {
        case .microservice(let label): .label(label)
        case .pod(let name): .pod(name)
        case .own, .named, .process, .file, .former: nil
        }
    }

    /// That the container it names is there.
    var dependencies: [Dependency<LinuxWorld>] {
        guard let container else { return [] }
        return [Dependency(label: "microservice-available", target: .keyIfDeclared(container.key))]
    }
}
