internal import ArgumentParser

/// What becomes of the values that programs declare, and people with `set`.
struct ClientOptions: ParsableArguments, Sendable {
    @Flag(
        inversion: .prefixedNo, exclusivity: .chooseLast,
        help: "Declare again after a restart what was declared by 'set' and by the APIs.")
    var persist = true
    @Option(
        help: ArgumentHelp(
            "Where that is kept, in one file for each label. The directory is made when it is needed.",
            valueName: "directory"))
    var stateDir = "/var/lib/nsm-agent"

    mutating func validate() throws {
        if stateDir.isEmpty { throw ValidationError("--state-dir: a directory is needed") }
    }

    /// The file that keeps it; nil: it is not kept.
    func journal(label: String) -> String? { persist ? "\(stateDir)/\(label).journal" : nil }
}
