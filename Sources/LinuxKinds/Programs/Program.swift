internal import Glibc
internal import Model
internal import Netlink

/// A program that speaks netlink for us, where the text of a user has to be read.
struct Program: Hashable, Sendable {
    /// Its name, without a directory.
    let name: String
    /// Debian's package that brings it.
    let package: String

    /// nft(8).
    static let nft = Program(name: "nft", package: "nftables")

    /// iptables-restore(8) as it speaks to nf_tables, and that of IPv6.
    static func iptablesRestore(_ family: FilterTable.Family) -> Program {
        Program(name: family == .ip6 ? "ip6tables-nft-restore" : "iptables-nft-restore", package: "iptables")
    }

    /// iptables-save(8) as it speaks to nf_tables, and that of IPv6.
    static func iptablesSave(_ family: FilterTable.Family) -> Program {
        Program(name: family == .ip6 ? "ip6tables-nft-save" : "iptables-nft-save", package: "iptables")
    }

    /// Where programs of the system are; only root can put something there.
    private static let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin"]

    /// Where it is; nil: it is not installed.
    var path: String? {
        Self.directories.lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}

/// What a program wrote, and how it ended.
struct ProgramResult: Sendable {
    /// Its exit status; 0: all went well.
    var status: Int32
    /// What it wrote to standard output.
    var output: String
    /// What it wrote to standard error.
    var words: String
}

/// Why a program could not be used.
enum ProgramError: Error, Hashable, CustomStringConvertible {
    /// It is not installed.
    case missing(Program)
    /// It could not be started: what was refused, and how.
    case notStarted(Program, what: String, KernelErrorText)
    /// It did not end in time and was killed.
    case tookTooLong(Program, seconds: Int32)
    /// It wrote more than is taken.
    case wroteTooMuch(Program)
    /// A signal ended it.
    case ended(Program, signal: Int32)
    /// It says no to one of several rules, in its words.
    case refusedRule(Program, index: Int, words: String)
    /// It says no to a text, and where.
    case refusedText(Program, [Remark])
    /// It says no, in its words.
    case refused(Program, words: String)

    /// A kernel error in words.
    typealias KernelErrorText = String

    /// Words about a place in the user's text, or about none.
    struct Remark: Hashable, Sendable {
        /// Counted from the user's first line and column; nil: it is about all of it.
        var place: (line: Int, column: Int)?
        var words: String

        static func == (left: Self, right: Self) -> Bool {
            left.words == right.words && left.place?.line == right.place?.line
                && left.place?.column == right.place?.column
        }

        func hash(into hasher: inout Hasher) { hasher.combine(words) }
    }

    var description: String { text(nil) }

    /// What is wrong, with its places in the file when they are known.
    func text(_ places: SourcePlaces?) -> String {
        switch self {
        case .missing(let program):
            "\(program.name) is not installed here; the package \(program.package) brings it"
        case .notStarted(let program, let what, let error): "\(program.name) was not started: \(what): \(error)"
        case .tookTooLong(let program, let seconds): "\(program.name) did not end within \(seconds) s and was stopped"
        case .wroteTooMuch(let program): "\(program.name) wrote more than is taken from it"
        case .ended(let program, let signal): "\(program.name) was ended by signal \(signal)"
        case .refusedRule(let program, let index, let words):
            (places?.position(element: index).map { "\($0): " } ?? "")
                + "rules[\(index)]: \(program.name) says: \(words)"
        case .refusedText(let program, let remarks): Self.text(program, remarks, places)
        case .refused(let program, let words): "\(program.name) says: \(words.isEmpty ? "nothing" : words)"
        }
    }

    /// Whether it is the text that is wrong, whatever the kernel says at that moment.
    var isAboutText: Bool {
        switch self {
        case .refusedText(_, let remarks): !remarks.contains { $0.words.contains("Could not process rule") }
        case .refused(_, let words): !words.contains("Could not process rule")
        case .refusedRule: true
        case .missing, .notStarted, .tookTooLong, .wroteTooMuch, .ended: false
        }
    }

    private static func text(_ program: Program, _ remarks: [Remark], _ places: SourcePlaces?) -> String {
        var start = ""
        let texts = remarks.enumerated().map { index, remark in
            guard let (line, column) = remark.place else { return remark.words }
            let position = places?.position(line: line, column: column)
            // A program may say much; the first place stands where people and editors look for it.
            if index == 0, let position { start = "\(position): " }
            let other = index > 0 ? position.map { "\($0): " } : nil
            return (other ?? "") + "line \(line), column \(column): \(remark.words)"
        }
        return "\(start)\(program.name) says: \(texts.joined(separator: "; "))"
    }
}
