internal import Model

extension NamespaceReference {
    init(_ namespace: NetNamespace) {
        switch namespace {
        case .own: self = .own
        case .named(let name): self = .named(name)
        case .process(let pid): self = .process(pid)
        case .file(let path): self = .file(path)
        case .microservice(let label): self = .microservice(label)
        case .pod(let name): self = .pod(name)
        }
    }
}
