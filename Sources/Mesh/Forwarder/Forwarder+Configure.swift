internal import CLinux
internal import Glibc
internal import Netlink
internal import NetworkTypes

/// An end in the kernel, and what was configured on it before.
struct EndContext {
    var link: Link
    var alias: String
    var mtu: UInt32?
    /// The other end's MAC, if it is known.
    var peerMAC: MACAddress?
    /// What we configured the last time; nil: nothing that we know of.
    var before: EndConfiguration?
    /// Whether there may be policy rules of this connection.
    var mayHaveRules: Bool
    /// Whether the link was just made, and so has nothing on it.
    var isNew = false
}

extension Forwarder {
    /// RFC 8200, section 5. The kernel takes IPv6 off an interface whose MTU is less.
    private static let leastIPv6MTU: UInt32 = 1280

    /// Brings one end up and makes addresses, routes, neighbours and policy rules as they should be.
    func configure(_ end: ConnectionEnd, _ context: EndContext) throws(ForwarderError) {
        let index = context.link.index
        let what = "interface \(end.name)"
        if let mtu = context.mtu, mtu < Self.leastIPv6MTU, end.usesIPv6 {
            throw ForwarderError(what, in: end.namespace, "IPv6 needs an MTU of at least 1280 bytes, not \(mtu)")
        }
        do {
            try openForEchoes(end)
        } catch {
            throw ForwarderError(what, in: end.namespace, "\(error)")
        }
        var requests = Self.linkRequests(end, context)
        requests += try told(what, end.namespace) { () throws(KernelError) in
            try addressRequests(end, context)
        }
        requests += Self.leftoverRequests(end, context)
        requests += Self.routes(end, index).map { .addRoute($0, replace: true) }
        requests += Self.neighbours(end.configuration, context.peerMAC, index).map {
            .addNeighbour($0, replace: true)
        }
        try carryOut(requests, end.namespace, { "\(Self.text($0)) on \(what)" })
        if !end.policies.isEmpty || context.mayHaveRules { try applyPolicies(end, index) }
    }

    /// Sends requests in one go. What is to be removed and is not there is no error.
    func carryOut(
        _ requests: [Request], _ namespace: NetworkNamespace, _ text: (Request) -> String,
        onReply: (Report) -> Void = { _ in }
    ) throws(ForwarderError) {
        guard !requests.isEmpty else { return }
        let batch = Batch()
        for request in requests { batch.append(request) }
        var failure: ForwarderError?
        try told(text(requests[0]), namespace) { () throws(KernelError) in
            try socket(namespace).transact(batch, onReply: { onReply($1) }) { position, error in
                let request = requests[position]
                if failure == nil, !(request.isRemoval && error.isMissingObject) {
                    failure = ForwarderError(text(request), namespace, error)
                }
            }
        }
        if let failure { throw failure }
    }

    /// Removes a link and the policy rules that lead to it; its addresses and routes go with it.
    func discard(_ index: Int32, _ namespace: NetworkNamespace, _ what: String) throws(ForwarderError) {
        // A rule that stays leads to an empty table: it does nothing, and the next one to come here takes it away.
        if let rules = try? ruleRemovals(index, namespace) {
            try? carryOut(rules, namespace, { "\(Self.text($0)) of \(what)" })
        }
        try carryOut([.deleteLink(index: index)], namespace, { _ in what })
    }

    /// What is as it should be is not mentioned, so that nobody is told of a change that is none.
    private static func linkRequests(_ end: ConnectionEnd, _ context: EndContext) -> [Request] {
        var attributes = LinkAttributes(index: context.link.index)
        if context.link.alias != context.alias { attributes.alias = context.alias }
        if !context.link.isUp { attributes.up = true }
        if let mtu = context.mtu, mtu != context.link.mtu { attributes.mtu = mtu }
        // Both veth and vxlan take a new MAC while they are up.
        if let mac = end.mac, mac != context.link.mac { attributes.mac = mac }
        return attributes == LinkAttributes(index: context.link.index) ? [] : [.setLink(attributes)]
    }

    private func addressRequests(_ end: ConnectionEnd, _ context: EndContext) throws(KernelError) -> [Request] {
        guard !end.addresses.isEmpty else { return [] }
        let index = context.link.index
        var present: [IPPrefix: Address] = [:]
        if !context.isNew {
            for case .address(let address) in try socket(end.namespace).dump(.addressesOfLink(index))
            where address.linkIndex == index && address.scope == 0 {
                present[address.local] = address
            }
        }
        var missing: [IPPrefix] = []
        for address in end.addresses where present.removeValue(forKey: address) == nil { missing.append(address) }
        // The kernel may take the other IPv4 addresses of a subnet away with the first one.
        if present.keys.contains(where: { $0.family == .v4 && !$0.isHost }) {
            missing = end.addresses.filter { $0.family == .v4 || missing.contains($0) }
        }
        return present.values.map { .deleteAddress($0) }
            + missing.map { address in
                // Nobody else can have the address, and a tentative one can't be used yet.
                let flags = Address.permanent | (address.family == .v6 ? Address.noDAD : 0)
                return .addAddress(Address(linkIndex: index, local: address, flags: flags), replace: true)
            }
    }

