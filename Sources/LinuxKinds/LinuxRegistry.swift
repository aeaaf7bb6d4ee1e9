public import Model
public import Reconciler

/// Which kind takes which model.
public enum LinuxRegistry {
    /// What a configuration item asks for; what is wrong with it, if it comes from somebody who did not have it checked.
    ///
    /// - Parameter isBrought: Whether a connection brought it, of which a forwarder may have made some already.
    public static func desired(
        _ value: ModelValue, ownership: Ownership, isBrought: Bool = false
    ) -> Desired<LinuxWorld> {
        let checked = value.checked()
        if let obstacle = checked.obstacle { return .invalid(value, obstacle) }
        guard let specification = checked.specification else {
            preconditionFailure("a value without a mistake that is none: \(value.key)")
        }
        return desired(specification, ownership: ownership, isBrought: isBrought)
    }

    /// What a checked value asks for.
    ///
    /// This list is the one place that names every kind.
    ///
    /// - Parameter isBrought: Whether a connection brought it, of which a forwarder may have made some already.
    public static func desired(
        _ specification: Specification, ownership: Ownership, isBrought: Bool = false
    ) -> Desired<LinuxWorld> {
        switch specification {
        case .interface(let spec): .value(Interface(spec, ownership: ownership))
        case .route(let spec): .value(StaticRoute(spec, isBrought: isBrought))
        case .neighbour(let spec): .value(PermanentNeighbour(spec))
        case .rule(let spec): .value(PolicyRule(spec))
        case .filterTable(let spec): .value(FilterTableValue(spec, ownership: ownership))
        case .forwarding(let spec): .value(ForwardingValue(spec))
        case .qdisc(let spec): .value(QdiscValue(spec))
        case .nextHop(let spec): .value(NextHopValue(spec, ownership: ownership))
        case .namespace(let spec): .value(NamedNamespace(spec))
        case .allocation(let spec): .value(Allocation(spec))
        case .ruleChain(let spec): .value(RuleChainKind.value(spec, ownership: ownership))
        case .client(let spec): .unimplemented(kind: "NSM client", summary: spec.name)
        case .endpoint(let spec): .unimplemented(kind: "NSM endpoint", summary: spec.networkService)
        case .service(let spec): .unimplemented(kind: "NSM service", summary: spec.name)
        }
    }
}

extension Desired<LinuxWorld> {
    /// A value that can't be configured.
    static func invalid(_ value: ModelValue, _ finding: Finding) -> Self {
        .invalid(kind: value.kindName, summary: "", error: value.sentence(finding), fields: finding.fields)
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
        case .filterTable: FilterTableValue.kind
        case .forwarding: ForwardingValue.kind
        case .qdisc: QdiscValue.kind
        case .nextHop: NextHopValue.kind
        case .namespace: NamedNamespace.kind
        case .allocation: Allocation.kind
        case .ruleChain: RuleChainKind.word
        case .client: "NSM client"
        case .endpoint: "NSM endpoint"
        case .service: "NSM service"
        }
    }
}
