internal import Synchronization

/// How long a lease is ours for sure, by our own clock.
///
/// A process may stand still for longer than its lease lasts, and go on in the middle of its work: another one leads then. Who writes
/// looks here right before.
public final class Leadership: Sendable {
    private let end: Mutex<ContinuousClock.Instant>

    /// One that lasts until a moment, unless it is renewed.
    public init(until end: ContinuousClock.Instant) { self.end = Mutex(end) }

    /// Whether nobody else can lead yet.
    public var isValid: Bool { end.withLock { .now < $0 } }

    func renew(until moment: ContinuousClock.Instant) { end.withLock { $0 = moment } }
}
