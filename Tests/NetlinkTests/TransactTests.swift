import CLinux
import Foundation
import NetworkTypes
import Testing

@testable import Netlink

@Suite("requests to the kernel", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct TransactTests {
    @Test("a veth pair with its peer in another namespace takes one request, and the reply has both indexes")
    func vethAcrossNamespaces() throws {
        try Sandbox.withNamespaces(2) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let mac = try #require(MACAddress("02:00:00:00:00:0a"))
            let pair = try socket.veth(
                "a",
                VethPeer(name: "b", mtu: 1400, mac: mac, namespaceDescriptor: made[1].namespace.descriptor, group: 7))
            let left = try #require(try made[0].json("link show dev a").first)
            let right = try #require(try made[1].json("link show dev b").first)
            #expect(left["ifindex"] as? Int == Int(pair.index))
            #expect(right["ifindex"] as? Int == Int(pair.link))
            #expect(right["address"] as? String == mac.description)
            #expect(right["mtu"] as? Int == 1400)
            #expect(right["group"] as? String == "7")
            #expect(pair.kind == .veth && pair.name == "a")
            #expect(pair.linkNamespaceID == (try socket.namespaceID(of: made[1].namespace.descriptor)))
            #expect(try socket.link(name: "a")?.link == pair.link)
            #expect(try socket.link(index: pair.index)?.name == "a")
            #expect(try socket.link(name: "b") == nil)
            #expect(try socket.link(index: 4711) == nil)
        }
    }

    @Test("an ingress qdisc leaves in one system call with its filter, wherever in a batch they are")
    func together() throws {
        let socket = try RouteSocket(in: nil)
        let filter = TrafficFilter(linkIndex: 7, handle: 1, preference: 9, police: nil)
        let long = String(repeating: "n", count: 1000)
        for (before, name) in (0...300).map({ ($0, "a") }) + (0...120).map({ ($0, long) }) {
            let batch = Batch()
            for _ in 0..<before { batch.append(.setLink(LinkAttributes(index: 1, name: name))) }
            for _ in 0..<3 {
                batch.append(.addQdisc(.ingress(ofLink: 7)))
                batch.append(.addFilter(filter))
            }
            var first = 0
            var counts: [Int] = []
            while first < batch.count {
                let chunk = socket.nextChunk(of: batch, from: first) { Issue.record("\($0): \($1)") }
                #expect(!batch.joined.contains(chunk.upperBound - 1), "\(before) before, of \(name.count) bytes each")
                #expect(batch.end(of: chunk.upperBound - 1) - batch.starts[first] <= RouteSocket.chunkBytes)
                counts.append(chunk.upperBound - first)
                first = chunk.upperBound
            }
            #expect(counts.reduce(0, +) == before + 6 && counts.allSatisfy { 1...RouteSocket.chunkLimit ~= $0 })
        }
    }

    @Test("errors in a batch of 300 are those of their positions, and leave the others alone")
    func errorMapping() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let index = try socket.veth("a", VethPeer(name: "b")).index
            try socket.perform(.setLink(link(index) { $0.up = true }))
            // A long name and too many next hops fit no message; the rest are the kernel's errors.
            let long = String(repeating: "x", count: 5000)
            let hops = [NextHop](repeating: hop("10.0.0.1", 1), count: 5000)
            let wrong: [Int: Request] = [
                0: .deleteLink(index: 4711), 127: .setLink(link(0, long) { $0.mtu = 1 }), 128: .deleteLink(index: 4712),
                200: .addRoute(route("10.0.0.0/8", [hop("203.0.113.1")]), replace: false),
                254: .addRoute(route("10.0.0.0/8", hops), replace: false), 299: .deleteLink(index: 4713),
            ]
            let requests = (0..<300).map { number -> Request in
                wrong[number]
                    ?? .addAddress(
                        Address(linkIndex: index, local: prefix("10.0.\(number / 100).\(number % 100 + 1)/32")),
                        replace: false)
            }
            let (errors, replies) = try socket.send(requests)
            #expect(replies.isEmpty)
            #expect(Set(errors.keys) == Set(wrong.keys))
            #expect([0, 128, 299].allSatisfy { errors[$0]?.code == ENODEV })
            #expect([127, 254].allSatisfy { errors[$0]?.code == EMSGSIZE })
            #expect(errors[200]?.code == ENETUNREACH)
            #expect(errors[200]?.message == "Nexthop has invalid gateway")
            let addresses = try made[0].json("-4 addr show dev a")[0]["addr_info"] as? [Any]
            #expect(addresses?.count == 300 - wrong.count)
            // The same batch again: now everything is there.
            let again = try socket.send(requests)
            #expect(again.errors.count == 300)
            #expect(again.errors[1]?.code == EEXIST)
        }
    }

    @Test("an empty batch, and one of impossible requests only")
    func degenerateBatches() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            #expect(try socket.send([]).errors.isEmpty)
            let long = link(0, String(repeating: "x", count: 5000))
            let (errors, _) = try socket.send([Request](repeating: .setLink(long), count: 300))
            #expect(errors.count == 300)
        }
    }

    @Test("answers that don't fit the receive buffer are an error, and the socket goes on")
    func lostAnswers() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace, receiveBuffer: 4096)
            let error = #expect(throws: KernelError.self) {
                try socket.send([Request](repeating: .deleteLink(index: 4711), count: 128))
            }
            #expect(error?.code == ENOBUFS)
            #expect(try socket.send([.deleteLink(index: 4711)]).errors[0]?.code == ENODEV)
            #expect(try !socket.dump(.links).isEmpty)
        }
    }

    @Test("the kernel's own words come with an error, with and without a copy of the request")
    func extendedText() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let request = Request.createLink(link(0, "x") { $0.kind = .other("no-such-kind") }, echo: false)
            let error = #expect(throws: KernelError.self) { try socket.perform(request) }
            #expect(error == KernelError(code: EOPNOTSUPP, message: "Unknown device type"))
            #expect(error?.description == "Operation not supported (EOPNOTSUPP): Unknown device type")
        }
    }

    @Test("a reply that goes to another namespace is not taken for someone else's")
    func foreignEcho() throws {
        try Sandbox.withNamespaces(2) { made in
            let sockets = try made.map { try RouteSocket(in: $0.namespace) }
            var attributes = link(0, "elsewhere") { $0.kind = .veth }
            attributes.peer = VethPeer(name: "peer")
            attributes.namespaceDescriptor = made[1].namespace.descriptor
            let (errors, replies) = try sockets[0].send([.createLink(attributes, echo: true)])
            #expect(errors.isEmpty && replies.isEmpty)
            #expect(try sockets[1].link(name: "elsewhere") != nil)
            let other = try sockets[1].send([.deleteLink(index: 4711)])
            #expect(other.replies.isEmpty && other.errors[0]?.code == ENODEV)
        }
    }

    @Test("addresses, routes, neighbours and rules as ip(8) sees them")
    func objects() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let index = try socket.veth("a", VethPeer(name: "b")).index
            let requests: [Request] = [
                .setLink(
                    link(index) {
                        $0.up = true
                        $0.alias = "hello"
                    }),
                .addAddress(Address(linkIndex: index, local: prefix("10.9.0.1/24"), proto: 77), replace: false),
                .addAddress(
                    Address(linkIndex: index, local: prefix("fd09::1/64"), flags: Address.noDAD, proto: 77),
                    replace: false),
                .addRoute(
                    route(
                        "10.5.0.0/16", table: 1000, proto: 77,
                        [hop("10.9.0.2", index), hop("10.9.0.3", index, weight: 9)]),
                    replace: false),
                .addRoute(route("10.6.0.0/16", proto: 77, [hop("fd09::2", index)]), replace: false),
                .addRoute(
                    route("fd06::/64", proto: 77, [hop("fd09::2", index), hop("fd09::3", index)]), replace: false),
                .addNeighbour(
                    Neighbour(
                        linkIndex: index, destination: ip("10.9.0.7"), mac: MACAddress("02:00:00:00:00:07"),
                        state: Neighbour.permanent, proto: 77), replace: false),
                .addNeighbour(
                    Neighbour(linkIndex: index, destination: ip("10.9.0.8"), flags: Neighbour.proxy, proto: 77),
                    replace: false),
                .addRule(
                    Rule(
                        family: .v4, priority: 50, from: prefix("10.0.0.0/8"), mark: 1, mask: 3, table: 1000, proto: 77)
                ),
            ]
            #expect(try socket.send(requests).errors == [:])
            #expect(try made[0].json("link show dev a")[0]["ifalias"] as? String == "hello")
            let multipath = try made[0].json("route show table 1000")[0]
            #expect((multipath["nexthops"] as? [[String: Any]])?.map { $0["weight"] as? Int } == [1, 9])
            #expect(multipath["protocol"] as? String == "77")
            let via = try made[0].json("route show 10.6.0.0/16")[0]["via"] as? [String: Any]
            #expect(via?["host"] as? String == "fd09::2")
            #expect(try made[0].ip("neigh show 10.9.0.7").contains("02:00:00:00:00:07"))
            #expect(try made[0].ip("neigh show proxy").contains("10.9.0.8 dev a proxy"))
            #expect(try made[0].ip("rule list priority 50").contains("from 10.0.0.0/8 fwmark 0x1/0x3 lookup 1000"))
            try readBack(socket, index)
            let removal: [Request] = requests.dropFirst().reversed().map(\.opposite)
            #expect(try socket.send(removal).errors == [:])
            #expect(try made[0].json("route show table all proto 77").isEmpty)
            #expect(try made[0].json("-4 addr show dev a").first?["addr_info"] as? [String] ?? [] == [])
        }
    }

    private func readBack(_ socket: RouteSocket, _ index: Int32) throws {
        let routes = try socket.dump(.routes(proto: 77))
        #expect(routes.count == 3)
        for case .route(let route) in routes {
            #expect(route.proto == 77)
            #expect(route.nextHops.count == (route.destination == prefix("10.6.0.0/16") ? 1 : 2))
        }
        let addresses = try socket.dump(.addresses).filter {
            if case .address(let address) = $0 { address.proto == 77 } else { false }
        }
        #expect(addresses.count == 2)
        let proxies = try socket.dump(.neighbours(proxy: true))
        #expect(
            proxies == [
                .neighbour(
                    Neighbour(linkIndex: index, destination: ip("10.9.0.8"), flags: Neighbour.proxy, proto: 77))
            ])
        #expect(try socket.dump(.rules(family: .v4)).contains { $0.request.map { $0.isRule(50) } ?? false })
        let rules = try socket.dump(.rules()).compactMap { if case .rule(let rule) = $0 { rule } else { nil } }
        #expect(rules.contains { $0.proto == 2 })
        #expect(try socket.rules() == rules.filter { $0.proto != 2 })
    }
}

extension Request {
    fileprivate var opposite: Request {
        switch self {
        case .addAddress(let address, _): .deleteAddress(address)
        case .addRoute(let route, _): .deleteRoute(route)
        case .addNeighbour(let entry, _): .deleteNeighbour(entry)
        case .addRule(let rule): .deleteRule(rule)
        default: self
        }
    }

    fileprivate func isRule(_ priority: UInt32) -> Bool {
        if case .addRule(let rule) = self { rule.priority == priority && rule.proto == 77 } else { false }
    }
}
