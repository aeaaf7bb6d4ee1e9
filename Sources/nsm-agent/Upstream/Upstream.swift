internal import Glibc
internal import Logging
internal import MeshTransport

/// What the agent before this one would do, told by its flags, its variables and its files.
struct Upstream {
    /// Options of `run`, which count less than those of a file of settings and of the command line.
    private(set) var words: [String] = []
    /// Settings that mean nothing here.
    private(set) var ignored: [String] = []
    /// What is to be said besides.
    private(set) var warnings: [String] = []
    /// Where probes, metrics and what is looked at are, unless an http.conf says so.
    let httpAddress: SocketAddress

    private let flags: UpstreamFlags
    private let folder: String

    /// Its default name among the keys of all agents.
    private static let label = "vpp1"
    /// Options that can be given more than once, and so are not replaced by later ones.
    private static let lists = ["--grpc-listen", "--grpc-client-ca"]
    /// Variables that only tell that agent's developers something.
    private static let meaninglessVariables = [
        "DEBUG_ORCHESTRATOR", "DEBUG_INFRA", "DEBUG_MODELS", "DUMP_STACK_ON_TIMEOUT", "KVSCHED_VERIFY_MODE",
        "KVSCHED_CHECK_NET_NS", "KVSCHED_LOG_GRAPH_WALK", "KVSCHEDULER_GRAPHDUMP", "NSPLUGIN_CHECK_NS_CTX",
    ]

    /// Reads the files that are there.
    ///
    /// - Throws: `Failure` with the place of a mistake.
    init(_ flags: UpstreamFlags, environment: (String) -> String?) throws(Failure) {
        self.flags = flags
        folder = flags["config-dir"] ?? "."
        httpAddress = Self.anyAddress(port: try Self.httpPort(flags))
        if access(folder, F_OK) != 0 {
            warnings.append("\(flags.origin("config-dir")) \(folder): there is no such folder")
        }
        words.append("--label=\(flags["microservice-label"] ?? Self.label)")
        if let path = file("etcd") {
            words.append("--etcd-config=\(path)")
            note("etcd.conf", try EtcdClientOptions.read(path).ignored)
        }
        if let path = file("http") {
            words.append("--http-conf=\(path)")
            note("http.conf", try HTTPConf(path: path).ignored)
        }
        if let path = file("grpc") {
            let conf = try GRPCConf(path: path)
            words += conf.words
            note("grpc.conf", conf.ignored)
        }
        if let path = file("logs") { try takeLogs(path, environment) }
        for part in UpstreamFlags.parts where !["etcd", "http", "grpc", "logs", "initfileregistry"].contains(part) {
            if let path = file(part) { try takePart(part, path) }
        }
        try takeInitialFile()
        if flags["grpc-port"] != nil { ignored.append(flags.origin("grpc-port")) }
        ignored += Self.meaninglessVariables.filter { environment($0) != nil }.map { "$" + $0 }
        noteUnknownFiles()
    }

    /// The words that are left beside those that are given elsewhere.
    func words(beside given: [String]) -> [String] {
        words.filter { word in
            let option = String(word.prefix { $0 != "=" })
            return !Self.lists.contains(option) || !given.contains { $0.hasPrefix(option) }
        }
    }

    /// Says what is not as that agent would have it.
    func tell(_ logger: Logger) {
        for warning in warnings { logger.warning("as nsm-agent-linux", metadata: ["problem": "\(warning)"]) }
        if ignored.isEmpty { return }
        logger.warning(
            "settings of nsm-agent-linux that mean nothing here",
            metadata: ["settings": "\(ignored.joined(separator: "; "))"])
    }

    // MARK: - Places

    /// All addresses of this host, of both families where there are two.
    static func anyAddress(port: Int) -> SocketAddress {
        let probe = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if probe >= 0 { close(probe) }
        return .tcp(host: probe >= 0 ? "::" : "0.0.0.0", port: port)
    }

    /// An endpoint as Go has it: without a host, or with 0.0.0.0, it is all addresses. Nil when the text is none.
    static func address(_ text: String) -> SocketAddress? {
        guard let address = SocketAddress(url: text.hasPrefix(":") ? "0.0.0.0\(text)" : text) else { return nil }
        if case .tcp("0.0.0.0", let port) = address { return anyAddress(port: port) }
        return address
    }

    private static func httpPort(_ flags: UpstreamFlags) throws(Failure) -> Int {
        guard let text = flags["http-port"], !text.hasPrefix("tcp://") else {
            // Kubernetes says HTTP_PORT=tcp://… when there is a Service named http.
            return 9191
        }
        guard let port = Int(text), (0...65535).contains(port) else {
            throw Failure(
                "\(flags.origin("http-port")) '\(text)': a port from 0 to 65535 is needed", status: ExitStatus.usage)
        }
        return port
    }

    /// The file of a part; nil: there is none.
    private mutating func file(_ part: String) -> String? {
        let flag = "\(part)-config"
        let name = flags[flag] ?? "\(part).conf"
        if access(name, F_OK) == 0 { return name }
        let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
        if access(path, F_OK) == 0 { return path }
        // The code for etcd reports a missing etcd file that only the environment names.
        if flags[flag] != nil {
            warnings.append("\(flags.origin(flag)) \(name): there is no such file, here or in \(folder)")
        }
        return nil
    }

    // MARK: - Parts

    private mutating func note(_ file: String, _ keys: [String]) {
        if !keys.isEmpty { ignored.append("\(file): \(keys.joined(separator: ", "))") }
    }

    private mutating func takeLogs(_ path: String, _ environment: (String) -> String?) throws(Failure) {
        var others: [String] = []
        for entry in try ConfFile(path: path).entries {
            guard entry.name == "default-level" else {
                others.append(entry.name)
                continue
            }
            let level = try entry.text()
            if !level.isEmpty, environment("INITIAL_LOGLVL") == nil { words.append("--log-level=\(level)") }
        }
        note("logs.conf", others)
    }

    private mutating func takePart(_ part: String, _ path: String) throws(Failure) {
        var others: [String] = []
        for entry in try ConfFile(path: path).entries {
            guard entry.name == "disabled", part.hasPrefix("linux-") else {
                others.append(entry.name)
                continue
            }
            // Who switched a part off counts on its objects being left alone.
            if try entry.flag() {
                throw entry.wrong(
                    "'disabled' can't be kept: no part of this agent is switched off; remove it, and declare nothing of that part"
                )
            }
        }
        note("\(part).conf", others)
    }

    /// The file is looked for from the working directory, and need not be there.
    private mutating func takeInitialFile() throws(Failure) {
        var (name, isOff, isNamed) = ("initial-config.yaml", false, false)
        if let path = file("initfileregistry") {
            var others: [String] = []
            for entry in try ConfFile(path: path).entries {
                switch entry.name {
                case "disable-initial-configuration": isOff = try entry.flag()
                case "initial-configuration-file-path":
                    name = try entry.text()
                    isNamed = true
                default: others.append(entry.name)
                }
            }
            note("initfileregistry.conf", others)
        }
        if isOff { return }
        if access(name, F_OK) == 0 {
            words.append("--initial-config=\(name)")
        } else if isNamed {
            warnings.append("initfileregistry.conf: there is no file \(name), so nothing is declared at first")
        }
    }

    /// Files of parts that are not here.
    private mutating func noteUnknownFiles() {
        guard let directory = opendir(folder) else { return }
        defer { closedir(directory) }
        let known = Set(UpstreamFlags.parts.map { "\($0).conf" })
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".conf"), !known.contains(name) { names.append(name) }
        }
        ignored += names.sorted()
    }
}
