/// How much longer than usual a member may take to answer, and how much longer its client waits until it comes anew.
///
/// After a failure of etcd all its clients come back at once, and it serves them one after the other. If each gave up just before
/// its turn and began again, none would ever be served: 5000 that did so never got through to an etcd on half a core.
struct DialPatience: Sendable {
    /// The most.
    static let limit = 8
    /// How long a connection lasts until all is well again.
    static let proof = Duration.seconds(30)

    /// By which the usual times are multiplied.
    private(set) var factor = 1

    /// Takes in that no member could be used, or that a connection failed.
    mutating func note(_ failures: [EtcdError]) {
        // Who refuses at once is not waited for.
        if failures.contains(where: { $0.code == .timedOut }) { factor = min(factor * 2, Self.limit) }
    }

    /// Takes in that a connection lasted.
    mutating func reset() { factor = 1 }
}
