public import NetworkTypes

/// A request that changes the kernel. The namespace is that of the socket it is sent on.
public enum Request: Hashable, Sendable {
    /// `RTM_NEWLINK` with `NLM_F_CREATE | NLM_F_EXCL`; with `NLM_F_ECHO` when `echo` is set.
    case createLink(LinkAttributes, echo: Bool)
    /// `RTM_NEWLINK` without `NLM_F_CREATE`: changes the attributes that are set.
    case setLink(LinkAttributes)
    /// `RTM_NEWLINKPROP`: more alternative names of a link.
    case addAltNames([String], linkIndex: Int32)
    /// `RTM_DELLINKPROP`: some of its alternative names go.
    case deleteAltNames([String], linkIndex: Int32)
    /// `RTM_DELLINK` by index.
    case deleteLink(index: Int32)
    /// `RTM_DELLINK` with `IFLA_GROUP`: every link of the group at once.
    case deleteLinkGroup(UInt32)
    /// `RTM_NEWADDR`; with `NLM_F_REPLACE` or `NLM_F_EXCL`.
    case addAddress(Address, replace: Bool)
    /// `RTM_DELADDR`.
    case deleteAddress(Address)
    /// `RTM_NEWROUTE`; with `NLM_F_REPLACE` or `NLM_F_EXCL`.
    case addRoute(Route, replace: Bool)
    /// `RTM_NEWROUTE` with `NLM_F_APPEND`: beside others of the same destination and metric.
    case appendRoute(Route)
    /// `RTM_DELROUTE`; table, destination, metric, type, protocol and next hops select.
    case deleteRoute(Route)
    /// `RTM_NEWNEIGH`; with `NLM_F_REPLACE` or `NLM_F_EXCL`.
    case addNeighbour(Neighbour, replace: Bool)
    /// `RTM_DELNEIGH`.
    case deleteNeighbour(Neighbour)
    /// `RTM_NEWNEIGH` of `AF_BRIDGE` with `NLM_F_REPLACE`; with `NLM_F_APPEND` where there may be several.
    case addForwarding(ForwardingEntry)
    /// `RTM_DELNEIGH` of `AF_BRIDGE`.
    case deleteForwarding(ForwardingEntry)
    /// `RTM_SETLINK` of `AF_BRIDGE`: VLANs of a port, or of the bridge itself, are there like this; others stay.
    case addVLANs(BridgeVLANs, linkIndex: Int32, isPort: Bool)
    /// `RTM_DELLINK` of `AF_BRIDGE`: VLANs of a port, or of the bridge itself, go.
    case deleteVLANs(BridgeVLANs, linkIndex: Int32, isPort: Bool)
    /// `RTM_NEWQDISC` with `NLM_F_EXCL`: where there is none but the kernel's own.
    case addQdisc(Qdisc)
    /// `RTM_NEWQDISC` without `NLM_F_CREATE`: changes the one with that handle.
    case changeQdisc(Qdisc)
    /// `RTM_DELQDISC`: the one with that handle goes.
    case deleteQdisc(Qdisc)
    /// `RTM_NEWTFILTER` with `NLM_F_EXCL`.
    case addFilter(TrafficFilter)
    /// `RTM_DELTFILTER`.
    case deleteFilter(TrafficFilter)
    /// `RTM_NEWNEXTHOP`; with `NLM_F_REPLACE` or `NLM_F_EXCL`.
    case addNextHop(NextHopObject, replace: Bool)
    /// `RTM_DELNEXTHOP`: with it go the routes that use it.
    case deleteNextHop(NextHopObject)
    /// `RTM_NEWRULE` with `NLM_F_EXCL`.
    case addRule(Rule)
    /// `RTM_DELRULE`.
    case deleteRule(Rule)
    /// `RTM_NEWADDR`, `RTM_NEWROUTE` or `RTM_NEWNEIGH` with all that a dump reported; `EEXIST` when it is there.
    case restore(SavedObject)
}

extension Request {
    /// Whether it leaves in one system call with the request after it. An ingress qdisc has no room for a mark: only the filter in
    /// it says whose both are, so there is no moment, not even for a process that is killed, at which one is there without the other.
    public var staysWithNext: Bool {
        if case .addQdisc(let qdisc) = self { return qdisc.parent == Qdisc.ingress }
        if case .deleteFilter = self { return true }
        return false
    }
}

