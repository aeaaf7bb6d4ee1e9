internal import CLinux
internal import Glibc
internal import Netlink
internal import NetworkTypes

extension Forwarder {
    /// Brings one end up and makes addresses, routes and neighbours as they should be.
    func configure(_ end: ConnectionEnd, _ index: Int32, mtu: UInt32?) throws(ForwarderError) {
        let what = "interface \(end.name) in namespace \(end.namespace.inode)"
        do {
            try openForEchoes(end)
            var requests: [Request] = []
            var link = LinkAttributes(index: index)
            link.up = true
            link.mtu = mtu
            requests.append(.setLink(link))
            requests += try addressRequests(end, index)
            requests += Self.routeRequests(end, index)
            for neighbour in end.neighbours {
                requests.append(
                    .addNeighbour(
                        Neighbour(
                            linkIndex: index, destination: neighbour.address, mac: neighbour.mac,
                            state: Neighbour.permanent, proto: Self.proto), replace: true))
            }
            let batch = Batch()
            for request in requests { batch.append(request) }
            var failure: (position: Int, error: KernelError)?
            try socket(end.namespace).transact(batch) { position, error in
                if failure == nil { failure = (position, error) }
            }
            if let failure {
                throw ForwarderError("\(Self.text(requests[failure.position])) on \(what)", failure.error)
            }
        } catch let error as ForwarderError {
            throw error
        } catch {
            throw ForwarderError(what, error)
        }
    }

    private func addressRequests(_ end: ConnectionEnd, _ index: Int32) throws(KernelError) -> [Request] {
        guard !end.addresses.isEmpty else { return [] }
        var present: [IPPrefix: Address] = [:]
        for case .address(let address) in try socket(end.namespace).dump(.addresses)
        where address.linkIndex == index && address.scope == 0 {
            present[address.local] = address
        }
        var requests: [Request] = []
        for address in end.addresses where present.removeValue(forKey: address) == nil {
            requests.append(
                .addAddress(
                    Address(linkIndex: index, local: address, flags: Address.permanent | Address.noDAD), replace: true))
        }
        return present.values.map { .deleteAddress($0) } + requests
    }

    /// Routes to the other end's addresses first, as those with a next hop need them.
    static func routeRequests(_ end: ConnectionEnd, _ index: Int32) -> [Request] {
        let link: UInt8 = 253
        var routes: [Route] = []
        for peer in end.peers where !end.addresses.contains(where: { $0.contains(peer.address) }) {
            routes.append(
                Route(
                    destination: IPPrefix(host: peer.address), proto: proto,
                    scope: peer.family == .v4 ? link : 0, nextHops: [NextHop(linkIndex: index)]))
        }
        for wanted in end.routes {
            let isOnLink = end.peers.contains {
                $0.network.contains(wanted.destination.address) && $0.length <= wanted.destination.length
            }
            let gateway =
                wanted.gateway ?? (isOnLink ? nil : end.peers.first { $0.family == wanted.destination.family }?.address)
            let route = Route(
                destination: wanted.destination, proto: proto,
                scope: gateway == nil && wanted.destination.family == .v4 ? link : 0,
                nextHops: [NextHop(gateway: gateway, linkIndex: index, onlink: gateway != nil)])
            if !routes.contains(where: { $0.destination == route.destination }) { routes.append(route) }
        }
        return routes.map { .addRoute($0, replace: true) }
    }

    /// Lets programs of every group in the namespace send echoes without privileges, and IPv6 be used on the interface.
    private func openForEchoes(_ end: ConnectionEnd) throws {
        try end.namespace.run {
            try Self.write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")
            if end.addresses.contains(where: { $0.family == .v6 }) {
                try Self.write("/proc/sys/net/ipv6/conf/\(end.name)/disable_ipv6", "0")
            }
        }
    }

    private static func write(_ path: String, _ value: String) throws(KernelError) {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        // A kernel without IPv6 has no such file; the address then fails with a better text.
        if file < 0, errno == ENOENT { return }
        guard file >= 0 else { throw KernelError(code: errno, message: path) }
        defer { close(file) }
        // In a container with a read-only /proc/sys this fails, and echoes then need a privilege.
        _ = Glibc.write(file, value, value.utf8.count)
    }

    private static func text(_ request: Request) -> String {
        switch request {
        case .addAddress(let address, _): "address \(address.local)"
        case .deleteAddress(let address): "removal of the address \(address.local)"
        case .addRoute(let route, _): "route to \(route.destination)"
        case .addNeighbour(let neighbour, _): "neighbour \(neighbour.destination)"
        case .setLink: "state and MTU"
        default: "\(request)"
        }
    }
}
