import NSM
import Netlink
import NetworkTypes
import TestSupport
import Testing

@testable import Mesh

extension OnTheKernel {
    @Suite("Policy routes") struct PolicyTests {
        let spaces = Spaces()

        private func rules(_ name: String = "client") throws -> [String] {
            try ["-4", "-6"].flatMap { family in
                try spaces.json(name, "\(family) rule show").filter { $0["protocol"] as? String == "79" }.map { rule in
                    var text = "\(family) \(rule["src"] ?? "")"
                    if let length = rule["srclen"] { text += "/\(length)" }
                    if let proto = rule["ipproto"] { text += " \(proto)" }
                    if let port = rule["dport"] ?? rule["dport_start"] { text += " to \(port)" }
                    return text + " table \(rule["table"] ?? "")"
                }
            }
        }

        private func connection() throws -> CrossConnect {
            var connection = try pair(try spaces.make("client"), try spaces.make("server"))
            connection.client.addresses += try prefixes("172.16.3.1/32")
            connection.endpoint.peers = connection.client.addresses
            connection.client.policies = [
                EndPolicy(from: IPPrefix("172.16.3.1/32")),
                EndPolicy(
                    ipProtocol: 6, destinationPorts: 80...90,
                    routes: [EndRoute(try #require(IPPrefix("10.8.0.0/16")), gateway: try address("172.16.0.9"))]),
            ]
            return connection
        }

        @Test("lead to tables of their own, keep over a refresh and go with the connection")
        func life() async throws {
            var connection = try connection()
            // Table 1 is somebody's.
            try spaces.ip("client", "route add blackhole 10.0.0.0/8 table 1")
            try spaces.ip("client", "rule add from 1.2.3.4 table 2")
            let forwarder = try Forwarder()
            try await forwarder.apply(connection)
            #expect(try rules() == ["-4 172.16.3.1 table 3", "-4 all tcp to 80 table 4"])
            #expect(try spaces.routes("client", table: "3") == ["default via 172.16.0.1 dev nsm-1"])
            #expect(try spaces.routes("client", table: "4") == ["10.8.0.0/16 via 172.16.0.9 dev nsm-1"])
            let way = try spaces.ip("client", "route get 8.8.8.8 from 172.16.3.1")
            #expect(way.contains("via 172.16.0.1 dev nsm-1 table 3"))

            let listener = try Listener(connection.client.namespace)
            try await forwarder.apply(connection)
            #expect(listener.reports.isEmpty)

            connection.client.policies.removeFirst()
            connection.client.policies.append(EndPolicy(from: IPPrefix("2001:db8::2/128")))
            connection.client.policies[0].routes = [EndRoute(try #require(IPPrefix("10.7.0.0/16")))]
            try await forwarder.apply(connection)
            #expect(try rules() == ["-4 all tcp to 80 table 4", "-6 2001:db8::2 table 5"])
            #expect(try spaces.routes("client", table: "3") == [])
            #expect(try spaces.routes("client", table: "4") == ["10.7.0.0/16 via 172.16.0.1 dev nsm-1"])
            #expect(try spaces.routes("client", table: "5") == ["default via 2001:db8::1 dev nsm-1"])

            try await forwarder.remove("one")
            #expect(try rules() == [])
            #expect(try spaces.routes("client", table: "5") == [])
            #expect(try spaces.ip("client", "rule").contains("from 1.2.3.4"))
        }

        @Test("are found again by a later process, also when the link is gone")
        func restart() async throws {
            let connection = try connection()
            try await Forwarder().apply(connection)
            let made = try spaces.ip("client", "rule")
            let second = try Forwarder()
            try await second.apply(connection)
            #expect(try spaces.ip("client", "rule") == made)
            try spaces.ip("client", "link del nsm-1")
            #expect(try rules().count == 2)
            let third = try Forwarder()
            try await third.apply(connection)
            #expect(try rules().count == 2)
            var without = connection
            without.client.policies = []
            // A process that knows nothing of the rules.
            try await Forwarder().apply(without)
            #expect(try rules() == [])
        }

        @Test("a rule that somebody removed comes back with the next process")
        func repair() async throws {
            let connection = try connection()
            try await Forwarder().apply(connection)
            try spaces.ip("client", "rule del from 172.16.3.1")
            try await Forwarder().apply(connection)
            #expect(try rules().count == 2)
        }
    }
}

@Suite("Policies of the mesh") struct PolicyReadingTests {
    @Test("are read")
    func read() throws {
        let policy = try EndPolicy(
            .with {
                $0.from = "10.0.0.1"
                $0.proto = "17"
                $0.dstPort = "8000-8080"
                $0.srcPort = "53"
                $0.routes = [.with { $0.prefix = "10.1.2.3/16" }]
            })
        #expect(policy.from == IPPrefix("10.0.0.1/32"))
        #expect(policy.ipProtocol == 17)
        #expect(policy.destinationPorts == 8000...8080)
        #expect(policy.sourcePorts == 53...53)
        #expect(policy.routes == [EndRoute(try #require(IPPrefix("10.1.0.0/16")))])
    }

    @Test(
        "are refused when a part can't be read",
        arguments: [
            ["from", "ten"], ["proto", "tcp"], ["proto", "256"], ["port", "0"], ["port", "90-80"], ["port", "1-2-3"],
            ["port", "-"], ["port", "70000"], ["route", ""], ["route", "2001:db8::/32"],
        ])
    func refused(_ bad: [String]) {
        #expect(throws: ForwarderError.self) {
            try EndPolicy(
                .with {
                    $0.from = bad[0] == "from" ? bad[1] : "10.0.0.1/32"
                    if bad[0] == "proto" { $0.proto = bad[1] }
                    if bad[0] == "port" { $0.dstPort = bad[1] }
                    if bad[0] == "route" { $0.routes = [.with { $0.prefix = bad[1] }] }
                })
        }
    }
}
