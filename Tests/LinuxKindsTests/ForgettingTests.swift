import Testing

@testable import LinuxKinds

/// What a world keeps beside the kernel's objects, by count.
private struct Kept: Equatable {
    var namespaces: Int
    var references: Int
    var identities: Int
    var watches: Int
    var unreachable: Int

    init(_ world: LinuxWorld) {
        namespaces = world.states.count
        references = world.states.reduce(0) { $0 + $1.references.count }
        identities = world.byIdentity.count
        watches = world.watcher?.count ?? 0
        unreachable = world.unreachable.count
    }
}

@Suite("what is kept when things came and went", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct ForgettingTests {
    private static let own = linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"))

    @Test("namespaces of others leave nothing behind")
    func namespaces() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.own)
            try agent.watch()
            let before = Kept(agent.world)
            for round in 0..<5 {
                for number in 0..<8 { try host.addNamespaces("pod-\(round)-\(number)") }
                #expect(try agent.settle { agent.world.byReference[.named("pod-\(round)-7")] != nil })
                for number in 0..<8 { try host.removeNamespace("pod-\(round)-\(number)") }
                #expect(try agent.settle { !agent.world.byReference.keys.contains { "\($0)".contains("pod-") } })
            }
            #expect(Kept(agent.world) == before)
            try host.expectInPlace(Self.own, agent)
        }
    }

    @Test("who has values in his own namespace alone follows no other one, unless something of ours is left there")
    func others() throws {
        try Sandbox.run { host in
            try host.addNamespaces("empty", "left")
            let agent = host.agent()
            try agent.change(to: "")
            try agent.watch()
            #expect(agent.world.byReference[.named("empty")]?.events != nil)
            try host.ip("link add z type bridge", in: "left")
            try host.ip("link set z alias /vnf-agent/\(host.label)/z", in: "left")
            // Of an alias alone the kernel does not tell.
            try host.ip("link set z up", in: "left")
            #expect(try agent.settle { agent.world.byReference[.named("left")]?.link(named: "z")?.link.alias != nil })
            let own = linux("name: t, type: TAP, enabled: true")
            agent.world.looksEverywhere = false
            try agent.change(to: own)
            #expect(agent.world.byReference[.named("empty")] == nil)
            #expect(agent.world.byReference[.named("left")] != nil)
            try agent.apply(own)
            #expect(agent.problems == [])
            #expect(try host.links(in: "left").map(\.name) == ["lo"])
            try agent.apply(own)
            #expect(Kept(agent.world).namespaces == 1)
            try agent.quiesce()
            let events = agent.world.tally.events
            try host.ip("link add x type bridge", in: "empty")
            try agent.quiesce()
            #expect(agent.world.tally.events == events)
            // Named, they are known again.
            try agent.apply(linux("name: t, type: TAP, enabled: true", "name: u, type: TAP" + place("empty")))
            #expect(agent.problems == [])
            #expect(try host.links(in: "empty").map(\.name) == ["lo", "x", "u"])
            try agent.apply(own)
            #expect(try host.links(in: "empty").map(\.name) == ["lo", "x"])
            try host.expectInPlace(own, agent)
        }
    }

    @Test("declared namespaces leave nothing behind")
    func declared() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.own)
            try agent.watch()
            let before = Kept(agent.world)
            for number in 0..<10 {
                let more = linux(
                    veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"),
                    veth("c", "d", in: "pod\(number)"), veth("d", "c", in: "pod\(number)"),
                    namespaces: ["name: pod\(number)"])
                try agent.apply(more)
                #expect(agent.problems == [])
            }
            try agent.apply(Self.own)
            #expect(try agent.settle { host.namespaces == ["x"] })
            try agent.quiesce()
            agent.reconciler.reconcile(reason: .apply)
            #expect(Kept(agent.world) == before)
        }
    }

    @Test("a namespace that stays forgets the references that led to it")
    func references() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.own)
            try agent.watch()
            let before = Kept(agent.world)
            for number in 0..<3 {
                // The same namespace by another path.
                let folder = "\(host.directory)/../\(host.label)-\(number)"
                try host.command("ln -s \(host.directory) \(folder)")
                defer { _ = try? host.command("rm \(folder)") }
                let more = linux(
                    veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"),
                    "name: lo1, type: LOOPBACK, enabled: true, namespace: {type: FD, reference: '\(folder)/x'}")
                try agent.apply(more)
                #expect(agent.problems == [])
                #expect(Kept(agent.world).references == before.references + 1)
                try agent.apply(Self.own)
                #expect(try agent.settle { Kept(agent.world) == before })
            }
        }
    }

    @Test("the namespace of a process that no value names any more is let go")
    func processes() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.own)
            try agent.watch()
            let before = Kept(agent.world)
            let process = try host.startProcess()
            let more = linux(
                veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"),
                "name: lo1, type: LOOPBACK, enabled: true, namespace: {type: PID, reference: \"\(process)\"}")
            try agent.apply(more)
            #expect(agent.problems == [])
            #expect(Kept(agent.world).namespaces == before.namespaces + 1)
            try agent.apply(Self.own)
            #expect(try agent.settle { Kept(agent.world) == before })
        }
    }

    @Test("routes that came and went are forgotten")
    func routes() throws {
        try Sandbox.run { host in
            let agent = try host.apply(Self.own)
            try agent.watch()
            for number in 0..<20 {
                let route = "outgoingInterface: a, dstNetwork: 10.\(number + 1).0.0/16, gwAddr: 10.0.0.2"
                try agent.apply(
                    linux(veth("a", "b", in: "x", "ipAddresses: [10.0.0.1/24]"), veth("b", "a"), routes: [route]))
                #expect(agent.problems == [])
                try agent.quiesce()
            }
            try agent.apply(Self.own)
            for _ in 0..<2 { agent.reconciler.reconcile(reason: .apply) }
            #expect(agent.world.byReference[.named("x")]?.rememberedRoutes == 0)
        }
    }

    @Test("links of others that were changed are forgotten when they go")
    func touched() throws {
        try Sandbox.run { host in
            let yaml = linux("name: e, type: EXISTING, hostIfName: e, enabled: true, mtu: 1400")
            try host.ip("link add e type veth peer name f")
            let agent = try host.apply(yaml)
            try agent.watch()
            #expect(agent.world.byReference[.own]?.touched.count == 1)
            for _ in 0..<3 {
                try host.ip("link del e")
                #expect(try agent.settle { agent.interface("e")?.state == .pending })
                try host.ip("link add e type veth peer name f")
                #expect(try agent.settle { agent.problems == [] })
            }
            #expect(agent.world.byReference[.own]?.touched.count == 1)
            #expect(agent.world.byReference[.own]?.gone.isEmpty == true)
        }
    }
}
