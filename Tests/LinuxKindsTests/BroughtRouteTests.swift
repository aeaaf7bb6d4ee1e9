import Testing

/// Routes that came with a connection, when another program made them in its own way.
@Suite("routes of connections", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct BroughtRouteTests {
    private static func makeLink(_ host: Sandbox) throws {
        try host.ip("link add nsm-1 type veth peer name far0")
        try host.ip("link set nsm-1 up")
        try host.ip("link set far0 up")
        try host.ip("addr add 172.16.0.1/32 dev nsm-1")
    }

    private static let connection = linux(
        "name: nsm-1, type: EXISTING, enabled: true, linkOnly: true",
        routes: [
            "outgoingInterface: nsm-1, dstNetwork: 172.16.0.0/32, scope: LINK",
            "outgoingInterface: nsm-1, dstNetwork: 172.17.0.0/16, gwAddr: 172.16.0.0, onlink: true",
            "outgoingInterface: nsm-1, dstNetwork: 'fd00::/64'",
        ])
    private static let behind = linux(
        routes: ["outgoingInterface: nsm-1, dstNetwork: 10.77.0.0/16, gwAddr: 172.16.0.0"])

    /// As the kernel elements of stock forwarders make them: no scope, and a protocol that is not ours.
    private static let stock = [
        "route replace 172.16.0.0/32 dev nsm-1 proto boot scope global",
        "route replace 172.17.0.0/16 via 172.16.0.0 dev nsm-1 onlink proto boot",
        "-6 route replace fd00::/64 dev nsm-1 proto boot",
    ]

    @Test("those of a forwarder are in place, and a gateway behind them is taken for on the link")
    func forwardersOwn() throws {
        try Sandbox.run { host in
            try Self.makeLink(host)
            for command in Self.stock { try host.ip(command) }
            let agent = host.agent()
            try agent.bring(Self.connection)
            try agent.apply(Self.behind)
            #expect(agent.problems == [])
            let routes = try host.routes()
            #expect(routes.contains("172.16.0.0 dev nsm-1"), "\(routes)")
            #expect(routes.contains("10.77.0.0/16 via 172.16.0.0 dev nsm-1 onlink"), "\(routes)")
            let before = agent.world.modifyingRequests
            try agent.apply(Self.behind)
            #expect(agent.world.modifyingRequests == before)
            // They stay when the connection's values go.
            try agent.bring("")
            try agent.apply("")
            #expect(try host.ip("route show proto boot").contains("172.16.0.0"))
        }
    }

    @Test("a forwarder that replaces ours has its way, and ours are made again when its own go")
    func replaced() throws {
        try Sandbox.run { host in
            try Self.makeLink(host)
            let agent = host.agent()
            try agent.watch()
            try agent.bring(Self.connection)
            try agent.apply(Self.behind)
            #expect(agent.problems == [])
            #expect(try host.routes().contains("172.16.0.0 dev nsm-1 scope link"))
            #expect(try host.routes().contains("10.77.0.0/16 via 172.16.0.0 dev nsm-1"))
            for command in Self.stock { try host.ip(command) }
            #expect(try agent.settle { try host.routes().contains("10.77.0.0/16 via 172.16.0.0 dev nsm-1 onlink") })
            #expect(agent.problems == [])
            let before = agent.world.modifyingRequests
            for command in Self.stock { try host.ip(command) }
            try agent.quiesce()
            #expect(agent.world.modifyingRequests == before)
            #expect(agent.problems == [])
            #expect(try host.ip("route show proto boot").contains("172.16.0.0"))
            try host.ip("route del 172.16.0.0/32")
            #expect(try agent.settle { try host.routes().contains("172.16.0.0 dev nsm-1 scope link") })
            #expect(agent.problems == [])
        }
    }

    @Test("one that leads elsewhere is still in the way")
    func elsewhere() throws {
        try Sandbox.run { host in
            try Self.makeLink(host)
            try host.ip("route add 172.16.0.0/32 dev far0 proto boot scope global")
            let agent = host.agent()
            try agent.bring(Self.connection)
            try agent.apply("")
            #expect(agent.problems.contains { $0.contains("a route that is not ours (proto boot) has its place") })
        }
    }
}
