import CLinux
import Glibc
import SPIFFE
import Testing

@testable import MeshTransport

@Suite("Places of the Workload API")
struct WorkloadEndpointTests {
    @Test(
        "forms that are read",
        arguments: [
            ("unix:///run/spire/agent.sock", WorkloadEndpoint.Socket.path("/run/spire/agent.sock")),
            ("unix:/run/spire/agent.sock", .path("/run/spire/agent.sock")),
            ("UNIX:///a", .path("/a")), ("unix:///my%20agent%2e%E2%82%ac", .path("/my agent.€")),
            ("unix:////a", .path("//a")), ("unix:///@a", .path("/@a")),
            ("unix:@spire", .abstract("spire")), ("unix-abstract:spire/agent", .abstract("spire/agent")),
            ("unix:@%40a", .abstract("@a")),
            ("tcp://127.0.0.1:8000", .tcp(address: "127.0.0.1", port: 8000)),
            ("tcp://[::1]:1", .tcp(address: "::1", port: 1)),
            ("tcp://[fe80::1]:65535", .tcp(address: "fe80::1", port: 65535)),
        ])
    func read(url: String, socket: WorkloadEndpoint.Socket) throws {
        #expect(try WorkloadEndpoint(url).socket == socket)
    }

    @Test(
        "forms that the standard does not allow are refused with the reason",
        arguments: [
            ("", "no scheme"), ("/run/agent.sock", "no scheme"), ("http://127.0.0.1:80", "the scheme http"),
            ("unix:", "no path"), ("unix://", "no path"), ("unix:///", "no path"), ("unix:/", "no path"),
            ("unix://host/path", "names the host host"), ("unix://path", "names the host path"),
            ("unix:path", "not absolute"), ("unix:///a?b", "a query"), ("unix:///a#b", "a fragment"),
            ("unix:///a%0", "can't be read"), ("unix:///a%zz", "can't be read"), ("unix:///a%00b", "can't be read"),
            ("unix:///%ff", "can't be read"), ("unix:///a\u{1}", "control characters"),
            ("unix:@", "1 to 107 bytes"), ("unix-abstract:", "1 to 107 bytes"),
            ("unix:@" + String(repeating: "a", count: 108), "1 to 107 bytes"),
            ("unix:///" + String(repeating: "a", count: 4096), "can't be read"),
            ("tcp:127.0.0.1:80", "names no address"), ("tcp://", "no port"), ("tcp://127.0.0.1", "no port"),
            ("tcp://[::1]", "no port"), ("tcp://:80", "names no address"),
            ("tcp://localhost:80", "localhost, which is not"),
            ("tcp://::1:80", "which is not an address"), ("tcp://[127.0.0.1]:80", "not an IPv6 address"),
            ("tcp://127.0.0.1:0", "the port '0'"), ("tcp://127.0.0.1:65536", "the port '65536'"),
            ("tcp://127.0.0.1:+1", "the port '+1'"), ("tcp://127.0.0.1:", "the port ''"),
            ("tcp://127.0.0.1:80/", "a path"), ("tcp://127.0.0.1:80/a", "a path"), ("tcp://u@127.0.0.1:80", "a user"),
            ("tcp://127.0.0.1:80?a", "a query"), ("tcp://127.0.0.1:80#a", "a fragment"),
            ("tcp://127.0.0.1:99999999999999999999", "the port"),
        ])
    func refused(url: String, reason: String) {
        do {
            let endpoint = try WorkloadEndpoint(url)
            Issue.record("\(url) was read as \(endpoint.socket)")
        } catch {
            #expect(error.description.contains(reason), "\(error)")
            #expect(error.description.contains("unix:///path") && error.description.utf8.count < 600)
        }
    }

    @Test("identities come by an abstract socket", .timeLimit(.minutes(10)))
    func abstract() async throws {
        let authority = try CertificateAuthority(newFor: "example.org", lifetime: .seconds(3600))
        let source = FixedIdentity(
            Identity(
                svid: try authority.issue(SPIFFEID("spiffe://example.org/w"), lifetime: .seconds(600)),
                bundles: try authority.bundles()))
        let path = TransportTests.path()
        let server = RPCServer(
            try ServerListener(.unix(path)), security: .insecure,
            services: [WorkloadAPIService { _ in source.identities() }],
            takesDescriptors: false, logger: TransportTests.quiet)
        let name = "nsm-wt-\(UInt64.random(in: 0...UInt64.max))"
        let front = cl_abstract_listen(name)
        try #require(front >= 0)
        defer { close(front) }
        let client = WorkloadIdentity(socket: "unix:@\(name)", logger: TransportTests.quiet, step: .milliseconds(20))
        // What comes to the abstract socket goes on to the service, byte by byte.
        let relay = Task {
            try await onThread {
                var poller = pollfd(fd: front, events: Int16(POLLIN), revents: 0)
                guard poll(&poller, 1, 60_000) > 0 else { return }
                let (near, far) = (cl_accept(front), cl_unix_connect(path))
                defer {
                    close(near)
                    close(far)
                }
                var buffer = [UInt8](repeating: 0, count: 65536)
                while true {
                    var pollers = [near, far].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
                    guard poll(&pollers, 2, 60_000) > 0 else { return }
                    for (from, to) in [(0, far), (1, near)] where pollers[from].revents != 0 {
                        let count = Glibc.read(pollers[from].fd, &buffer, buffer.count)
                        guard count > 0, cl_send(to, buffer, count) == count else { return }
                    }
                }
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { await client.run() }
            let identity = try await client.identity()
            #expect(identity.svid.id.path == "/w" && client.lastError == nil)
            group.cancelAll()
        }
        try await relay.value
    }
}
