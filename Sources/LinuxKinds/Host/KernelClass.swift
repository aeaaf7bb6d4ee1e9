public import Netlink
internal import Reconciler

/// A class of kernel objects: all that the host has to know of it.
///
/// The host walks ``KernelClasses/all`` and asks of each the same questions. Besides, ``LinuxWorld/apply(_:in:)`` hands each
/// report to the class of its object. What one object takes along of another class (an address its routes, a link that
/// goes down its neighbours) is said by the class that causes it.
protocol KernelClass: Sendable {
    /// Asks the kernel for the objects of a namespace. Nothing of the picture changes yet.
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError)

    /// Takes what a dump found for the picture of the namespace; `former` is what was known before.
    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld)

    /// Adds what carries our mark in the namespaces and what no value claims.
    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers)

    /// The same, of what is at some places that were released.
    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers)

    /// Adds what leads back from the picture to what a journal remembers.
    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration)

    /// Adds the objects of a namespace to an export.
    static func export(_ state: NamespaceState, to export: inout Export) throws(KernelError)
}

/// All classes of kernel objects. What others are on comes first; leftovers go in the reverse order.
enum KernelClasses {
    static let all: [any KernelClass.Type] = [
        NamespaceClass.self, LinkClass.self, LoanClass.self, AltNameClass.self, SettingClass.self, AddressClass.self,
        NextHopClass.self, RouteClass.self, RuleClass.self, NeighbourClass.self, BridgeVLANClass.self,
        ForwardingClass.self, WireGuardClass.self, QdiscClass.self, PoliceClass.self, FilterTableClass.self,
        RuleChainClass.self,
    ]
}

/// What the dumps of one namespace found.
public struct NamespaceDump {
    /// Links.
    public var links: [Link] = []
    /// Addresses, of these links.
    public var addresses: [Address] = []
    /// Routes.
    public var routes: [Route] = []
    /// The routes that the kernel made with addresses; nil: nobody asked.
    var connected: [ConnectedRoute]?
    /// What routes of others hang on; nil: nobody asked.
    var ties: ForeignTies?
    /// Neighbours, of these links.
    public var neighbours: [Neighbour] = []
    /// Forwarding entries, of these links.
    public var forwarding: [ForwardingEntry] = []
    /// VLANs of bridges and their ports, by index.
    public var vlans: [Int32: BridgeVLANs] = [:]
    /// Root qdiscs of these links, but for those that the kernel gave them.
    public var qdiscs: [Qdisc] = []
    /// Qdiscs of these links for what arrives.
    var ingress: [Qdisc] = []
    /// Filters of what arrives by them: ours, and where the qdisc is ours, those of others.
    var filters: [TrafficFilter] = []
    /// Nexthop objects with our protocol number.
    public var nextHops: [NextHopObject] = []
    /// Policy rules.
    public var rules: [Rule] = []

    /// What WireGuard links of ours have, by index.
    var wireGuard: [Int32: WireGuardDevice] = [:]
    var tables: [FilterTable] = []
    /// Those of them in which something carries our mark in a comment of a rule.
    var markedTables: Set<FilterTable.ID> = []
    var tableGeneration: UInt32 = 0

    /// Nothing.
    public init() {}
}
