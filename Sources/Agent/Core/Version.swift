internal import CBuild

/// The version of the programs.
public enum Version {
    /// Such as `0.1.0`; `scripts/release` reads it here.
    public static let text = "0.1.0"

    /// The commit that was built, such as `c7fc87c`, with `-modified` behind it when files differed from it; empty: unknown,
    /// as with a plain `swift build`. `scripts/lib.sh` names it to the builds of all scripts.
    public static let commit = String(cString: cb_commit())

    /// What `PROGRAM --version` prints: `nsm-agent 0.1.0 (commit c7fc87c)`.
    public static func line(program: String) -> String {
        "\(program) \(text) (\(commit.isEmpty ? "unknown commit" : "commit \(commit)"))"
    }
}
