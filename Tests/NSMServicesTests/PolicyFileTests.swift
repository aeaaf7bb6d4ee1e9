import Glibc
import NSM
import TestSupport
import Testing

@testable import NSMServices

@Suite("A file of policy routes")
struct PolicyFileTests {
    @Test("every field is read")
    func fields() throws {
        let policies = try PolicyFile.policies(
            """
            - from: 172.16.2.201/24
              proto: 6
              dstport: 6666
              routes:
                - prefix: 172.16.3.0/24
                  nexthop: 172.16.2.200
                - prefix: 172.16.4.7/24
            - proto: "17"
              srcport: 8000-8080
              routes:
            """)
        #expect(policies.map(\.from) == ["172.16.2.201/24", ""])
        #expect(policies.map(\.proto) == ["6", "17"])
        #expect(policies.map(\.dstPort) == ["6666", ""])
        #expect(policies.map(\.srcPort) == ["", "8000-8080"])
        #expect(policies[0].routes.map(\.prefix) == ["172.16.3.0/24", "172.16.4.0/24"])
        #expect(policies[0].routes.map(\.nextHop) == ["172.16.2.200", ""])
        #expect(policies[1].routes.isEmpty)
        #expect(try PolicyFile.policies("").isEmpty)
    }

    @Test(
        "mistakes are told with their lines",
        arguments: [
            ("from: x", "a list"), ("- from: x", "line 1: from is 'x'"),
            ("- {}\n- proto: tcp", "line 2: proto is 'tcp'"),
            ("- dstport: 0", "a port"), ("- dstport: 9-8", "a port"), ("- dst_port: 80", "known are from"),
            ("- routes: [{nexthop: 10.0.0.1}]", "no prefix"),
            ("- routes: [{prefix: 10.0.0.0/8, nexthop: x}]", "an address"),
            ("- [", "line "),
        ])
    func mistakes(_ text: String, _ expected: String) {
        let error = #expect(throws: PolicyFile.Failure.self) { try PolicyFile.policies(text) }
        #expect(error?.description.contains(expected) == true, "\(error?.description ?? "")")
    }

    @Test("a file that is not there has none, and another stamp than one that is")
    func file() throws {
        let path = "/tmp/nsm-policies-\(getpid())-\(UInt32.random(in: 0...UInt32.max)).yaml"
        defer { unlink(path) }
        let file = PolicyFile(path: path)
        #expect(try file.read().isEmpty && file.stamp == nil)
        _ = try Command.run(["sh", "-c", "echo '- proto: 6' >\(path)"])
        let first = file.stamp
        #expect(try file.read().map(\.proto) == ["6"] && first != nil)
        _ = try Command.run(["sh", "-c", "echo '- proto: 17' >\(path).new; mv \(path).new \(path)"])
        #expect(try file.read().map(\.proto) == ["17"] && file.stamp != first)
    }
}
