internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import NSM

/// What becomes of the values that programs declare, and people with `set`.
struct ClientOptions: ParsableArguments, Sendable {
    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: "After a restart, declare again the values of 'set' and of the APIs.")
    var persist = true
    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: ArgumentHelp(
            "Keep on the disk what was done, for 'history' after a restart and for 'rollback'.",
            discussion: "Without, and with --no-persist, it is kept in memory."))
    var history = true
    @Option(
        help: ArgumentHelp(
            "Where both are kept, in one file each for each label. The directory is made when needed. (default: /var/lib/nsm-agent; in a network namespace other than the host's own /run/nsm-agent/NUMBER, as its values end with it)",
            valueName: "directory"))
    var stateDir: String?

    mutating func validate() throws {
        if stateDir?.isEmpty == true { throw ValidationError("--state-dir: a directory is needed") }
    }

    /// The file that keeps what was done; nil: it is kept in memory.
    func history(label: String) -> String? {
        persist && history ? "\(stateDir ?? Self.directory)/\(label).history" : nil
    }

    /// The file that keeps it; nil: it is not kept.
    func journal(label: String) -> String? { persist ? "\(stateDir ?? Self.directory)/\(label).journal" : nil }

    /// Where a daemon keeps what was done, and what clients declare.
    static func files(label: String, in stateDir: String?) -> (history: String, journal: String) {
        let start = "\(stateDir ?? directory)/\(label)"
        return (start + ".history", start + ".journal")
    }

    /// Values of one network namespace are never those of another one, and names of namespaces are used again.
    private static var directory: String {
        if MeshEnvironment.isOfHost { return "/var/lib/nsm-agent" }
        let ours = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        defer { if ours >= 0 { close(ours) } }
        var cookie: UInt64 = 0
        // A kernel that tells no number, before 5.14, keeps apart only what the operator keeps apart.
        guard ours >= 0, cl_socket_namespace_cookie(ours, &cookie) == 0 else { return "/run/nsm-agent" }
        return "/run/nsm-agent/\(cookie)"
    }
}
