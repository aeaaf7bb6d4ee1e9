internal import CoreMetrics
internal import NSM
internal import Netlink

/// What a mesh, or a forwarder, counts for Prometheus. Labels have few values, none of which a peer chooses.
final class MeshMeasures: Sendable {
    /// What is done in the kernel.
    enum Work: String, CaseIterable {
        /// Links are made.
        case create
        /// Links that are there are looked at, and brought up to date.
        case update
        /// Links are removed.
        case remove
    }

    /// Families of which it is to be known how their values are distributed.
    static let histograms = ["nsm_forwarder_kernel_duration_seconds", "nsm_forwarder_onward_duration_seconds"]

    private let factory: any MetricsFactory
    private let made: [ForwarderMechanism: Counter]
    private let ended: [ConnectionEndReason: Counter]
    private let times: [Work: Timer]
    private let failures: [Work: Counter]
    private let onward: (time: Timer, failures: Counter)
    private let leftovers: (cleanings: Counter, removed: Counter)
    private let vnis: Meter
    private let standing: [Standing: Meter]
    private let traffic: [ForwarderMechanism: Traffic]

    private struct Standing: Hashable {
        let mechanism: ForwarderMechanism
        let state: NSMState
    }

    private struct Traffic {
        let bytes: (received: Counter, sent: Counter)
        let packets: (received: Counter, sent: Counter)
        let drops: (received: Counter, sent: Counter)
    }

    /// The states that a connection has, and their names in the protocol.
    static let states: [(state: NSMState, name: String)] = [
        (.up, "UP"), (.down, "DOWN"), (.refreshRequested, "REFRESH_REQUESTED"),
        (.reselectRequested, "RESELECT_REQUESTED"),
    ]

    /// All series are there from the start, so that a rate is known when something happens for the first time.
    init(_ factory: any MetricsFactory) {
        self.factory = factory
        func counter(_ name: String, _ labels: [(String, String)] = []) -> Counter {
            Counter(label: "nsm_forwarder_\(name)", dimensions: labels, factory: factory)
        }
        func timer(_ name: String, _ labels: [(String, String)] = []) -> Timer {
            Timer(label: "nsm_forwarder_\(name)", dimensions: labels, factory: factory)
        }
        func each<Case: CaseIterable & Hashable & RawRepresentable<String>, Made>(
            _ label: String, _ make: ([(String, String)]) -> Made
        ) -> [Case: Made] {
            var all: [Case: Made] = [:]
            for item in Case.allCases { all[item] = make([(label, item.rawValue)]) }
            return all
        }
        made = each("mechanism") { counter("connections_made_total", $0) }
        ended = each("reason") { counter("connections_ended_total", $0) }
        times = each("operation") { timer("kernel_duration_seconds", $0) }
        failures = each("operation") { counter("kernel_failures_total", $0) }
        onward = (timer("onward_duration_seconds"), counter("onward_failures_total"))
        leftovers = (counter("leftover_cleanings_total"), counter("leftovers_removed_total"))
        vnis = Meter(label: "nsm_forwarder_vxlan_vnis_in_use", factory: factory)
        var standing: [Standing: Meter] = [:]
        for mechanism in ForwarderMechanism.allCases {
            for (state, name) in Self.states {
                let labels = [("mechanism", mechanism.rawValue), ("state", name)]
                standing[Standing(mechanism: mechanism, state: state)] = Meter(
                    label: "nsm_forwarder_connections", dimensions: labels, factory: factory)
            }
        }
        self.standing = standing
        traffic = each("mechanism") { labels in
            Traffic(
                bytes: (counter("receive_bytes_total", labels), counter("transmit_bytes_total", labels)),
                packets: (counter("receive_packets_total", labels), counter("transmit_packets_total", labels)),
                drops: (counter("receive_drop_total", labels), counter("transmit_drop_total", labels)))
        }
    }

    // MARK: - What happens

    func noteMade(_ mechanism: ForwarderMechanism) { made[mechanism]?.increment() }

    func noteEnd(_ reason: ConnectionEndReason) { ended[reason]?.increment() }

    /// Something was done in the kernel, or could not be.
    func note(_ work: Work, _ duration: Duration, failed: Bool) {
        times[work]?.recordNanoseconds(duration.nanoseconds)
        if failed { failures[work]?.increment() }
    }

    /// An endpoint, or the manager of another host, was asked for a connection, which was then made here, or not.
    func noteOnward(_ duration: Duration, failed: Bool) {
        onward.time.recordNanoseconds(duration.nanoseconds)
        if failed { onward.failures.increment() }
    }

    func noteCleaning(removed: Int) {
        leftovers.cleanings.increment()
        leftovers.removed.increment(by: removed)
    }

    /// What links carried since the last call.
    func add(_ carried: LinkTraffic, by mechanism: ForwarderMechanism) {
        guard let counters = traffic[mechanism] else { return }
        for (counter, value) in [
            (counters.bytes.received, carried.receivedBytes), (counters.bytes.sent, carried.sentBytes),
            (counters.packets.received, carried.receivedPackets), (counters.packets.sent, carried.sentPackets),
            (counters.drops.received, carried.receiveDrops), (counters.drops.sent, carried.sendDrops),
        ] where value > 0 { counter.increment(by: Int64(clamping: value)) }
    }

    // MARK: - What is so when it is asked for

    /// - Parameters:
    ///   - connections: The mechanism and the state of each.
    ///   - vnis: VXLAN network identifiers that this host uses.
    func set(_ connections: some Sequence<(ForwarderMechanism, NSMState)>, vnis: Int) {
        var counts: [Standing: Int] = [:]
        for (mechanism, state) in connections { counts[Standing(mechanism: mechanism, state: state), default: 0] += 1 }
        for (key, meter) in standing { meter.set(counts[key, default: 0]) }
        self.vnis.set(vnis)
    }

    /// A number that only one of the programs has, such as how many endpoints a registry knows.
    func set(_ name: String, to value: Int) { Meter(label: name, factory: factory).set(value) }
}

/// Why a connection ended.
enum ConnectionEndReason: String, CaseIterable, Hashable {
    case closed
    case expired
    case reselected
    case displaced
    case withdrawn

    /// For the log.
    var text: String {
        switch self {
        case .closed: "its client closed it"
        case .expired: "its token was not renewed"
        case .reselected: "its client wants another endpoint"
        case .displaced: "another one has its id"
        case .withdrawn: "its endpoint offers the service no more"
        }
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
