import NSM
import NetworkTypes
import Synchronization
import TestSupport
import Testing

@Suite("Point-to-point addresses")
struct IPAMTests {
    @Test("the lowest two addresses of each group are given, endpoint first")
    func lowest() throws {
        var ipam = try #require(PointToPointIPAM("172.16.0.0/24, [2001:db8::/127,2001:db8:1::/64]"))
        var first = NSMIPContext()
        try ipam.allocate("a", &first)
        #expect(first.dstIpAddrs == ["172.16.0.1/32", "2001:db8::/128"])
        #expect(first.srcIpAddrs == ["172.16.0.2/32", "2001:db8::1/128"])
        #expect(first.srcRoutes.map(\.prefix) == first.dstIpAddrs && first.dstRoutes.map(\.prefix) == first.srcIpAddrs)
        var second = NSMIPContext()
        try ipam.allocate("b", &second)
        // The first pool of the second group is used up.
        #expect(second.dstIpAddrs == ["172.16.0.3/32", "2001:db8:1::/128"])
        let before = second
        try ipam.allocate("b", &second)
        #expect(second == before)
        ipam.release("a")
        var third = NSMIPContext()
        try ipam.allocate("c", &third)
        #expect(third == first)
    }

    @Test("what is spared is given to who comes with it, and to others only when nothing else is left")
    func spared() throws {
        var ipam = try #require(PointToPointIPAM("10.0.0.0/29"))
        let spared = SparedAddresses([try #require(IPAddress("10.0.0.1"))]) { _ in true }
        ipam.spared = spared
        func allocate(_ id: String, _ source: [String] = []) throws -> [String] {
            var context = NSMIPContext.with { $0.srcIpAddrs = source }
            try ipam.allocate(id, &context)
            return context.dstIpAddrs + context.srcIpAddrs
        }
        #expect(try allocate("a") == ["10.0.0.3/32", "10.0.0.4/32"])
        #expect(try allocate("b") == ["10.0.0.5/32", "10.0.0.6/32"])
        ipam.release("b")
        #expect(try allocate("b", ["10.0.0.2/32"]) == ["10.0.0.1/32", "10.0.0.2/32"])
        // Whose it was has had it again, so it is as any other.
        ipam.release("b")
        #expect(spared.addresses().prefixes.isEmpty)
        #expect(try allocate("c") == ["10.0.0.1/32", "10.0.0.2/32"])
        ipam.release("a")
        ipam.release("c")
        ipam.spared = SparedAddresses([try #require(IPAddress("10.0.0.1"))]) { _ in true }
        #expect(try allocate("a") == ["10.0.0.3/32", "10.0.0.4/32"])
        #expect(try allocate("c") == ["10.0.0.5/32", "10.0.0.6/32"])
        #expect(try allocate("d") == ["10.0.0.1/32", "10.0.0.2/32"])
        // It goes over to the pools that take its place.
        var next = try #require(PointToPointIPAM("10.0.0.0/29"))
        next.takeOver(from: ipam)
        #expect(next.spared === ipam.spared && next.spared != nil)
    }

    @Test("what is still there is not looked at for each client, and who is back is spared no more")
    func sparedCost() throws {
        let own = try (0..<100).map { try #require(IPAddress("10.0.\($0).1")) }
        let looks = Mutex(0)
        let isGone = Mutex(false)
        let start = ContinuousClock.now
        let spared = SparedAddresses(own) { address in
            looks.withLock { $0 += 1 }
            return address != own[99] || !isGone.withLock { $0 }
        }
        var ipam = try #require(PointToPointIPAM("10.0.0.0/16"))
        ipam.spared = spared
        #expect(spared.addresses(at: start).prefixes.count == 200 && looks.withLock { $0 } == 100)
        for _ in 0..<100 { _ = spared.addresses(at: start) }
        #expect(looks.withLock { $0 } == 100)
        for (number, address) in own.dropLast(2).enumerated() {
            var context = NSMIPContext.with { $0.srcIpAddrs = ["\(IPPrefix(host: address.successor))"] }
            try ipam.allocate("c\(number)", &context)
            #expect(context.dstIpAddrs == ["\(IPPrefix(host: address))"])
        }
        #expect(spared.addresses(at: start).prefixes.count == 4)
        isGone.withLock { $0 = true }
        #expect(spared.addresses(at: start + .seconds(2)).prefixes.map { "\($0)" } == ["10.0.98.1/32", "10.0.98.2/32"])
        #expect(looks.withLock { $0 } == 102)
    }

    @Test("excluded addresses are not given, and replaced when they become so")
    func excluded() throws {
        var ipam = try #require(PointToPointIPAM("10.0.0.0/29"))
        var context = NSMIPContext.with { $0.excludedPrefixes = ["10.0.0.1/32", "10.0.0.2/32"] }
        try ipam.allocate("a", &context)
        #expect(context.dstIpAddrs == ["10.0.0.3/32"] && context.srcIpAddrs == ["10.0.0.4/32"])
        context.excludedPrefixes = ["10.0.0.4/30"]
        try ipam.allocate("a", &context)
        #expect(context.dstIpAddrs == ["10.0.0.1/32"] && context.srcIpAddrs == ["10.0.0.2/32"])
        var other = NSMIPContext()
        try ipam.allocate("b", &other)
        #expect(other.dstIpAddrs == ["10.0.0.3/32"])
        var none = NSMIPContext.with { $0.excludedPrefixes = ["10.0.0.0/8"] }
        #expect(throws: PointToPointIPAM.Exhausted.self) { try ipam.allocate("c", &none) }
    }

    @Test("who comes back with free addresses gets them again")
    func claim() throws {
        var ipam = try #require(PointToPointIPAM("10.0.0.0/24"))
        var context = NSMIPContext.with { context in
            context.srcIpAddrs = ["192.0.2.1/32", "10.0.0.9/32"]
            context.dstIpAddrs = ["10.0.0.8/32"]
        }
        try ipam.allocate("a", &context)
        #expect(context.srcIpAddrs == ["192.0.2.1/32", "10.0.0.9/32"] && context.dstIpAddrs == ["10.0.0.8/32"])
        for number in 0..<3 {
            var other = NSMIPContext()
            try ipam.allocate("\(number)", &other)
        }
        var later = NSMIPContext()
        try ipam.allocate("z", &later)
        #expect(later.dstIpAddrs == ["10.0.0.7/32"] && later.srcIpAddrs == ["10.0.0.10/32"])
    }

    @Test("addresses from elsewhere stay when it is polite, and go with their routes when it is strict")
    func policies() throws {
        let sent = NSMIPContext.with { context in
            // Another endpoint's, another client's, and what the client wants of itself.
            context.srcIpAddrs = ["172.16.0.2/32", "10.0.0.2/32", "192.0.2.7/24"]
            context.dstIpAddrs = ["172.16.0.1/32", "10.0.0.1/32"]
            context.srcRoutes = ["172.16.0.1/32", "10.0.0.1/32", "0.0.0.0/0"].map { prefix in
                .with { $0.prefix = prefix }
            }
            context.dstRoutes = ["172.16.0.2/32", "10.0.0.2/32"].map { prefix in .with { $0.prefix = prefix } }
        }
        for (policy, sources, routes) in [
            (
                PointToPointIPAM.Policy.polite, ["172.16.0.2/32", "192.0.2.7/24", "10.0.0.4/32"],
                ["172.16.0.1/32", "0.0.0.0/0", "10.0.0.3/32"]
            ),
            (.strict, ["10.0.0.4/32"], ["0.0.0.0/0", "10.0.0.3/32"]),
        ] {
            var ipam = try #require(PointToPointIPAM("10.0.0.0/24", policy: policy))
            var other = NSMIPContext()
            try ipam.allocate("other", &other)
            var context = sent
            try ipam.allocate("c", &context)
            #expect(context.srcIpAddrs == sources && context.srcRoutes.map(\.prefix) == routes)
            #expect(context.dstIpAddrs.last == "10.0.0.3/32" && context.dstRoutes.last?.prefix == "10.0.0.4/32")
            let before = context
            try ipam.allocate("c", &context)
            #expect(context == before)
        }
    }

    @Test("pools in one bracket stand in for each other, and groups give a pair each")
    func groups() throws {
        var ipam = try #require(PointToPointIPAM("[10.0.0.0/31, 10.0.1.0/31],2001:db8::/127"))
        var first = NSMIPContext()
        try ipam.allocate("a", &first)
        #expect(first.dstIpAddrs == ["10.0.0.0/32", "2001:db8::/128"])
        var second = NSMIPContext()
        // The second group has nothing left: what the first one gave is free again.
        #expect(throws: PointToPointIPAM.Exhausted.self) { try ipam.allocate("b", &second) }
        #expect(ipam.pairs(of: "b").isEmpty)
        ipam.release("a")
        try ipam.allocate("b", &second)
        #expect(second.dstIpAddrs == first.dstIpAddrs)
    }

    @Test("no address is ever given twice, whatever happens")
    func random() throws {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<40 {
            var ipam = try #require(
                PointToPointIPAM(random.pick(["10.0.0.0/27", "[10.0.0.0/29,10.0.1.0/28]", "2001:db8::/123"])))
            var held: [String: NSMIPContext] = [:]
            for _ in 0..<200 {
                let id = "\(random.below(20))"
                if random.chance(40) {
                    ipam.release(id)
                    held[id] = nil
                    continue
                }
                var context = random.chance(30) ? held[id] ?? NSMIPContext() : NSMIPContext()
                if random.chance(20) { context.excludedPrefixes = ["10.0.0.\(random.below(32))/32"] }
                do {
                    try ipam.allocate(id, &context)
                    held[id] = context
                } catch {
                    continue
                }
                let pairs = held.keys.flatMap { id in ipam.pairs(of: id) }
                let all = pairs.flatMap { [$0.source, $0.destination] }
                #expect(Set(all).count == all.count)
            }
        }
    }

    @Test(
        "what can't be read is refused",
        arguments: ["", "x", "[10.0.0.0/8", "10.0.0.0/8]", "[[10.0.0.0/8]]", "10.0.0.0/33"])
    func unreadable(text: String) { #expect(PointToPointIPAM(text) == nil) }
}
