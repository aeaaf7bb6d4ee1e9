/// The names of sources that are no clients.
public enum SourceName {
    /// The configuration files, and the environment.
    public static let files = "files"
    /// The file that is read once, at the start.
    public static let initial = "init"
    /// Connections to network services.
    public static let mesh = "mesh"
    /// An etcd.
    public static let etcd = "etcd"
    /// Resources of a Kubernetes cluster.
    public static let kubernetes = "kubernetes"
    /// Clients that give no name of their own.
    public static let grpc = "grpc"

    /// Sources that tell again by themselves what they declare, so that it need not be kept.
    public static let lasting: Set<String> = [files, initial, mesh, etcd, kubernetes]

    /// Of two sources whose values contradict each other the one with the higher number gives way: what an operator wrote in
    /// files stands, and what one client says does not undo what the same said before.
    public static func weakness(of source: String) -> Int {
        switch source {
        case files, mesh: 0
        case etcd: 1
        case kubernetes: 2
        // Every other source counts more than the initial file.
        case initial: 4
        default: 3
        }
    }

    /// Reasons of transactions, which stand where names of sources do.
    private static let reasons: Set<String> = [
        "drift", "event", "services", "retry", "start", "signal", "request", "resync", "dump",
    ]

    /// Whether a client may not call itself so.
    static func isTaken(_ name: String) -> Bool { lasting.contains(name) || reasons.contains(name) }
}
