internal import Netlink
internal import NetworkTypes

extension Forwarder {
    /// What the host uses, without what connections of ours brought there: their addresses would exclude themselves, and
    /// every refresh would look for others.
    func excludedPrefixes(_ configured: [IPPrefix]) throws(ForwarderError) -> ExcludedPrefixes {
        let host = try hostNamespace()
        return try told("addresses and routes", host) { () throws(KernelError) in
            let socket = try socket(host)
            var own: Set<Int32> = []
            for case .link(let link) in try socket.dump(.links)
            where Self.connectionID(ofAlias: link.alias) != nil || Marks.Group.mesh.range.contains(link.group) {
                own.insert(link.index)
            }
            var addresses: [IPPrefix] = []
            for case .address(let address) in try socket.dump(.addresses) where !own.contains(address.linkIndex) {
                addresses.append(address.local)
                if let peer = address.peer { addresses.append(IPPrefix(host: peer)) }
            }
            var routes: [IPPrefix] = []
            for case .route(let route) in try socket.dump(.routes(table: 254, ignoringKernel: true))
            where !route.nextHops.contains(where: { own.contains($0.linkIndex) }) {
                routes.append(route.destination)
            }
            return ExcludedPrefixes(addresses: addresses, routes: routes, configured: configured)
        }
    }
}
