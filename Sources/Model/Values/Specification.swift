/// A value as it is meant: typed, checked, with its defaults.
///
/// Made from a message by ``ModelValue/checked(suggestions:)``, and in no other way: what is one of these is not looked at
/// again for mistakes, whether it came from a file, from a client or from a connection. Each is kept on its own, as it is with
/// ``ModelValue``.
public indirect enum Specification: Hashable, Sendable {
    /// A network interface.
    case interface(InterfaceSpec)
    /// A permanent neighbour.
    case neighbour(NeighbourSpec)
    /// A route.
    case route(RouteSpec)
    /// A chain of packet filter rules.
    case ruleChain(RuleChainSpec)
    /// An IP allocation.
    case allocation(AllocationSpec)
    /// A connection to a network service.
    case client(ClientSpec)
    /// A network service that is offered.
    case endpoint(EndpointSpec)
    /// A named network namespace.
    case namespace(NamespaceSpec)
    /// A policy rule.
    case rule(RuleSpec)
    /// A table of packet filter and NAT rules.
    case filterTable(FilterTableSpec)
    /// A forwarding entry.
    case forwarding(ForwardingSpec)
    /// How packets queue at an interface.
    case qdisc(QdiscSpec)
    /// A nexthop object.
    case nextHop(NextHopSpec)
    /// A network service with its matches.
    case service(NetworkServiceSpec)
}

/// What came of checking a value.
public struct CheckedValue: Sendable, Hashable {
    /// The value as it is meant; nil when it has a mistake or is of a kind that can't be here.
    public let specification: Specification?
    /// What is to be said of its fields: the first 100 mistakes, what can't be configured here, warnings.
    public let findings: [Finding]
    /// How many more mistakes there are.
    public let omittedMistakes: Int

    /// Whether nothing is wrong with the value. It may still be one that can never be configured here.
    public var isValid: Bool { !findings.contains { $0.weight == .mistake } }

    /// Why the value can't be configured here, nil when it can: the first mistake, or what is impossible.
    public var obstacle: Finding? {
        findings.first { $0.weight == .mistake } ?? findings.first { $0.weight == .impossible }
    }
}

extension ModelValue {
    /// The typed value, or what is wrong with its fields.
    ///
    /// The one place where the content of fields is looked at. A message from a file has passed the decoder before,
    /// which knows the shape of fields only.
    ///
    /// - Parameter suggestions: for how many mistakes a suggestion is looked for, which takes time.
    public func checked(suggestions: Int = 10) -> CheckedValue {
        var findings = FieldFindings(suggestions: suggestions)
        let specification: Specification? =
            switch self {
            case .interface(let message): InterfaceSpec(message, &findings).map { .interface($0) }
            case .arp(let message): NeighbourSpec(message, &findings).map { .neighbour($0) }
            case .route(let message): RouteSpec(message, &findings).map { .route($0) }
            case .ruleChain(let message): RuleChainSpec(message, &findings).map { .ruleChain($0) }
            case .allocation(let message): AllocationSpec(message, &findings).map { .allocation($0) }
            case .client(let message): ClientSpec(message, &findings).map { .client($0) }
            case .endpoint(let message): EndpointSpec(message, &findings).map { .endpoint($0) }
            case .namespace(let message): NamespaceSpec(message, &findings).map { .namespace($0) }
            case .rule(let message): RuleSpec(message, &findings).map { .rule($0) }
            case .filterTable(let message): FilterTableSpec(message, &findings).map { .filterTable($0) }
            case .forwarding(let message): ForwardingSpec(message, &findings).map { .forwarding($0) }
            case .qdisc(let message): QdiscSpec(message, &findings).map { .qdisc($0) }
            case .nextHop(let message): NextHopSpec(message, &findings).map { .nextHop($0) }
            case .service(let message): NetworkServiceSpec(message, &findings).map { .service($0) }
            }
        return CheckedValue(
            specification: findings.isBroken ? nil : specification, findings: findings.list,
            omittedMistakes: findings.omitted)
    }

    /// `linux.l3.route '10.0.0.0/8/e': gw_addr 'x' is not an IP address`: a finding as a sentence about this value.
    public func sentence(_ finding: Finding) -> String { "\(Label.of(self)): \(finding)" }
}
