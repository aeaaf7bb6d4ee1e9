internal import CLinux
internal import Glibc

/// What the program's exit status means.
enum ExitStatus {
    /// All is as it should be.
    static let success: Int32 = 0
    /// Something failed or is pending.
    static let failure: Int32 = 1
    /// A plan has changes, and was asked to say so.
    static let changes: Int32 = 2
    /// The command line is wrong: `EX_USAGE`.
    static let usage: Int32 = 64
    /// The configuration is wrong: `EX_DATAERR`.
    static let invalid: Int32 = 65
    /// No agent is there to ask: `EX_UNAVAILABLE`.
    static let unavailable: Int32 = 69
    /// The system refuses what the program needs to start: `EX_OSERR`.
    static let refused: Int32 = 71
    /// A privilege is missing: `EX_NOPERM`.
    static let forbidden: Int32 = 77
}

/// Why a command ends without having done what it was asked for.
struct Failure: Error {
    /// What is wrong and what to do; empty: it was said already.
    var text: String
    var status: Int32

    init(_ text: String, status: Int32 = ExitStatus.failure) {
        self.text = text
        self.status = status
    }

    /// Everything was said already.
    static func said(status: Int32) -> Failure { Failure("", status: status) }

    /// Writes `nsm-agent: …` to standard error.
    static func tell(_ text: String) { write("nsm-agent: \(text)\n") }

    /// Writes to standard error as it is.
    static func write(_ text: String) {
        var text = text
        // There is nowhere to report that reporting failed.
        text.withUTF8 { _ = cl_write_all(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
