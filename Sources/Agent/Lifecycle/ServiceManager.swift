internal import Concurrency
internal import CLinux
internal import Glibc

/// Tells systemd, or what stands in its place, how the agent is: sd_notify(3).
///
/// Without `NOTIFY_SOCKET` in the environment nothing is sent.
public struct ServiceManager: Sendable {
    /// Whether somebody listens.
    public let isPresent: Bool
    /// How often to say that the agent is alive, nanoseconds: half of what the manager allows; nil: never.
    public let watchdogInterval: Int64?

    /// Reads the environment.
    public init() {
        isPresent = Self.variable("NOTIFY_SOCKET") != nil
        let isForUs = Self.variable("WATCHDOG_PID").flatMap { Int32($0) }.map { $0 == getpid() } ?? true
        if isPresent, isForUs, let limit = Self.variable("WATCHDOG_USEC").flatMap({ Int64($0) }), limit > 1 {
            watchdogInterval = limit * 500
        } else {
            watchdogInterval = nil
        }
    }

    /// The agent does what it is there for.
    public func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }
    /// The configuration is being read again; ``ready(_:)`` follows.
    func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(SteadyClock.monotonic / 1000)") }
    /// The agent ends.
    public func stopping(_ what: String = "the network stays as it is") {
        send("STOPPING=1\nSTATUS=stopping; \(what)")
    }
    /// The agent is alive.
    func alive() { send("WATCHDOG=1", patience: 0) }
    /// One line for people.
    func status(_ text: String) { send("STATUS=\(text)", patience: 0) }

    /// - Parameter patience: How long to wait for a manager that does not read, in seconds. The network waits as long, so what is
    ///   said again and again is not waited for.
    private func send(_ message: String, patience: Int32 = 5) {
        guard isPresent else { return }
        // Nothing depends on it: a manager that can't be told makes its own conclusions.
        _ = cl_notify(message, patience)
    }

    private static func variable(_ name: String) -> String? {
        guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
        return value
    }
}
