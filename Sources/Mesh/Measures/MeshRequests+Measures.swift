public import GRPCCore
internal import NSM
internal import Netlink

extension MeshRequests {
    /// What a reading of all connections' traffic may cost: this part of the time between two of them.
    private static let readingShare = 200
    private static let betweenReadings = (least: Duration.seconds(2), most: Duration.seconds(30))

    /// When the traffic of all connections is read.
    struct Reading {
        /// When it may be read again.
        var next = ContinuousClock.now
        /// Whether it is read now.
        var isUnderWay = false
    }

    /// Brings up to date what is not counted as it happens.
    func collect() async {
        guard let measures else { return }
        let states = monitor.connections.mapValues(\.state)
        let mechanisms = await forwarder.mechanisms
        // One that is not made yet, or was let go as its endpoint ended, is none of the kernel's.
        let connections = states.compactMap { id, state in mechanisms[id].map { ($0, state) } }
        measures.set(connections, vnis: vnis.withLock(\.count))
        await readTraffic(Array(mechanisms.keys))
    }

    /// Reads what links carried, unless that was done a short while ago: for 1000 connections the kernel is asked 1000 times.
    private func readTraffic(_ ids: [String]) async {
        let start = ContinuousClock.now
        let isDue = reading.withLock { reading in
            guard start >= reading.next, !reading.isUnderWay else { return false }
            reading.isUnderWay = true
            return true
        }
        guard isDue else { return }
        for begin in stride(from: 0, to: ids.count, by: MeshStatus.readAtOnce) {
            await forwarder.readTraffic(of: ids[begin..<min(begin + MeshStatus.readAtOnce, ids.count)])
        }
        let end = ContinuousClock.now
        let pause = (end - start) * Self.readingShare
        let next = end + min(max(Self.betweenReadings.least, pause), Self.betweenReadings.most)
        reading.withLock { $0 = Reading(next: next) }
    }

    /// Has the answer of an attempt counted.
    func timed<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        guard let measures else { return try await body() }
        let start = ContinuousClock.now
        do {
            let result = try await body()
            measures.noteOnward(.now - start, failed: false)
            return result
        } catch {
            measures.noteOnward(.now - start, failed: true)
            throw error
        }
    }
}

/// What whoever counts for a mesh, or a forwarder, has to know beforehand.
public enum MeshCounts {
    /// Families of which it is to be known how their values are distributed.
    public static var histograms: [String] { MeshMeasures.histograms }

    /// The calls that managers and forwarders are asked by.
    public static let methods: [MethodDescriptor] =
        Networkservice_NetworkService.Method.descriptors + NSMMonitorConnection.Method.descriptors
        + NSMNetworkServiceRegistry.Method.descriptors
        + NSMNetworkServiceEndpointRegistry.Method.descriptors + Ipam_IPAM.Method.descriptors
        + Grpc_Health_V1_Health.Method.descriptors
}
