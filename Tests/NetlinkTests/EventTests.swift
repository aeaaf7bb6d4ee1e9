import CLinux
import Foundation
import NetworkTypes
import Testing

@testable import Netlink

@Suite("events", .enabled(if: Sandbox.isAvailable, Sandbox.reason))
struct EventTests {
    @Test("changes by ip(8) are reported, each once")
    func changes() throws {
        try Sandbox.withNamespaces(1) { made in
            let events = try EventSocket(in: made[0].namespace)
            let loop = try EventLoop()
            try loop.add(events.descriptor, token: 7)
            #expect(try loop.wait(timeoutMilliseconds: 0) == [])
            try made[0].ip("link add va type veth peer name vb")
            try made[0].ip("link set va up")
            try made[0].ip("addr add 10.9.0.1/24 dev va")
            try made[0].ip("rule add priority 50 table 10")
            try made[0].ip("addr del 10.9.0.1/24 dev va")
            try made[0].ip("link del va")
            #expect(try loop.wait(timeoutMilliseconds: 1000) == [7])
            var seen: [Report] = []
            #expect(events.drain { seen.append($0) } == .complete)
            func count(_ matches: (Report) -> Bool) -> Int { seen.filter(matches).count }
            #expect(count { if case .address(let new) = $0 { new.local == prefix("10.9.0.1/24") } else { false } } == 1)
            #expect(count { if case .addressRemoved = $0 { true } else { false } } == 1)
            #expect(count { if case .rule(let rule) = $0 { rule.priority == 50 } else { false } } == 1)
            #expect(count { if case .linkRemoved = $0 { true } else { false } } == 2)
            #expect(try loop.wait(timeoutMilliseconds: 0) == [])
            try loop.remove(events.descriptor)
        }
    }

    @Test("a burst into a small buffer is an overrun once, and then all is well again")
    func overrun() throws {
        try Sandbox.withNamespaces(1) { made in
            let socket = try RouteSocket(in: made[0].namespace)
            let events = try EventSocket(in: made[0].namespace, groups: .addresses, receiveBuffer: 8192)
            let index = try socket.veth("a", VethPeer(name: "b")).index
            let burst = (0..<500).map {
                Request.addAddress(
                    Address(linkIndex: index, local: prefix("10.0.\($0 / 250).\($0 % 250 + 1)/32")), replace: false)
            }
            #expect(try socket.send(burst).errors.isEmpty)
            var seen = 0
            #expect(events.drain { _ in seen += 1 } == .overrun)
            #expect(seen < 500)
            #expect(events.drain { _ in seen += 1 } == .complete)
            seen = 0
            try socket.perform(.addAddress(Address(linkIndex: index, local: prefix("10.1.0.1/32")), replace: false))
            #expect(events.drain { _ in seen += 1 } == .complete)
            #expect(seen == 1)
        }
    }

    @Test("only the groups asked for")
    func groups() throws {
        try Sandbox.withNamespaces(1) { made in
            let events = try EventSocket(in: made[0].namespace, groups: [.rules])
            try made[0].ip("link set lo up")
            try made[0].ip("-6 rule add priority 51 table 10")
            var seen: [Report] = []
            #expect(events.drain { seen.append($0) } == .complete)
            #expect(seen.count == 1)
        }
    }

    @Test("groups can be left and joined again")
    func subscription() throws {
        try Sandbox.withNamespaces(1) { made in
            let events = try EventSocket(in: made[0].namespace)
            var seen = 0
            try events.subscribe(to: [])
            try made[0].ip("rule add priority 50 table 10")
            #expect(events.drain { _ in seen += 1 } == .complete)
            #expect(seen == 0)
            try events.subscribe(to: .all)
            try made[0].ip("rule del priority 50")
            #expect(events.drain { _ in seen += 1 } == .complete)
            #expect(seen == 1)
        }
    }
}

@Suite("event loop")
struct EventLoopTests {
    @Test("a waker ends a wait from another thread, and is forgotten then")
    func waker() throws {
        let loop = try EventLoop()
        let waker = loop.waker
        let thread = Thread { waker.wakeUp() }
        thread.start()
        #expect(try loop.wait(timeoutMilliseconds: 10_000) == [])
        // Woken before it waits: it does not wait. Several calls count once.
        loop.wakeUp()
        loop.wakeUp()
        #expect(try loop.wait(timeoutMilliseconds: 10_000) == [])
        #expect(try loop.wait(timeoutMilliseconds: 0) == [])
    }

    @Test("what can't be watched is refused")
    func refusals() throws {
        let loop = try EventLoop()
        #expect(throws: KernelError(code: EBADF)) { try loop.add(-1, token: 1) }
        #expect(throws: KernelError.self) { try loop.add(0, token: EventLoop.reservedToken) }
        #expect(throws: KernelError.self) { try loop.remove(0) }
    }
}
