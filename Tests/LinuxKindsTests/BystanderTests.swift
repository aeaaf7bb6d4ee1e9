import LinuxKinds
import Reconciler
import TestSupport
import Testing

/// What others have on an interface outlives what we do to it.
@Suite("bystanders", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct BystanderTests {
    /// A link as a DHCP client, keepalived and an administrator leave it.
    private func prepare(_ host: Sandbox) throws {
        try host.ip("link add eth0 type veth peer name eth1")
        try host.ip("link set eth1 up")
        try host.ip("link set eth0 up")
    }

    private func addVirtual(_ host: Sandbox, to link: String = "eth0") throws {
        try host.ip(
            "addr add 10.0.0.100/24 dev \(link) label \(link) valid_lft 3600 preferred_lft 1800"
        )
        try host.ip("addr add 10.0.0.101/24 dev \(link)")
        try host.ip("route add default via 10.0.0.254 dev \(link) proto dhcp src 10.0.0.100 metric 7 mtu 1300 tos 0x10")
        try host.ip(
            "route add 10.50.0.0/16 proto bird nexthop via 10.0.0.9 dev \(link) weight 3 nexthop via 10.0.0.8 dev \(link)"
        )
        try host.ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev \(link) nud permanent")
        try host.ip("neigh add proxy 10.0.0.77 dev \(link)")
    }

    /// All that is not ours, without what changes by itself.
    private func foreign(_ host: Sandbox, _ link: String = "eth0") throws -> [String] {
        let addresses = try host.ip("-o addr show dev \(link) scope global").split(separator: "\n")
            .filter { $0.contains(".100/") || $0.contains(".101/") || $0.contains("::100/") }
            .map { $0.split(separator: " ").dropFirst() }
        let others = try [
            "route show proto dhcp", "route show proto bird", "-6 route show proto static",
            "neigh show dev \(link) nud permanent", "neigh show proxy dev \(link)",
        ].flatMap { try host.ip($0).split(separator: "\n") }.map { $0.split(separator: " ")[...] }
        return (addresses + others).map { words in
            words.filter { $0 != "secondary" && !$0.hasSuffix("sec") && $0 != "linkdown" && !$0.hasPrefix(link) }
                .joined(separator: " ")
        }.sorted()
    }

    private func existing(_ addresses: String, _ more: String = "") -> String {
        linux("name: e, type: EXISTING, hostIfName: eth0, enabled: true, ipAddresses: [\(addresses)]" + more)
    }

    @Test("our primary address changes and goes: secondaries, routes and neighbours of others stay as they were")
    func primary() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            try addVirtual(host)
            let before = try foreign(host)
            #expect(before.count == 8)
            for addresses in [
                "10.0.0.2/24", "10.0.0.2/24, 10.0.0.3/24", "10.0.0.3/24", "10.0.0.3/16", "10.9.0.1/24", "",
            ] {
                let transaction = try agent.apply(existing(addresses))
                #expect(transaction?.losses == [])
                #expect(try foreign(host) == before, "\(addresses)")
                try host.expectInPlace(existing(addresses), agent)
            }
            try agent.apply("")
            #expect(try foreign(host) == before)
        }
    }

    @Test("the last address goes with ours: routes of others that don't need it stay")
    func last() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            try host.ip("route add 10.60.0.0/16 dev eth0 proto bird")
            try host.ip("route add 10.61.0.0/16 via 10.60.0.1 dev eth0 proto bird")
            try host.ip("neigh add 10.60.0.1 lladdr 02:00:00:00:00:09 dev eth0 nud permanent")
            let before = try foreign(host)
            try agent.apply("")
            #expect(try foreign(host) == before)
            #expect(before.count == 3)
        }
    }

    @Test("a route of others beside ours, with another TOS, stays")
    func otherTOS() throws {
        try Sandbox.run { host in
            try prepare(host)
            let route = "outgoingInterface: e, dstNetwork: 10.50.0.0/16, gwAddr: 10.0.0.8"
            func yaml(_ address: String) -> String {
                linux(
                    "name: e, type: EXISTING, hostIfName: eth0, enabled: true, ipAddresses: [\(address)]",
                    routes: [route])
            }
            let agent = try host.apply(yaml("10.0.0.1/24"))
            try host.ip("route add 10.50.0.0/16 tos 0x10 via 10.0.0.9 dev eth0 proto bird")
            let before = try foreign(host)
            #expect(before.count == 1)
            #expect(try agent.apply(yaml("10.0.0.2/24"))?.losses == [])
            #expect(try foreign(host) == before)
            try host.expectInPlace(yaml("10.0.0.2/24"), agent)
        }
    }

    @Test(
        "who listens asks once for routes of others; those that come later stay, whether he has read of them or not",
        arguments: [true, false])
    func listening(hasRead: Bool) throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            try agent.watch()
            try agent.change(to: existing("10.0.0.2/24"))
            try agent.quiesce()
            if hasRead {
                try addVirtual(host)
                try agent.quiesce()
            } else {
                // The last address takes them along.
                try host.ip("route add 10.50.0.0/16 via 10.0.0.9 dev eth0 proto bird")
                try host.ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0 nud permanent")
            }
            let before = try foreign(host)
            #expect(before.count == (hasRead ? 8 : 2))
            for addresses in ["10.0.0.3/24", "10.0.0.4/24", "10.0.0.4/16"] {
                #expect(try agent.change(to: existing(addresses))?.losses == [])
                #expect(try foreign(host) == before, "\(addresses)")
                if hasRead { try agent.quiesce() }
            }
        }
    }

    @Test("a route of others that prefers our address by another link does not go unseen: it is told lost")
    func preferring() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24, 10.7.0.1/24"))
            try agent.watch()
            try agent.change(to: existing("10.0.0.2/24, 10.7.0.1/24"))
            try agent.quiesce()
            try host.ip("route add 10.51.0.0/16 dev eth1 proto bird src 10.0.0.2")
            try agent.quiesce()
            let losses = try agent.change(to: existing("10.0.0.3/24, 10.7.0.1/24"))?.losses ?? []
            #expect(losses.contains { $0.contains("10.51.0.0/16") })
        }
    }

    @Test("a table of hundreds of routes of others stays")
    func table() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            for number in 0..<300 {
                try host.ip("route add 10.\(60 + number / 256).\(number % 256).0/24 via 10.0.0.9 dev eth0 proto bird")
            }
            let before = try foreign(host)
            #expect(before.count == 300)
            #expect(try agent.apply(existing("10.0.0.2/24"))?.losses == [])
            #expect(try foreign(host) == before)
        }
    }

    @Test("what needs our address to be reached is lost with it, and told")
    func loss() throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            try host.ip("route add 10.50.0.0/16 via 10.0.0.9 dev eth0 proto bird")
            let transaction = try agent.apply(existing(""))
            #expect(transaction?.losses.count == 1)
            #expect(
                transaction?.losses.first?.hasPrefix("eth0 loses the route 10.50.0.0/16 via 10.0.0.9 proto bird")
                    == true)
            #expect(transaction?.entries.allSatisfy(\.error.isEmpty) == true)
        }
    }

    @Test("a new MAC address, and a new name: what others have on our own link stays")
    func ownLink() throws {
        try Sandbox.run { host in
            func yaml(_ host: String, _ mac: Int) -> String {
                linux(
                    veth(
                        "a", "b", host: host,
                        "physAddress: '02:00:00:00:00:0\(mac)', ipAddresses: [10.0.0.1/24, 'fd00::1/64']"),
                    veth("b", "a"))
            }
            let agent = try host.apply(yaml("h0", 1))
            try addVirtual(host, to: "h0")
            try host.ip("addr add fd00::100/64 dev h0 nodad")
            try host.ip("route add fd50::/16 via fd00::9 dev h0 proto static")
            let before = try foreign(host, "h0")
            #expect(before.count == 10)
            try agent.apply(yaml("h0", 2))
            #expect(try foreign(host, "h0") == before)
            try agent.apply(yaml("h1", 2))
            #expect(try foreign(host, "h1") == before)
        }
    }

    @Test("a link that is made anew gets back what others had on it")
    func recreated() throws {
        try Sandbox.run { host in
            func yaml(_ queues: Bool) -> String {
                linux(
                    "name: tap0, type: TAP, enabled: true, ipAddresses: [10.0.0.1/24], tuntap: {multiQueue: \(queues)}")
            }
            let agent = try host.apply(yaml(false))
            try addVirtual(host, to: "tap0")
            let before = try foreign(host, "tap0")
            let transaction = try agent.apply(yaml(true))
            #expect(transaction?.entries.contains { $0.verb == .recreate } == true)
            #expect(try foreign(host, "tap0") == before)
        }
    }

    @Test("an undo brings back what others had", arguments: ["mtu: 1200", "physAddress: '02:00:00:00:00:55'", ""])
    func undo(_ change: String) throws {
        try Sandbox.run { host in
            try prepare(host)
            let agent = try host.apply(existing("10.0.0.1/24"))
            try addVirtual(host)
            try host.ip("addr add fd00::100/64 dev eth0 nodad")
            try host.ip("route add default via fd00::9 dev eth0 proto static")
            let before = try foreign(host)
            #expect(before.count == 10)
            let more = change.isEmpty ? "" : ", " + change
            let bad = existing("10.7.0.1/24", more).with(
                "linuxConfig:\n  interfaces:\n",
                "linuxConfig:\n  interfaces:\n    - {name: all, type: TAP, enabled: true}\n")
            let transaction = try agent.apply(bad, revertOnFailure: true)
            #expect(transaction?.reverted == true)
            #expect(transaction?.revertErrors == [])
            #expect(try foreign(host) == before)
        }
    }

    @Test("a link that was made anew with what others have on it goes again when that is undone")
    func undoRecreation() throws {
        try Sandbox.run { host in
            func interface(_ queues: Bool) -> String {
                "name: tap0, type: TAP, enabled: true, ipAddresses: [10.0.0.1/24], tuntap: {multiQueue: \(queues)}"
            }
            let agent = try host.apply(linux(interface(false)))
            try addVirtual(host, to: "tap0")
            let before = try foreign(host, "tap0")
            let transaction = try agent.apply(
                linux(interface(true), "name: all, type: TAP, enabled: true"), revertOnFailure: true)
            #expect(transaction?.reverted == true)
            #expect(transaction?.revertErrors == [])
            #expect(try foreign(host, "tap0") == before)
            try host.expectInPlace(linux(interface(false)), agent)
        }
    }

    @Test("a link of ours that is removed and comes back by an undo has all that was on it")
    func undoRemoval() throws {
        try Sandbox.run { host in
            let pair = [veth("a", "b", "ipAddresses: [10.0.0.1/24]"), veth("b", "a")]
            let agent = try host.apply(Config(interfaces: pair).text)
            try addVirtual(host, to: "a")
            let before = try foreign(host, "a")
            let transaction = try agent.apply(
                linux("name: all, type: TAP, enabled: true"), revertOnFailure: true)
            #expect(transaction?.reverted == true)
            #expect(transaction?.revertErrors == [])
            #expect(try foreign(host, "a") == before)
        }
    }
}

extension String {
    fileprivate func with(_ old: String, _ new: String) -> String {
        split(separator: old, omittingEmptySubsequences: false).joined(separator: new)
    }
}
