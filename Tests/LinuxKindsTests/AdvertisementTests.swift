import Glibc
import Netlink
import Testing

/// Routes beside those of routers' advertisements.
@Suite("router advertisements", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct AdvertisementTests {
    private static let yaml = linux(
        "name: up0, type: EXISTING, enabled: true, addresses: [{address: 'fd00::2/64', nodad: true}]",
        routes: ["outgoingInterface: up0, dstNetwork: '::/0', gwAddr: 'fd00::1'"])

    /// A link to a router in a namespace of its own, both of whose ends have their link-local address at once.
    private func makeUplink(_ host: Sandbox) throws {
        try host.addNamespaces("router")
        try host.ip("link add up0 type veth peer name far0 netns \(host.file("router"))")
        for (name, namespace) in [("up0", nil), ("far0", "router")] as [(String, String?)] {
            try host.ip("link set \(name) addrgenmode none", in: namespace)
            try host.ip("link set \(name) up", in: namespace)
        }
        try host.ip("addr add fe80::2/64 dev up0 nodad")
        try host.ip("addr add fe80::99/64 dev far0 nodad", in: "router")
    }

    private func advertise(_ host: Sandbox) throws {
        try NetworkNamespace(path: host.file("router")).run {
            let descriptor = socket(AF_INET6, Int32(SOCK_RAW.rawValue), Int32(IPPROTO_ICMPV6))
            defer { close(descriptor) }
            var index = Int32(if_nametoindex("far0"))
            var hops: Int32 = 255
            var size = socklen_t(MemoryLayout<Int32>.size)
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF, &index, size)
            setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_HOPS, &hops, size)
            // Type, code, checksum (the kernel's), hop limit, flags, lifetime of the router, two timers.
            let message: [UInt8] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]
            var target = sockaddr_in6()
            target.sin6_family = sa_family_t(AF_INET6)
            inet_pton(AF_INET6, "ff02::1", &target.sin6_addr)
            size = socklen_t(MemoryLayout<sockaddr_in6>.size)
            let sent = withUnsafePointer(to: &target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, message, message.count, 0, $0, size)
                }
            }
            #expect(sent == message.count)
        }
    }

    private func defaults(_ host: Sandbox) throws -> [String] {
        try host.ip("-6 -o route show default").split(separator: "\n").map { line in
            line.contains("proto ra") ? "router's" : line.contains("via fd00::1 ") ? "ours" : String(line)
        }.sorted()
    }

    @Test("a default route stands beside the router's, whoever came first")
    func beside() throws {
        try Sandbox.run { host in
            try makeUplink(host)
            let agent = host.agent()
            try agent.watch()
            func expectBoth(_ what: Comment) throws {
                #expect(try agent.settle { try defaults(host) == ["ours", "router's"] }, what)
                try agent.quiesce()
                #expect(agent.problems == [], what)
                #expect(try defaults(host) == ["ours", "router's"], what)
                try host.expectInPlace(Self.yaml, agent)
            }
            try advertise(host)
            #expect(try agent.settle { try defaults(host) == ["router's"] })
            try agent.apply(Self.yaml)
            try expectBoth("the router first")
            try host.ip("-6 route del default via fd00::1")
            try expectBoth("ours was deleted")
            try host.ip("-6 route del default proto ra")
            #expect(try agent.settle { try defaults(host) == ["ours"] })
            try advertise(host)
            try expectBoth("ours first")
            // Another gateway.
            let other = Self.yaml.replacing("gwAddr: 'fd00::1'", with: "gwAddr: 'fd00::7'")
            try agent.apply(other)
            #expect(try host.routes(v6: true) == ["default via fd00::7 dev up0 metric 1024"])
            #expect(try defaults(host).contains("router's"))
            try agent.apply(Self.yaml)
            try expectBoth("back again")
            try agent.apply("")
            #expect(try defaults(host) == ["router's"])
        }
    }

    @Test("after a flap of the link both come back, the router's first")
    func flap() throws {
        try Sandbox.run { host in
            try makeUplink(host)
            let agent = try host.apply(Self.yaml)
            try advertise(host)
            try agent.watch()
            try host.ip("link set up0 down")
            try host.ip("link set up0 up")
            try host.ip("addr add fe80::2/64 dev up0 nodad")
            try advertise(host)
            #expect(try agent.settle { try defaults(host) == ["ours", "router's"] })
            try agent.quiesce()
            #expect(agent.problems == [])
            #expect(try defaults(host) == ["ours", "router's"])
        }
    }

    @Test("what a program made of an advertisement becomes one route with ours")
    func program() throws {
        try Sandbox.run { host in
            try makeUplink(host)
            try host.ip("-6 route add default via fe80::99 dev up0 proto ra metric 1024")
            try host.apply(Self.yaml)
            #expect(try host.ip("-6 route show default").contains("via fd00::1 dev up0"))
            #expect(try host.ip("-6 route show default").contains("via fe80::99 dev up0"))
        }
    }
}
