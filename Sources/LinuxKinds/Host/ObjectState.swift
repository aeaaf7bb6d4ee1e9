internal import Netlink
internal import NetworkTypes

/// What we believe one link looks like, with everything that goes when it goes.
final class LinkState {
    var link: Link
    /// The alias under which it is known as ours. It outlives the link's own, which somebody may take away.
    var ownedAs: String?
    /// Whether it was found with our alias but in no group: the agent before this one, which marks nothing else, left it.
    var isInherited = false
    /// Whether it has been marked since, with all that is on it.
    var isTakenOver = false
    unowned let namespace: NamespaceState
    /// Where it came from, if we moved it. It outlives the alias that says so, which somebody may take away.
    var loan: Loan?
    /// The mark it would have if it were moved for the interface it is.
    var matchedAs: String?
    /// The logical name of the interface of type EXISTING that it is.
    var holder: String?
    /// What was heard of its driver; nil: nobody asked.
    var device: KnownDevice?
    var addresses: [AddressState] = []
    /// Neighbours with our protocol number.
    var neighbours: [NeighbourState] = []
    /// Forwarding entries with our mark.
    var forwarding: [ForwardingPlace: ForwardingState] = [:]
    /// VLANs of a bridge or a port of one; nil: it is neither, or nobody told.
    var vlans: BridgeVLANs?
    /// The root qdisc, ours or that of others; nil: what the kernel gave the link.
    var qdisc: Qdisc?
    /// What takes filters of what arrives; nil: nothing.
    var ingress: Ingress?
    /// What a WireGuard link has; nil: it is none, or nobody asked.
    var wireGuard: WireGuardState?
    /// Our routes that leave by this link.
    var routes: Set<RouteID> = []
    /// Networks of its addresses whose routes are gone though the addresses are there.
    var lostNetworks: Set<IPPrefix> = []
    /// Networks of addresses of ours that are planned to go, as long as the kernel has routes to them.
    var goingNetworks: Set<IPPrefix> = []
    /// What routes of others say is on the link; nil as long as nobody asked.
    var onLink: OnLink?
    /// Number of the namespace in which we made it, when what it is built on is there and not where it is.
    var origin: Int?
    /// Which interface it is.
    var claim = Claim()
    /// Which value says how packets queue.
    var qdiscClaim = Claim()
    /// Which value limits what arrives.
    var policeClaim = Claim()
    /// Which value says what it is a port or member of.
    var masterClaim = Claim()
    /// Which values say, or once said, what alternative names it has.
    var altNameClaims: [String: Claim] = [:]
    /// Which of its alternative names the agent gave it, as far as it knows.
    var addedAltNames: Set<String> = []

    /// Destinations of routes of others that need no gateway.
    struct OnLink {
        /// Those in which the kernel takes gateways.
        var networks: Set<IPPrefix> = []
        /// Those of which the scope is too wide for that.
        var wide: Set<IPPrefix> = []
        /// Those that the kernel made with addresses, whosever: addresses of ours come and go after this was asked.
        var kernel: Set<IPPrefix> = []

        func contains(_ network: IPPrefix) -> Bool { networks.contains(network) || wide.contains(network) }
    }

    init(_ link: Link, in namespace: NamespaceState) {
        self.link = link
        self.namespace = namespace
    }

    /// The place of the link.
    var place: Place {
        Place(namespace, .link(.init(alias: link.alias.map { ownedAs ?? $0 } ?? "", name: link.name)))
    }

    /// Where the address with this local part and peer is in the list.
    func position(of local: IPPrefix, peer: IPAddress?) -> Int? {
        addresses.firstIndex { $0.address.local == local && $0.address.peer == peer }
    }

    /// Where the entry for a destination is in the list.
    func position(ofNeighbour destination: IPAddress, isProxy: Bool) -> Int? {
        neighbours.firstIndex {
            $0.neighbour.destination == destination && ($0.neighbour.flags & Neighbour.proxy != 0) == isProxy
        }
    }
}

/// An address with its claim.
struct AddressState {
    var address: Address
    var claim = Claim()
    /// Whether it was ours until somebody set it without our mark.
    var wasOurs = false
}

/// A neighbour with its claim.
struct NeighbourState {
    var neighbour: Neighbour
    var claim = Claim()
}

/// A route with its claim.
final class RouteState {
    var route: Route
    var claim = Claim()

    init(_ route: Route) { self.route = route }
}

/// What tells two routes of a namespace apart in the kernel.
struct RouteID: Hashable {
    var destination: IPPrefix
    var table: UInt32
    var metric: UInt32
    /// Type of service, and beyond its bits whether it is for packets from some network only.
    private var selection: UInt16

    init(_ route: Route) {
        selection = UInt16(route.tos) | (route.isForSomeSources ? 0x100 : 0)
        destination = route.destination
        table = route.table
        metric = route.metric
    }
}

/// A link that an operation makes, before the kernel has given it an index.
struct PendingLink {
    var state: LinkState
    var peer: LinkState?
    /// The MTU that a later operation gives it; nil: what the kernel chooses.
    var mtu: UInt32?
    /// The MAC address that a later operation gives it; nil: what the kernel chooses.
    var mac: MACAddress?
}
