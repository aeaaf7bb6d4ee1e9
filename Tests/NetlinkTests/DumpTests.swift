import Foundation
import NetworkTypes
import TestSupport
import Testing

@testable import Netlink

@Suite("dumps", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct DumpTests {
    @Test("links of every kind this kernel makes, counted by ip(8)")
    func links() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let pair = try socket.veth("a", VethPeer(name: "b"))
            let kinds: [(String, LinkKind, Int32?)] = [
                ("br", .bridge(BridgeAttributes(ageingTime: 12000, forwardDelay: 800)), nil),
                (
                    "vx4",
                    .vxlan(
                        VXLANAttributes(
                            vni: 42, remote: ip("10.9.0.2"), local: ip("10.9.0.1"), link: pair.index, port: 4789,
                            learning: false, ttl: 64)), nil
                ),
                (
                    "vx6",
                    .vxlan(
                        VXLANAttributes(
                            vni: 43, remote: ip("fd09::2"), local: ip("fd09::1"), port: 4790, learning: true)),
                    nil
                ),
                ("mv", .macvlan(mode: 4), pair.index), ("du", .dummy, nil), ("vr", .vrf(table: 10), nil),
                ("vl", .vlan(VLANAttributes(id: 7)), pair.index),
                // Not on the same link as a MACVLAN.
                ("iv", .ipvlan(mode: 0), pair.link),
            ]
            let (errors, replies) = try socket.send(
                kinds.map { name, kind, below in
                    .createLink(
                        link(0, name) {
                            $0.kind = kind
                            $0.link = below
                        }, echo: true)
                })
            for (position, error) in errors {
                // This kernel may lack a kind; every other error is ours.
                #expect(error.code == EOPNOTSUPP, "\(kinds[position].0): \(error)")
            }
            var dumped: [String: Link] = [:]
            for case .link(let link) in try socket.dump(.links) { dumped[link.name] = link }
            #expect(try Set(made[0].json("link").compactMap { $0["ifname"] as? String }) == Set(dumped.keys))
            for (position, (name, kind, below)) in kinds.enumerated() where errors[position] == nil {
                let link = try #require(dumped[name])
                #expect(link.link == below ?? 0)
                #expect(matches(asked: kind, told: link.kind), "\(name): \(link.kind)")
                guard case .link(let reply) = replies[position] else { continue }
                #expect(reply.index == link.index && reply.kind == link.kind)
            }
        }
    }

    /// The kernel tells more than was asked for: every default.
    private func matches(asked: LinkKind, told: LinkKind) -> Bool {
        if let asked = asked[BridgeAttributes.self], let told = told[BridgeAttributes.self] {
            return asked.ageingTime == told.ageingTime && asked.forwardDelay == told.forwardDelay && told.stpState == 0
        }
        if var asked = asked[VXLANAttributes.self], let told = told[VXLANAttributes.self] {
            asked.ttl = told.ttl
            return asked == told
        }
        return asked == told
    }

    @Test("route filters")
    func routes() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            for command in [
                "link set lo up", "link add va type veth peer name vb", "link set va up", "link set vb up",
                "addr add 10.9.0.1/24 dev va", "addr add fd09::1/64 dev va nodad",
                "route add 10.1.0.0/16 via 10.9.0.2 proto 77", "route add 10.2.0.0/16 via 10.9.0.2 table 1000 proto 78",
                "route add fd01::/64 via fd09::2 proto 77", "route add blackhole 10.3.0.0/16 proto 77",
                "route add unreachable fd03::/64 proto 77",
            ] { try made[0].ip(command) }
            func destinations(_ what: Dump) throws -> Set<String> {
                Set(
                    try socket.dump(what).map {
                        if case .route(let route) = $0 { route.destination.description } else { "?" }
                    })
            }
            let ours: Set = ["10.1.0.0/16", "fd01::/64", "10.3.0.0/16", "fd03::/64"]
            #expect(try destinations(.routes(proto: 77)) == ours)
            #expect(try destinations(.routes(family: .v6, proto: 77)) == ["fd01::/64", "fd03::/64"])
            #expect(try destinations(.routes(table: 1000)) == ["10.2.0.0/16"])
            #expect(try destinations(.routes(family: .v4, table: 1000, proto: 77)) == [])
            #expect(try destinations(.routes(table: 4711)) == [])
            #expect(try destinations(.routes(family: .v4, table: 4711)) == [])
            #expect(try destinations(.routes(family: .v6, table: 4711)) == [])
            #expect(try destinations(.routes(ignoringKernel: true)) == ours.union(["10.2.0.0/16"]))
            #expect(try destinations(.routes()).isSuperset(of: ["10.9.0.1/32", "10.9.0.0/24", "ff00::/8", "::1/128"]))
            for case .route(let route) in try socket.dump(.routes(proto: 77)) where route.type != 1 {
                #expect(route.nextHops.isEmpty)
            }
        }
    }

    @Test("one dump tells our routes and those that the kernel makes with addresses")
    func connectedRoutes() throws {
        try Sandbox.withNamespaces(1) { made in
            for command in [
                "link set lo up", "link add va type veth peer name vb", "link set va up", "link set vb up",
                "addr add 10.9.0.1/24 dev va", "addr add fd09::1/64 dev va nodad",
                "route add 10.1.0.0/16 via 10.9.0.2 proto 77", "route add 10.2.0.0/16 via 10.9.0.2 proto 78",
                "route add blackhole 10.3.0.0/16 table 1000 proto 77", "route add fd01::/64 via fd09::2 proto 77",
            ] { try made[0].ip(command) }
            let socket = try RouteSocket(in: made[0].namespace)
            var connected = [ConnectedRoute(linkIndex: 1, table: 1, destination: prefix("10.0.0.0/8"))]
            let ours = try socket.routes(proto: 77, connected: &connected, atMost: 1000)
            #expect(Set(ours) == Set(try socket.routes(proto: 77)) && ours.count == 3)
            #expect(Set(connected) == Set(try socket.connectedRoutes()))
            #expect(Set(connected.map(\.destination.description)) == ["10.9.0.0/24", "fd09::/64", "fe80::/64"])
            #expect(connected.allSatisfy { $0.table == 254 && $0.linkIndex > 1 })
            let error = #expect(throws: KernelError.self) {
                try socket.routes(proto: 77, connected: &connected, atMost: 5)
            }
            #expect(error?.code == E2BIG)
        }
    }

    @Test("answers that are longer than what a socket asks for at first")
    func longAnswers() throws {
        try Sandbox.withNamespaces(1) { made in
            for command in [
                "link add dm0 type veth peer name dm1", "link set dm0 up", "link set dm1 up",
                "addr add 10.9.0.1/16 dev dm0",
            ] {
                try made[0].ip(command)
            }
            let index = try #require(try RouteSocket(in: made[0].namespace).link(name: "dm0")).index
            var route = Route(destination: prefix("10.1.0.0/16"), proto: 77)
            // Each takes 16 bytes.
            route.nextHops = (0..<900).map { number in
                NextHop(gateway: prefix("10.9.\(1 + number / 250).\(1 + number % 250)/32").address, linkIndex: index)
            }
            try RouteSocket(in: made[0].namespace).perform(.addRoute(route, replace: false))
            for _ in 0..<2 {
                let fresh = try RouteSocket(in: made[0].namespace)
                #expect(try fresh.routes(proto: 77).map(\.nextHops.count) == [900])
                var connected: [ConnectedRoute] = []
                #expect(try fresh.routes(proto: 77, connected: &connected, atMost: 1000).count == 1)
                #expect(connected.contains { $0.destination == prefix("10.9.0.0/16") })
            }
            // A link with so many names is longer, too.
            for group in 0..<13 {
                let names = (0..<7).map { "a\(group)-\($0)-" + String(repeating: "x", count: 100) }
                try made[0].ip("link property add dev dm0 " + names.map { "altname \($0)" }.joined(separator: " "))
            }
            let fresh = try RouteSocket(in: made[0].namespace)
            #expect(try fresh.link(index: index)?.altNames.count == 91)
            let again = try RouteSocket(in: made[0].namespace)
            #expect(try again.links().first { $0.index == index }?.altNames.count == 91)
        }
    }

    @Test("dumps of thousands of objects are whole while others change them")
    func concurrentChange() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let index = try socket.veth("a", VethPeer(name: "b")).index
            try socket.perform(.setLink(link(index) { $0.up = true }))
            let addresses = (0..<3000).map {
                Address(linkIndex: index, local: prefix("10.\($0 / 250).0.\($0 % 250 + 1)/32"))
            }
            #expect(try socket.send(addresses.map { .addAddress($0, replace: false) }).errors.isEmpty)
            let namespace = made[0].namespace
            nonisolated(unsafe) var failure: (any Error)?
            let stop = StopFlag()
            let thread = Thread {
                do {
                    let other = try RouteSocket(in: namespace)
                    let extra = Address(linkIndex: index, local: prefix("10.99.0.1/32"))
                    while !stop.isSet {
                        try other.perform(.addAddress(extra, replace: false))
                        try other.perform(.deleteAddress(extra))
                    }
                } catch { failure = error }
                stop.ended.signal()
            }
            thread.start()
            var complete = 0
            for _ in 0..<20 {
                do {
                    let count = try socket.dump(.addresses).count
                    // 3000, the extra one, and perhaps a link-local one.
                    #expect((3000...3002).contains(count))
                    complete += 1
                } catch let error as KernelError {
                    // Interrupted ten times over: told, not hidden.
                    #expect(error.code == EBUSY && error.isTransient)
                }
            }
            stop.set()
            stop.ended.wait()
            #expect(failure == nil)
            #expect(try socket.dump(.addresses).count >= 3000)
        }
    }
}

/// Tells a thread to end, and tells that it did.
final class StopFlag: Sendable {
    let ended = DispatchSemaphore(value: 0)
    private let flag = DispatchSemaphore(value: 0)

    var isSet: Bool {
        guard flag.wait(timeout: .now()) == .success else { return false }
        flag.signal()
        return true
    }

    func set() { flag.signal() }
}