/// What a link request sets; nil leaves as it is.
public struct LinkAttributes: Hashable, Sendable {
    /// `ifi_index`; 0: selected by name, or the kernel's choice in a create.
    public var index: Int32
    /// `IFLA_IFNAME`: the name of a new link, or a new name.
    public var name: String?
    /// Administrative state: `IFF_UP` in `ifi_flags` and `ifi_change`.
    public var up: Bool?
    /// `IFLA_MTU`, bytes.
    public var mtu: UInt32?
    /// `IFLA_ADDRESS`.
    public var mac: MACAddress?
    /// `IFLA_IFALIAS`; empty removes it. Ignored by the kernel in a create.
    public var alias: String?
    /// `IFLA_MASTER`; 0 releases the link.
    public var master: Int32?
    /// `IFLA_LINK`: the interface below.
    public var link: Int32?
    /// `IFLA_LINK_NETNSID`: the namespace `link` is in.
    public var linkNamespaceID: Int32?
    /// `IFLA_GROUP`.
    public var group: UInt32?
    /// `IFLA_NET_NS_FD`: the namespace to create in or move to. The descriptor must stay open until the request is
    /// sent.
    public var namespaceDescriptor: Int32?
    /// `IFLA_LINKINFO`.
    public var kind: LinkKind?
    /// `IFLA_INFO_SLAVE_DATA`: settings of a link that is a bridge's port already.
    public var port: BridgePort?
    /// `VETH_INFO_PEER`: the other end of a new veth pair. It can't be created up (`ENOTCONN`).
    public var peer: VethPeer?

    /// Makes attributes of which none is set.
    public init(index: Int32 = 0, name: String? = nil) {
        self.index = index
        self.name = name
    }
}

/// The other end of a new veth pair.
public struct VethPeer: Hashable, Sendable {
    /// `IFLA_IFNAME`.
    public var name: String
    /// `IFLA_MTU`, bytes.
    public var mtu: UInt32?
    /// `IFLA_ADDRESS`.
    public var mac: MACAddress?
    /// `IFLA_NET_NS_FD`; nil: the namespace of the request.
    public var namespaceDescriptor: Int32?
    /// `IFLA_GROUP`. The kernel takes no alias in a create, so the group is what marks a link from its first moment.
    public var group: UInt32?

    /// Makes a peer.
    public init(
        name: String, mtu: UInt32? = nil, mac: MACAddress? = nil, namespaceDescriptor: Int32? = nil,
        group: UInt32? = nil
    ) {
        self.name = name
        self.mtu = mtu
        self.mac = mac
        self.namespaceDescriptor = namespaceDescriptor
        self.group = group
    }
}

/// What a dump or an event reports.
public enum Report: Hashable, Sendable {
    /// `RTM_NEWLINK`
    case link(Link)
    /// `RTM_DELLINK`
    case linkRemoved(Link)
    /// `RTM_NEWADDR`
    case address(Address)
    /// `RTM_DELADDR`
    case addressRemoved(Address)
    /// `RTM_NEWROUTE`
    case route(Route)
    /// `RTM_DELROUTE`
    case routeRemoved(Route)
    /// `RTM_NEWNEIGH`
    case neighbour(Neighbour)
    /// `RTM_DELNEIGH`
    case neighbourRemoved(Neighbour)
    /// `RTM_NEWRULE`
    case rule(Rule)
    /// `RTM_DELRULE`
    case ruleRemoved(Rule)
    /// `RTM_NEWLINK` of `AF_BRIDGE`: what a bridge keeps for a port, and the VLANs of a port or of the bridge itself; nil: nothing
    /// is said of that.
    case port(linkIndex: Int32, BridgePort?, vlans: BridgeVLANs?)
    /// `RTM_NEWNEIGH` of `AF_BRIDGE`.
    case forwarding(ForwardingEntry)
    /// `RTM_DELNEIGH` of `AF_BRIDGE`.
    case forwardingRemoved(ForwardingEntry)
    /// `RTM_NEWQDISC`
    case qdisc(Qdisc)
    /// `RTM_DELQDISC`
    case qdiscRemoved(Qdisc)
    /// `RTM_NEWTFILTER`
    case filter(TrafficFilter)
    /// `RTM_DELTFILTER`
    case filterRemoved(TrafficFilter)
    /// `RTM_NEWNEXTHOP`
    case nextHop(NextHopObject)
    /// `RTM_DELNEXTHOP`
    case nextHopRemoved(NextHopObject)
    /// `RTM_NEWNETCONF`: a setting of a link changed, such as forwarding or rp_filter. Source: linux/netconf.h.
    case settings(linkIndex: Int32)
}

/// The kernel refused a request.
public struct KernelError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A positive errno value, such as `EEXIST`.
    public var code: Int32
    /// The extended acknowledgement's text (`NLMSGERR_ATTR_MSG`), when the kernel sent one.
    public var message: String?

    /// Makes an error.
    public init(code: Int32, message: String? = nil) {
        self.code = code
        self.message = message
    }
}
