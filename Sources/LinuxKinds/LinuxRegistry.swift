public import Model
public import Reconciler

/// Which kind takes which model.
public enum LinuxRegistry {
    /// What a configuration item asks for.
    ///
    /// This list is the one place that names every kind.
    public static func desired(_ value: ModelValue, ownership: Ownership) -> Desired<LinuxWorld> {
        do throws(InvalidValue) {
            switch value {
            case .interface(let message): return .value(try Interface(message, ownership: ownership))
            case .route(let message): return .value(try StaticRoute(message))
            case .arp(let message): return .value(try PermanentNeighbour(message))
            case .rule(let message): return .value(try PolicyRule(message))
            case .namespace(let message): return .value(NamedNamespace(name: message.name))
            case .allocation(let message): return .value(try Allocation(message))
            case .ruleChain(let message): return .unimplemented(kind: "rule chain", summary: message.name)
            case .client(let message): return .unimplemented(kind: "NSM client", summary: message.name)
            case .endpoint(let message): return .unimplemented(kind: "NSM endpoint", summary: message.networkService)
            }
        } catch {
            return .invalid(kind: value.kindName, summary: "", error: error.text, fields: error.fields)
        }
    }
}

extension ModelValue {
    /// The word for its kind in status.
    var kindName: String {
        switch self {
        case .interface: Interface.kind
        case .route: StaticRoute.kind
        case .arp: PermanentNeighbour.kind
        case .rule: PolicyRule.kind
        case .namespace: NamedNamespace.kind
        case .allocation: Allocation.kind
        case .ruleChain: "rule chain"
        case .client: "NSM client"
        case .endpoint: "NSM endpoint"
        }
    }
}
