import NSM
import TestSupport
import Testing

@testable import Mesh
@testable import Netlink
@testable import Northbound

@Suite("Numbers of a mesh") struct MeasuresTests {
    /// The value of a series; nil: it is not in the text.
    private func value(_ series: String, in text: String) -> Double? {
        text.split(separator: "\n").first { $0.hasPrefix(series + " ") }
            .flatMap { Double($0.dropFirst(series.count + 1)) }
    }

    @Test("every series is there from the start, and nothing a peer chooses is a label")
    func start() {
        let registry = PrometheusRegistry(histograms: MeshCounts.histograms)
        let measures = MeshMeasures(registry)
        measures.set([], vnis: 0)
        for mechanism in ["KERNEL", "VXLAN", "WIREGUARD"] {
            for state in ["UP", "DOWN", "REFRESH_REQUESTED", "RESELECT_REQUESTED"] {
                let series = "nsm_forwarder_connections{mechanism=\"\(mechanism)\",state=\"\(state)\"}"
                #expect(value(series, in: registry.text) == 0, "\(series)")
            }
        }
        #expect(MeshMeasures.states.count == NSMState.allCases.count)
        #expect(value(#"nsm_forwarder_connections_ended_total{reason="expired"}"#, in: registry.text) == 0)
        #expect(registry.text.contains("# TYPE nsm_forwarder_kernel_duration_seconds histogram\n"))
        let lines = registry.text.split(separator: "\n").count
        measures.set([(.kernel, .down), (.kernel, .down), (.vxlan, .up), (.vxlan, .UNRECOGNIZED(9))], vnis: 1)
        measures.noteEnd(.closed)
        measures.note(.create, .milliseconds(7), failed: true)
        #expect(registry.text.split(separator: "\n").count == lines)
        #expect(value(#"nsm_forwarder_connections{mechanism="KERNEL",state="DOWN"}"#, in: registry.text) == 2)
        #expect(value(#"nsm_forwarder_kernel_failures_total{operation="create"}"#, in: registry.text) == 1)
        #expect(
            value(#"nsm_forwarder_kernel_duration_seconds_bucket{operation="create",le="0.01"}"#, in: registry.text)
                == 1
        )
    }

    @Test("what a link carried only grows, also when the link is made again")
    func traffic() throws {
        var before = try #require([UInt64](repeating: 0, count: 8).withUnsafeBytes { LinkTraffic($0) })
        before.receivedBytes = 100
        before.sentPackets = 7
        var now = before
        now.receivedBytes = 150
        now.sentPackets = 3
        #expect(now.since(nil).receivedBytes == 150)
        #expect(now.since(before).receivedBytes == 50)
        #expect(now.since(before).sentPackets == 3)
    }
}

extension OnTheKernel {
    @Suite("Numbers of a forwarder") struct ForwarderMeasuresTests {
        let spaces = Spaces()

        private func value(_ series: String, in text: String) -> Double? {
            text.split(separator: "\n").first { $0.hasPrefix(series + " ") }
                .flatMap { Double($0.dropFirst(series.count + 1)) }
        }

        @Test("count what is made, refused and removed, and what connections carry")
        func life() async throws {
            let registry = PrometheusRegistry(histograms: MeshCounts.histograms)
            let forwarder = try Forwarder(owner: "", host: nil, measures: MeshMeasures(registry))
            let connection = try pair(try spaces.make("client"), try spaces.make("server"))
            try await forwarder.apply(connection)
            try await forwarder.apply(connection)
            try spaces.inside("client", "ping -c3 -i0.2 -W2 172.16.0.1")
            await forwarder.readTraffic(of: ["one", "another"])
            let sent = try #require(
                value(#"nsm_forwarder_transmit_bytes_total{mechanism="KERNEL"}"#, in: registry.text))
            #expect(sent >= 3 * 98)
            var second = connection
            second.id = "two"
            let refused = second
            _ = await refusal { try await forwarder.apply(refused) }
            try spaces.inside("client", "ping -c1 -W2 172.16.0.1")
            try await forwarder.remove("one")
            try await forwarder.remove("one")
            let text = registry.text
            for (operation, count) in [("create", 2.0), ("update", 1), ("remove", 1)] {
                #expect(
                    value("nsm_forwarder_kernel_duration_seconds_count{operation=\"\(operation)\"}", in: text) == count,
                    "\(operation)")
            }
            #expect(value(#"nsm_forwarder_kernel_failures_total{operation="create"}"#, in: text) == 1)
            // What was carried since the last reading counts as well.
            let all = try #require(value(#"nsm_forwarder_transmit_bytes_total{mechanism="KERNEL"}"#, in: text))
            #expect(all >= sent + 98)
            #expect(value(#"nsm_forwarder_transmit_bytes_total{mechanism="VXLAN"}"#, in: text) == 0)
            await forwarder.removeLeftovers(in: [connection.client.namespace])
            #expect(value("nsm_forwarder_leftover_cleanings_total", in: registry.text) == 1)
        }

        @Test("leave out what a link carried for the forwarder before")
        func adopted() async throws {
            let (client, server) = (try spaces.make("client"), try spaces.make("server"))
            let connection = try pair(client, server)
            let former = try Forwarder(owner: "", host: nil, measures: nil)
            try await former.apply(connection)
            try spaces.inside("client", "ping -c2 -i0.2 -W2 -s 1000 172.16.0.1")
            let registry = PrometheusRegistry(histograms: MeshCounts.histograms)
            let forwarder = try Forwarder(owner: "", host: nil, measures: MeshMeasures(registry))
            let series = #"nsm_forwarder_transmit_bytes_total{mechanism="KERNEL"}"#
            try await forwarder.apply(connection)
            await forwarder.readTraffic(of: ["one"])
            let before = try #require(value(series, in: registry.text))
            // No more than what the kernel itself sends meanwhile.
            #expect(before < 1000)
            try spaces.inside("client", "ping -c1 -W2 -s 1000 172.16.0.1")
            await forwarder.readTraffic(of: ["one"])
            #expect(try #require(value(series, in: registry.text)) >= before + 1000)
        }
    }
}
