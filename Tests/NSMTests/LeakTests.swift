import Glibc
import NSM
import TestSupport
import Testing

@Suite("Descriptors and tables over many requests")
struct LeakTests {
    @Test(
        "each request through an endpoint brings a namespace's descriptor each way, and nothing is left: 1000, or 10 000 with NSM_AGENT_LONG",
        .timeLimit(.minutes(10)))
    func endpoint() async {
        // In a process of its own, so that every descriptor counts.
        await #expect(processExitsWith: .success) {
            try await Leak.endpoint(count: getenv("NSM_AGENT_LONG") == nil ? 1000 : 10_000)
        }
    }
}

enum Leak {
    /// What was found wrong.
    struct Found: Error, CustomStringConvertible {
        let description: String
    }

    static func endpoint(count: Int) async throws {
        let fixture = try EndpointFixture([
            .init(name: "s", ipam: PointToPointIPAM("10.0.0.0/16"))
        ])
        try await fixture.run {
            try await fixture.withCalls { calls in
                // The first ones bring what stays: threads, sockets of the loop, the registration's tries.
                try await requests(200, calls, "warm")
                let before = openDescriptors()
                try await requests(count, calls, "c")
                try await eventually("\(before) descriptors as before; there are \(openDescriptors())") {
                    openDescriptors() <= before
                }
                guard fixture.endpoint.state.connections.isEmpty else {
                    throw Found(description: "\(fixture.endpoint.state.connections.count) connections are left")
                }
                guard calls.connection.info.descriptors?.unclaimed == 0 else {
                    throw Found(description: "descriptors are left that nobody asked for")
                }
                // All addresses are free again.
                let answer = try await calls.request(EndpointFixture.request("last", "s"), timeout: .seconds(60))
                guard answer.context.ipContext.dstIpAddrs == ["10.0.0.1/32"] else {
                    throw Found(description: "the last client has \(answer.context.ipContext.dstIpAddrs)")
                }
            }
        }
    }

    /// Request, refresh and Close of `count` connections, 16 side by side, with a descriptor each way each time.
    static func requests(_ count: Int, _ calls: Calls, _ name: String) async throws {
        guard let channel = calls.connection.info.descriptors else { throw Found(description: "no descriptors") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<count / 2 {
                if number >= 16 { try await group.next() }
                group.addTask {
                    let space = try Descriptor.open("/proc/self/ns/net", pathOnly: true)
                    var message = EndpointFixture.request("\(name)-\(number)", "s")
                    for _ in 0..<2 {
                        message.mechanismPreferences = [.kernel(name: "nsm-1", inodeURL: space.inode.url)]
                        try channel.send(space)
                        message.connection = try await calls.request(message, timeout: .seconds(60))
                        guard let inode = Inode(url: message.connection.mechanism.inodeURL) else {
                            throw Found(description: "the answer names no namespace")
                        }
                        _ = try await channel.receive(inode, within: .seconds(60))
                    }
                    try channel.send(space)
                    try await calls.close(message.connection, timeout: .seconds(60))
                }
            }
            try await group.waitForAll()
        }
    }
}
