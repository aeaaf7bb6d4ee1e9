internal import Netlink
internal import NetworkTypes

extension NamespaceState {
    /// What is known of the objects of a namespace.
    struct Contents {
        var links: [Int32: LinkState] = [:]
        var linksByName: [String: LinkState] = [:]
        var linksByAltName: [String: LinkState] = [:]
        /// Our links, by their whole alias.
        var ownedLinks: [String: LinkState] = [:]
        /// Links of others that we moved here, by their mark.
        var lent: [String: LinkState] = [:]
        /// Indexes of ports, members and links built on one, by its index.
        var uppers: [Int32: Set<Int32>] = [:]
        /// Indexes of links that are built on one in another namespace.
        var distantUppers: Set<Int32> = []
        /// Routes with our protocol number.
        var routes: [RouteID: RouteState] = [:]
        /// Those that prefer an address, by that address.
        var routesBySource: [IPAddress: Set<RouteID>] = [:]
        /// Nexthop objects with our protocol number.
        var nextHops: [UInt32: NextHopState] = [:]
        /// Rules with our protocol number.
        var rules: [Rule: Claim] = [:]
        /// Rules of others, as they would look if they were ours: what is there already need not be made.
        var foreignRules: Set<Rule> = []
        /// How many neighbours there are with our protocol number.
        var neighbourCount = 0
        /// Tables of nf_tables, ours and those of others.
        var tables: [FilterTable.ID: TableState] = [:]
        /// Those of them that iptables knows.
        var ruleTables: [FilterTable.ID: RuleTableState] = [:]
        /// Of what state of nf_tables they are.
        var tableGeneration: UInt32 = 0
    }
}
