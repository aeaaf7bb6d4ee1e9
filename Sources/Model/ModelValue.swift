public import SwiftProtobuf

/// A value a user wrote: a message of one of the models.
///
/// Messages have up to 200 bytes in place; the values of a configuration are copied from list to list, and dictionaries keep
/// room for more of them than they have. So each is kept on its own.
public indirect enum ModelValue: Sendable, Hashable {
    /// A network interface.
    case interface(Ligato_Linux_Interfaces_Interface)
    /// A permanent neighbour.
    case arp(Ligato_Linux_L3_ARPEntry)
    /// A route.
    case route(Ligato_Linux_L3_Route)
    /// A chain of packet filter rules.
    case ruleChain(Ligato_Linux_Iptables_RuleChain)
    /// An IP allocation.
    case allocation(Ligato_Netalloc_IPAllocation)
    /// A connection to a network service.
    case client(Upnp_NetworkServiceClient)
    /// A network service that is offered.
    case endpoint(Upnp_NetworkServiceEndpoint)
    /// A named network namespace.
    case namespace(Nsmagent_Linux_Namespace)
    /// A policy rule.
    case rule(Nsmagent_Linux_Rule)
    /// A table of packet filter and NAT rules.
    case filterTable(Nsmagent_Linux_FilterTable)
    /// A forwarding entry.
    case forwarding(Nsmagent_Linux_ForwardingEntry)
    /// How packets queue at an interface.
    case qdisc(Nsmagent_Linux_Qdisc)
    /// A nexthop object.
    case nextHop(Nsmagent_Linux_Nexthop)
    /// A network service with its matches.
    case service(Nsmagent_Nsm_NetworkService)

    /// Which model it is of.
    public var kind: ModelDescription.Kind {
        switch self {
        case .interface: .interface
        case .arp: .arp
        case .route: .route
        case .ruleChain: .ruleChain
        case .allocation: .allocation
        case .client: .client
        case .endpoint: .endpoint
        case .namespace: .namespace
        case .rule: .rule
        case .filterTable: .filterTable
        case .forwarding: .forwarding
        case .qdisc: .qdisc
        case .nextHop: .nextHop
        case .service: .service
        }
    }

    /// The model it is of.
    public var model: ModelDescription { ModelRegistry.model(kind) }

    /// The message alone.
    public var message: any Message {
        switch self {
        case .interface(let message): message
        case .arp(let message): message
        case .route(let message): message
        case .ruleChain(let message): message
        case .allocation(let message): message
        case .client(let message): message
        case .endpoint(let message): message
        case .namespace(let message): message
        case .rule(let message): message
        case .filterTable(let message): message
        case .forwarding(let message): message
        case .qdisc(let message): message
        case .nextHop(let message): message
        case .service(let message): message
        }
    }

    /// Decodes a message of a model from its wire form.
    public init(_ kind: ModelDescription.Kind, serializedBytes bytes: some SwiftProtobufContiguousBytes) throws {
        switch kind {
        case .interface: self = .interface(try Ligato_Linux_Interfaces_Interface(serializedBytes: bytes))
        case .arp: self = .arp(try Ligato_Linux_L3_ARPEntry(serializedBytes: bytes))
        case .route: self = .route(try Ligato_Linux_L3_Route(serializedBytes: bytes))
        case .ruleChain: self = .ruleChain(try Ligato_Linux_Iptables_RuleChain(serializedBytes: bytes))
        case .allocation: self = .allocation(try Ligato_Netalloc_IPAllocation(serializedBytes: bytes))
        case .client: self = .client(try Upnp_NetworkServiceClient(serializedBytes: bytes))
        case .endpoint: self = .endpoint(try Upnp_NetworkServiceEndpoint(serializedBytes: bytes))
        case .namespace: self = .namespace(try Nsmagent_Linux_Namespace(serializedBytes: bytes))
        case .rule: self = .rule(try Nsmagent_Linux_Rule(serializedBytes: bytes))
        case .filterTable: self = .filterTable(try Nsmagent_Linux_FilterTable(serializedBytes: bytes))
        case .forwarding: self = .forwarding(try Nsmagent_Linux_ForwardingEntry(serializedBytes: bytes))
        case .qdisc: self = .qdisc(try Nsmagent_Linux_Qdisc(serializedBytes: bytes))
        case .nextHop: self = .nextHop(try Nsmagent_Linux_Nexthop(serializedBytes: bytes))
        case .service: self = .service(try Nsmagent_Nsm_NetworkService(serializedBytes: bytes))
        }
    }
}
