internal import Model
internal import Northbound
internal import Reconciler

/// What the history keeps beside what was done.
extension HostNetwork {
    /// Notes from now on what is declared otherwise than before.
    func keepDeclaredChanges() { changedKeys = changedKeys ?? [] }

    /// What is declared otherwise than at the last call, by key; nil: it is not declared any more. At the first call that is all.
    func takeDeclaredChanges() -> [Key: ModelValue?] {
        defer { changedKeys = changedKeys.map { _ in [] } }
        guard let changedKeys else { return [:] }
        return Dictionary(uniqueKeysWithValues: changedKeys.map { ($0, declaredValue($0)) })
    }

    /// The sources beside files that declare something.
    var otherSources: [String] { table.sources.filter { $0 != Self.filesSource } }
}
