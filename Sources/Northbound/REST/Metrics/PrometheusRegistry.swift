public import CoreMetrics
internal import Synchronization

/// What the process counts and measures, as text for Prometheus.
///
/// It collects what this agent and libraries report through the API of swift-metrics.
public final class PrometheusRegistry: MetricsFactory {
    /// What a family of series is, as the text says.
    enum Kind: String, Sendable {
        case counter
        case gauge
        case summary
        case histogram
    }

    /// A series: one family with one set of labels.
    protocol Series: AnyObject, Sendable {
        /// Lines of the text.
        func lines(_ name: String, _ labels: String) -> String
    }

    private struct Family {
        let kind: Kind
        var series: [String: any Series] = [:]
    }

    private let families = Mutex<[String: Family]>([:])
    /// Families of which it is counted how many values are below these bounds. Others only have a sum and a count.
    private let buckets: [String: [Double]]
    private let collectors = Mutex<[@Sendable () async -> Void]>([])

    /// The bounds that Prometheus' own libraries have, in seconds.
    static let usualBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

    /// Makes a registry in which nothing is counted yet.
    ///
    /// - Parameter histograms: Families, beside those of agents and of calls, of which it is to be known how their values are
    ///   distributed.
    public init(histograms: [String] = []) {
        let names = ["ligato_kvscheduler_txn_duration_seconds", "grpc_server_handling_seconds"] + histograms
        buckets = Dictionary(names.map { ($0, Self.usualBounds) }, uniquingKeysWith: { first, _ in first })
    }

    /// Has something called before the text is made: it sets what is not counted as it happens.
    public func beforeText(_ collect: @escaping @Sendable () async -> Void) {
        collectors.withLock { $0.append(collect) }
    }

    /// The text as it is now.
    var currentText: String {
        get async {
            for collect in collectors.withLock({ $0 }) { await collect() }
            return text
        }
    }

    /// The text, sorted by name.
    var text: String {
        let families = families.withLock { $0.sorted { $0.key < $1.key } }
        var text = ""
        for (name, family) in families {
            text += "# TYPE \(name) \(family.kind.rawValue)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) { text += series.lines(name, labels) }
        }
        return text
    }

    private func series<Made: Series>(
        _ name: String, _ kind: Kind, _ labels: [(String, String)], _ make: () -> Made
    ) -> Made {
        let labels = PrometheusText.labels(labels)
        return families.withLock { families in
            if let known = families[name]?.series[labels] as? Made { return known }
            let made = make()
            families[name, default: Family(kind: kind)].series[labels] = made
            return made
        }
    }

    // MARK: - The API

    /// Something that only grows.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, .counter, dimensions) { CountSeries() }
    }

    /// Something that goes up and down.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, .gauge, dimensions) { LevelSeries() }
    }

    /// Values: the last of them, or how they are distributed.
    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        if !aggregate { return series(label, .gauge, dimensions) { LevelSeries() } }
        return distribution(label, dimensions)
    }

    /// Spans of time.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        distribution(label, dimensions)
    }

    private func distribution(_ label: String, _ dimensions: [(String, String)]) -> DistributionSeries {
        let bounds = buckets[label] ?? []
        return series(label, bounds.isEmpty ? .summary : .histogram, dimensions) { DistributionSeries(bounds) }
    }

    // What was counted once stays.

    /// Nothing is forgotten.
    public func destroyCounter(_ handler: any CounterHandler) {}
    /// Nothing is forgotten.
    public func destroyMeter(_ handler: any MeterHandler) {}
    /// Nothing is forgotten.
    public func destroyRecorder(_ handler: any RecorderHandler) {}
    /// Nothing is forgotten.
    public func destroyTimer(_ handler: any TimerHandler) {}
}

/// Something that only grows.
private final class CountSeries: PrometheusRegistry.Series, CounterHandler {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) { value.wrappingAdd(amount, ordering: .relaxed) }
    func reset() { value.store(0, ordering: .relaxed) }
    func lines(_ name: String, _ labels: String) -> String { "\(name)\(labels) \(value.load(ordering: .relaxed))\n" }
}

/// Something that goes up and down.
private final class LevelSeries: PrometheusRegistry.Series, MeterHandler, RecorderHandler {
    private let value = Mutex(0.0)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { self.value.withLock { $0 = value } }
    func increment(by amount: Double) { value.withLock { $0 += amount } }
    func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
    func lines(_ name: String, _ labels: String) -> String {
        "\(name)\(labels) \(PrometheusText.number(value.withLock { $0 }))\n"
    }
}

/// Many values: their sum and count, and how many are below some bounds.
private final class DistributionSeries: PrometheusRegistry.Series, RecorderHandler, TimerHandler {
    private struct Sums {
        var sum = 0.0
        var count: UInt64 = 0
        var below: [UInt64]
    }
    private let bounds: [Double]
    private let sums: Mutex<Sums>

    init(_ bounds: [Double]) {
        self.bounds = bounds
        sums = Mutex(Sums(below: bounds.map { _ in 0 }))
    }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        sums.withLock { sums in
            sums.sum += value
            sums.count += 1
            for (index, bound) in bounds.enumerated() where value <= bound { sums.below[index] += 1 }
        }
    }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func lines(_ name: String, _ labels: String) -> String {
        let sums = sums.withLock { $0 }
        var text = ""
        if !bounds.isEmpty {
            let more = labels.isEmpty ? "{" : labels.dropLast() + ","
            for (bound, count) in zip(bounds, sums.below) {
                text += "\(name)_bucket\(more)le=\"\(PrometheusText.number(bound))\"} \(count)\n"
            }
            text += "\(name)_bucket\(more)le=\"+Inf\"} \(sums.count)\n"
        }
        text += "\(name)_sum\(labels) \(PrometheusText.number(sums.sum))\n"
        return text + "\(name)_count\(labels) \(sums.count)\n"
    }
}

/// The text format of Prometheus, 0.0.4.
enum PrometheusText {
    static let type = "text/plain; version=0.0.4; charset=utf-8"

    static func labels(_ labels: [(String, String)]) -> String {
        if labels.isEmpty { return "" }
        let parts = labels.sorted { $0.0 < $1.0 }.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(name)=\"\(escaped)\""
        }
        return "{\(parts.joined(separator: ","))}"
    }

    static func number(_ value: Double) -> String {
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }

    /// One family that is known at the moment it is asked for.
    static func family(
        _ name: String, _ kind: PrometheusRegistry.Kind, _ series: [(labels: [(String, String)], value: Double)]
    ) -> String {
        "# TYPE \(name) \(kind.rawValue)\n"
            + series.map { "\(name)\(labels($0.labels)) \(number($0.value))\n" }.joined()
    }
}
