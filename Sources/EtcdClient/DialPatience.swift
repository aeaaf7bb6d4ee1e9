/// How much longer than usual a member may take until it is connected and has answered.
///
/// After a failure of etcd all its clients come back at once, and it serves them one after the other. If each gave up just before
/// its turn and began again, none would ever be served.
struct DialPatience: Sendable {
    /// The most.
    static let limit = 8

    /// By which the usual time is multiplied.
    private(set) var factor = 1

    /// Takes in that no member could be used.
    mutating func note(_ failures: [EtcdError]) {
        // Who refuses at once is not waited for.
        if failures.contains(where: { $0.code == .timedOut }) { factor = min(factor * 2, Self.limit) }
    }

    /// Takes in that a member answered.
    mutating func reset() { factor = 1 }
}
