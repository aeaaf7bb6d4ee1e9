internal import Concurrency
internal import Glibc
public import Logging
internal import Model
internal import Synchronization

/// Writes log lines to standard error: one line for each event, as text or JSON.
public struct StandardErrorLog: LogHandler {
    /// How a line looks.
    public enum Format: String, Sendable, CaseIterable {
        /// `2026-11-22T21:00:00.123Z info  configured key=…`
        case text
        /// One JSON object a line.
        case json
    }

    /// Lines below this level are not written. All copies of a logger have it together, so that it can be changed for a process
    /// that runs.
    public var logLevel: Logger.Level {
        get { threshold.level }
        nonmutating set { threshold.level = newValue }
    }
    /// What is added to each line.
    public var metadata: Logger.Metadata = [:]
    private let format: Format
    private let label: String
    private let threshold: Threshold
    private let repeated = RepeatedLines()

    /// The level that copies share.
    private final class Threshold: Sendable {
        private let number: Atomic<Int>

        init(_ level: Logger.Level) { number = Atomic(Self.levels.firstIndex(of: level) ?? 0) }

        private static let levels = Logger.Level.allCases

        var level: Logger.Level {
            get { Self.levels[number.load(ordering: .relaxed)] }
            set { number.store(Self.levels.firstIndex(of: newValue) ?? 0, ordering: .relaxed) }
        }
    }

    /// Makes a log.
    public init(label: String, format: Format, level: Logger.Level) {
        self.label = label
        self.format = format
        threshold = Threshold(level)
    }

    /// One part of what is added to each line.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line.
    public func log(event: LogEvent) {
        var details = event.metadata ?? [:]
        if !metadata.isEmpty { details.merge(metadata) { own, _ in own } }
        if let error = event.error { details["error"] = "\(error)" }
        let message = event.message.description
        switch repeated.verdict(event.level, message, details, at: SteadyClock.monotonic) {
        case .write: break
        case .writeCount(let count): details["count"] = .stringConvertible(count)
        case .drop: return
        }
        let time = Timestamp.now.rfc3339(fractionDigits: 3)
        var line: [UInt8] = []
        line.reserveCapacity(256)
        switch format {
        case .text: Self.write(time, event.level, message, details, to: &line)
        case .json: line += Self.json(time, event.level, message, details, logger: label).utf8
        }
        line.append(UInt8(ascii: "\n"))
        // One call for each line, so that lines of several threads don't mix.
        _ = line.withUnsafeBytes { bytes in Glibc.write(STDERR_FILENO, bytes.baseAddress, bytes.count) }
    }

    /// Bytes, as a text takes its time over each piece that is added.
    private static func write(
        _ time: String, _ level: Logger.Level, _ message: String, _ details: Logger.Metadata, to line: inout [UInt8]
    ) {
        let (space, name) = (UInt8(ascii: " "), Self.name(level))
        line += time.utf8
        line.append(space)
        line += name.utf8
        for _ in name.utf8.count..<6 { line.append(space) }
        line += oneLine(message).utf8
        for (key, value) in ordered(details) {
            let text = text(value)
            line.append(space)
            line += key.utf8
            line.append(UInt8(ascii: "="))
            let needsQuotes = text.isEmpty || text.utf8.contains { $0 <= 0x20 || $0 == 0x22 || $0 == 0x3d }
            line += needsQuotes ? JSONWriter.quote(text).utf8 : text.utf8
        }
    }

    private static func json(
        _ time: String, _ level: Logger.Level, _ message: String, _ details: Logger.Metadata, logger: String
    ) -> String {
        var line = "{\"time\":\"\(time)\",\"level\":\"\(name(level))\",\"logger\":\(JSONWriter.quote(logger))"
        line += ",\"message\":\(JSONWriter.quote(message))"
        for (key, value) in ordered(details) {
            // The unit of a duration is said by the name, so that programs can compare them.
            let name = Self.duration(value) == nil ? key : "\(key)_ms"
            line += ",\(JSONWriter.quote(name)):\(json(value))"
        }
        return line + "}"
    }

    /// Numbers as they are, durations in milliseconds, all else as text.
    private static func json(_ value: Logger.Metadata.Value) -> String {
        if let duration = duration(value) {
            let (seconds, attoseconds) = duration.components
            return "\(Double(seconds) * 1000 + Double(attoseconds / 1_000_000_000_000) / 1000)"
        }
        if case .stringConvertible(let number) = value, number is any FixedWidthInteger || number is Bool {
            return "\(number)"
        }
        return JSONWriter.quote("\(value)")
    }

    private static func duration(_ value: Logger.Metadata.Value) -> Duration? {
        if case .stringConvertible(let content) = value { content as? Duration } else { nil }
    }

    /// A value in words: durations as `850µs` or `12ms`.
    private static func text(_ value: Logger.Metadata.Value) -> String {
        guard let duration = duration(value) else { return "\(value)" }
        let (seconds, attoseconds) = duration.components
        let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
        return microseconds < 10_000 ? "\(microseconds)µs" : "\(microseconds / 1000)ms"
    }

    /// The key of the value first, then the transaction, then the rest by name.
    private static func ordered(_ details: Logger.Metadata) -> [(key: String, value: Logger.Metadata.Value)] {
        if details.count < 2 { return details.map { ($0.key, $0.value) } }
        func rank(_ key: String) -> Int { key == "key" ? 0 : key == "txn" ? 1 : 2 }
        return details.sorted { (rank($0.key), $0.key) < (rank($1.key), $1.key) }
    }

    private static func oneLine(_ text: String) -> String {
        text.utf8.contains { $0 < 0x20 } ? String(text.map { $0.isNewline || $0 == "\u{1b}" ? " " : $0 }) : text
    }

    private static func name(_ level: Logger.Level) -> String {
        switch level {
        case .trace: "trace"
        case .debug: "debug"
        case .info: "info"
        case .notice: "note"
        case .warning: "warn"
        case .error: "error"
        case .critical: "fatal"
        }
    }
}

extension Logger.Level {
    /// Reads a level by the names of this log and those of the agents before it.
    public init?(name: String) {
        switch name.lowercased() {
        case "trace": self = .trace
        case "debug": self = .debug
        case "info": self = .info
        case "notice", "note": self = .notice
        case "warn", "warning": self = .warning
        case "error": self = .error
        case "critical", "fatal", "panic": self = .critical
        default: return nil
        }
    }
}
