/// The options of the agent before this one: flags with one dash or two, each also an environment variable.
///
/// It is meant by its name `nsm-agent-linux`, by `-config-dir`, or by `CONFIG_DIR` where `run` or nothing is said.
struct UpstreamFlags {
    /// What it is called.
    private static let program = "nsm-agent-linux"
    /// Its parts that have files of settings, `PART.conf` unless `-PART-config` says otherwise.
    static let parts = [
        "etcd", "http", "grpc", "logs", "kvscheduler", "linux-ifplugin", "linux-l3plugin", "linux-nsplugin",
        "linux-iptablesplugin", "netalloc", "orchestrator", "nsm-plugin", "initfileregistry",
    ]
    private static let known = Set(
        ["config-dir", "microservice-label", "http-port", "grpc-port"] + parts.map { "\($0)-config" })

    /// Flags of the command line by name.
    private let given: [String: String]
    private let environment: (String) -> String?

    /// The value of a flag or of its variable; nil: it has none.
    subscript(_ name: String) -> String? { given[name] ?? environment(Self.variable(name)) }

    /// What a flag is called in words to its user, by where its value comes from.
    func origin(_ name: String) -> String { given[name] == nil ? "$" + Self.variable(name) : "-" + name }

    private static func variable(_ flag: String) -> String { flag.uppercased().replacing("-", with: "_") }

    /// Splits a command line into these flags and words that this agent takes.
    ///
    /// - Returns: the words behind the name of the program; flags are nil when the agent before this one is not meant.
    /// - Throws: `Failure` for flags that are not known.
    static func split(
        _ line: [String], environment: @escaping (String) -> String?
    ) throws(Failure) -> (words: [String], flags: UpstreamFlags?) {
        var rest = line.dropFirst()
        let isNamed = line.first?.split(separator: "/").last.map { $0 == program } ?? false
        guard isMeant(Array(rest), isNamed: isNamed, environment) else { return (Array(rest), nil) }
        if rest.first == "run" { rest = rest.dropFirst() }
        var given: [String: String] = [:]
        var words = ["run"]
        while let word = rest.popFirst() {
            guard let flag = Flag(word) else {
                words.append(word)
                continue
            }
            if known.contains(flag.name) {
                guard let value = flag.value ?? rest.popFirst() else {
                    throw Failure("-\(flag.name) needs a value", status: ExitStatus.usage)
                }
                given[flag.name] = value
            } else if ["h", "help"].contains(flag.name) {
                return (["run", "--help"], nil)
            } else if ["v", "version"].contains(flag.name) {
                return (["--version"], nil)
            } else if flag.isShort {
                throw Failure(
                    "there is no flag '-\(flag.name)'; there are \(known.sorted().map { "-" + $0 }.joined(separator: ", ")), and with two dashes the options of 'nsm-agent run'",
                    status: ExitStatus.usage)
            } else {
                words.append(word)
            }
        }
        return (words, UpstreamFlags(given: given, environment: environment))
    }

    private static func isMeant(
        _ words: [String], isNamed: Bool, _ environment: (String) -> String?
    ) -> Bool {
        let isOther = words.first.map { !$0.hasPrefix("-") && $0 != "run" } ?? false
        if isOther { return false }
        if isNamed || words.contains(where: { Flag($0)?.name == "config-dir" }) { return true }
        let isDaemon = words.first.map { $0 == "run" || Flag($0).map { known.contains($0.name) } ?? false } ?? true
        return isDaemon && environment("CONFIG_DIR") != nil
    }

    /// A word that begins with dashes.
    private struct Flag {
        let name: String
        let value: String?
        /// Whether it has one dash.
        let isShort: Bool

        init?(_ word: String) {
            guard word.hasPrefix("-"), word != "-", word != "--" else { return nil }
            isShort = !word.hasPrefix("--")
            let parts = word.dropFirst(isShort ? 1 : 2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            name = String(parts[0])
            value = parts.count > 1 ? String(parts[1]) : nil
        }
    }
}
