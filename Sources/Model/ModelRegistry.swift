/// One kind of value a user can write.
public struct ModelDescription: Sendable, Hashable {
    /// Which one it is; also its place in ``ModelRegistry/all``.
    public enum Kind: Int, Sendable, Hashable, CaseIterable {
        /// `linux.interfaces.interface`
        case interface
        /// `linux.l3.arp`
        case arp
        /// `linux.l3.route`
        case route
        /// `linux.iptables.rulechain`
        case ruleChain
        /// `netalloc.ip`
        case allocation
        /// `cnf.nsm.client`
        case client
        /// `cnf.nsm.endpoint`
        case endpoint
        /// `nsmagent.linux.namespace`
        case namespace
        /// `nsmagent.linux.rule`
        case rule
        /// `nsmagent.linux.nftables`
        case filterTable
        /// `nsmagent.linux.fdb`
        case forwarding
        /// `nsmagent.linux.qdisc`
        case qdisc
        /// `nsmagent.linux.nexthop`
        case nextHop
        /// `nsmagent.nsm.service`
        case service
    }

    /// Which one it is.
    public let kind: Kind
    /// The module, such as `linux.interfaces`.
    public let module: String
    /// The version, such as `v2`.
    public let version: String
    /// The type within the module, such as `interface`.
    public let type: String
    /// The message that holds a value, such as `ligato.linux.interfaces.Interface`.
    public let protoMessage: String
    /// The file the message is described in.
    public let protoFile: String
    /// How clients make a value's name from its fields: a Go text template.
    public let nameTemplate: String
    /// The group of a configuration file, such as `linuxConfig`.
    public let group: String
    /// The list within the group, such as `arpEntries`.
    public let list: String
    /// The list's other accepted name, such as `arp_entries`; equal to ``list`` when there is none.
    public let otherList: String

    /// `<module>.<type>`, such as `linux.interfaces.interface`.
    public let name: String
    /// What all keys of this model begin with, such as `config/linux/interfaces/v2/interface/`.
    public let keyPrefix: String

    init(
        _ kind: Kind, _ module: String, _ version: String, _ type: String, message: String, file: String,
        template: String, list: (group: String, name: String, other: String?)
    ) {
        self.kind = kind
        self.module = module
        self.version = version
        self.type = type
        self.protoMessage = message
        self.protoFile = file
        self.nameTemplate = template
        self.group = list.group
        self.list = list.name
        self.otherList = list.other ?? list.name
        self.name = "\(module).\(type)"
        let folder = String(module.map { $0 == "." ? "/" : $0 })
        self.keyPrefix = "config/\(folder)/\(version)/\(type)/"
    }
}

/// All kinds of values a user can write.
public enum ModelRegistry {
    private static let routeTemplate = """
        {{with ipnet .DstNetwork}}{{printf "%s/%d" .IP .MaskSize}}{{else}}{{.DstNetwork}}{{end}}/{{.OutgoingInterface}}
        """

    /// Every model, in the order of ``ModelDescription/Kind``.
    public static let all: [ModelDescription] = [
        ModelDescription(
            .interface, "linux.interfaces", "v2", "interface", message: "ligato.linux.interfaces.Interface",
            file: "ligato/linux/interfaces/interface.proto", template: "{{.Name}}",
            list: ("linuxConfig", "interfaces", nil)),
        ModelDescription(
            .arp, "linux.l3", "v2", "arp", message: "ligato.linux.l3.ARPEntry", file: "ligato/linux/l3/arp.proto",
            template: "{{.Interface}}/{{.IpAddress}}", list: ("linuxConfig", "arpEntries", "arp_entries")),
        ModelDescription(
            .route, "linux.l3", "v2", "route", message: "ligato.linux.l3.Route", file: "ligato/linux/l3/route.proto",
            template: routeTemplate, list: ("linuxConfig", "routes", nil)),
        ModelDescription(
            .ruleChain, "linux.iptables", "v2", "rulechain", message: "ligato.linux.iptables.RuleChain",
            file: "ligato/linux/iptables/iptables.proto", template: "{{.Name}}",
            list: ("linuxConfig", "RuleChain", nil)),
        ModelDescription(
            .allocation, "netalloc", "v1", "ip", message: "ligato.netalloc.IPAllocation",
            file: "ligato/netalloc/netalloc.proto",
            template: "network/{{.NetworkName}}/interface/{{.InterfaceName}}",
            list: ("netallocConfig", "ipAddresses", "ip_addresses")),
        ModelDescription(
            .client, "cnf.nsm", "v1", "client", message: "upnp.NetworkServiceClient", file: "nsm/nsm.proto",
            template: "{{.Name}}", list: ("cnfConfig", "NetworkServiceClient_list", nil)),
        ModelDescription(
            .endpoint, "cnf.nsm", "v1", "endpoint", message: "upnp.NetworkServiceEndpoint", file: "nsm/nsm.proto",
            template: "{{.NetworkService}}", list: ("cnfConfig", "NetworkServiceEndpoint_list", nil)),
        ModelDescription(
            .namespace, "nsmagent.linux", "v1", "namespace", message: "nsmagent.linux.Namespace",
            file: "nsmagent/linux.proto", template: "{{.Name}}", list: ("linuxConfig", "namespaces", nil)),
        ModelDescription(
            .rule, "nsmagent.linux", "v1", "rule", message: "nsmagent.linux.Rule", file: "nsmagent/linux.proto",
            template: "{{.Name}}", list: ("linuxConfig", "rules", nil)),
        ModelDescription(
            .filterTable, "nsmagent.linux", "v1", "nftables", message: "nsmagent.linux.FilterTable",
            file: "nsmagent/linux.proto", template: "{{.Name}}", list: ("linuxConfig", "nftables", nil)),
        ModelDescription(
            .forwarding, "nsmagent.linux", "v1", "fdb", message: "nsmagent.linux.ForwardingEntry",
            file: "nsmagent/linux.proto", template: "{{.Interface}}/{{.Mac}}", list: ("linuxConfig", "fdb", nil)),
        ModelDescription(
            .qdisc, "nsmagent.linux", "v1", "qdisc", message: "nsmagent.linux.Qdisc",
            file: "nsmagent/linux.proto", template: "{{.Interface}}", list: ("linuxConfig", "qdiscs", nil)),
        ModelDescription(
            .nextHop, "nsmagent.linux", "v1", "nexthop", message: "nsmagent.linux.Nexthop",
            file: "nsmagent/linux.proto", template: "{{.Name}}", list: ("linuxConfig", "nexthops", nil)),
        ModelDescription(
            .service, "nsmagent.nsm", "v1", "service", message: "nsmagent.nsm.NetworkService",
            file: "nsmagent/nsm.proto", template: "{{.Name}}", list: ("cnfConfig", "NetworkService_list", nil)),
    ]

    /// The model of a kind.
    public static func model(_ kind: ModelDescription.Kind) -> ModelDescription { all[kind.rawValue] }

    /// The model with this name, such as `linux.l3.route`.
    public static func model(named name: String) -> ModelDescription? { all.first { $0.name == name } }

    /// The model a key belongs to.
    public static func model(forKey key: String) -> ModelDescription? { all.first { key.hasPrefix($0.keyPrefix) } }
}