    /// Routes and neighbours that we made and that are wanted no more.
    private static func leftoverRequests(_ end: ConnectionEnd, _ context: EndContext) -> [Request] {
        guard let before = context.before else { return [] }
        let index = context.link.index
        let wanted = Set(routes(end, index).map(\.destination))
        let old = routes(ConnectionEnd(namespace: end.namespace, before), index)
        let neighbours = Set(neighbours(end.configuration, context.peerMAC, index).map(\.destination))
        return old.filter { !wanted.contains($0.destination) }.map { .deleteRoute($0) }
            + Self.neighbours(before, context.peerMAC, index).filter { !neighbours.contains($0.destination) }
            .map { .deleteNeighbour($0) }
    }

    /// Routes to the other end's addresses first, as those with a next hop need them.
    static func routes(_ end: ConnectionEnd, _ index: Int32) -> [Route] {
        var routes: [Route] = []
        for peer in end.peers where !end.addresses.contains(where: { $0.contains(peer.address) }) {
            routes.append(route(IPPrefix(host: peer.address), nil, index))
        }
        for wanted in end.routes where !routes.contains(where: { $0.destination == wanted.destination }) {
            routes.append(route(wanted, end, index))
        }
        return routes
    }

    /// Without a next hop of its own a route leads to the other end, or onto the link if it is of the other end's network.
    static func route(_ wanted: EndRoute, _ end: ConnectionEnd, _ index: Int32, table: UInt32 = 254) -> Route {
        let isOnLink = end.peers.contains {
            $0.contains(wanted.destination.address) && $0.length <= wanted.destination.length
        }
        let implied = isOnLink ? nil : end.peers.first { $0.family == wanted.destination.family }?.address
        return route(wanted.destination, wanted.gateway ?? implied, index, table: table)
    }

    private static func route(
        _ destination: IPPrefix, _ gateway: IPAddress?, _ index: Int32, table: UInt32 = 254
    ) -> Route {
        let linkScope: UInt8 = 253
        return Route(
            destination: destination, table: table, proto: proto,
            scope: gateway == nil && destination.family == .v4 ? linkScope : 0,
            nextHops: [NextHop(gateway: gateway, linkIndex: index, onlink: gateway != nil)])
    }

    /// The neighbours that are named, and the other end where its MAC is known. An end is no neighbour of its own.
    static func neighbours(
        _ end: EndConfiguration, _ peerMAC: MACAddress?, _ index: Int32
    ) -> [Neighbour] {
        var wanted: [IPAddress: MACAddress] = [:]
        if end.resolvesPeers, let peerMAC { for peer in end.peers { wanted[peer.address] = peerMAC } }
        for neighbour in end.neighbours { wanted[neighbour.address] = neighbour.mac }
        for address in end.addresses { wanted[address.address] = nil }
        return wanted.sorted { $0.key < $1.key }.map { address, mac in
            Neighbour(
                linkIndex: index, destination: address, mac: mac, state: Neighbour.permanent, proto: Self.proto)
        }
    }

    /// Lets programs of every group in the namespace send echoes without privileges, and IPv6 be used on the interface.
    private func openForEchoes(_ end: ConnectionEnd) throws {
        guard end.setsSysctls else { return }
        try end.namespace.run {
            try Self.write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
            if end.usesIPv6 {
                try Self.write("/proc/sys/net/ipv6/conf/\(end.name)/disable_ipv6", "0")
            }
        }
    }

    private static func write(_ path: String, _ value: String) throws(KernelError) {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        // A kernel without IPv6 has no such file, and in a container with a read-only /proc/sys it can't be opened: the
        // address then fails with a better text, or echoes need a privilege.
        if file < 0, [ENOENT, EROFS, EACCES].contains(errno) { return }
        guard file >= 0 else { throw KernelError(code: errno, message: path) }
        defer { close(file) }
        _ = Glibc.write(file, value, value.utf8.count)
    }

    private static func text(_ request: Request) -> String {
        switch request {
        case .addAddress(let address, _): "address \(address.local)"
        case .deleteAddress(let address): "removal of the address \(address.local)"
        case .addRoute(let route, _), .appendRoute(let route): "route to \(route.destination)"
        case .deleteRoute(let route): "removal of the route to \(route.destination)"
        case .addNeighbour(let neighbour, _): "neighbour \(neighbour.destination)"
        case .deleteNeighbour(let neighbour): "removal of the neighbour \(neighbour.destination)"
        case .addRule(let rule): "rule from \(rule.from.map { "\($0)" } ?? "all") to table \(rule.table)"
        case .deleteRule(let rule): "removal of the rule from \(rule.from.map { "\($0)" } ?? "all")"
        case .createLink, .setLink: "state, alias, MAC and MTU"
        case .deleteLink, .deleteLinkGroup: "removal"
        case .restore: "what was there before"
        }
    }
}

extension ConnectionEnd {
    fileprivate var usesIPv6: Bool {
        (addresses + peers + routes.map(\.destination)).contains { $0.family == .v6 }
    }
}

extension Request {
    fileprivate var isRemoval: Bool {
        switch self {
        case .deleteAddress, .deleteRoute, .deleteNeighbour, .deleteRule, .deleteLink, .deleteLinkGroup: true
        case .createLink, .setLink, .addAddress, .addRoute, .appendRoute, .addNeighbour, .addRule, .restore: false
        }
    }
}

extension KernelError {
    /// Whether what a request names is not there. `ENXIO`: the interface's MTU became too small for IPv6, and the kernel
    /// has removed all of its addresses.
    fileprivate var isMissingObject: Bool { [ENOENT, ESRCH, ENODEV, ENXIO, EADDRNOTAVAIL].contains(code) }
}
