internal import Glibc

/// Users whom the agent obeys on its own host.
enum AgentUser {
    /// Whether it is root, or the user as whom the agent runs.
    static func isTrusted(_ user: UInt32) -> Bool { user == 0 || user == geteuid() }
}
