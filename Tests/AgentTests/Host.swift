import CLinux
import Glibc

/// A host of its own for one test: a process in new network and mount namespaces, with empty /run/netns and
/// /run/nsm-agent, in which the built program and `ip` are run.
final class Host: Sendable {
    /// Whether such hosts can be made here.
    static let isAvailable: Bool = geteuid() == 0 && cl_has_capability(CL_CAP_SYS_ADMIN) == 1 && program != nil

    static let reason: String = "needs root with CAP_SYS_ADMIN, and the built nsm-agent beside the tests"

    /// The program next to the test bundle.
    static let program: String? = {
        if let path = getenv("NSM_AGENT").map({ String(cString: $0) }) { return path }
        for argument in CommandLine.arguments + ["/proc/self/exe"] {
            var resolved = [CChar](repeating: 0, count: Int(PATH_MAX))
            guard realpath(argument, &resolved) != nil else { continue }
            let path = String(decoding: resolved.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            var folder = path[...]
            while let slash = folder.lastIndex(of: "/") {
                folder = folder[..<slash]
                let candidate = "\(folder)/nsm-agent"
                var status = stat()
                if stat(candidate, &status) == 0, status.st_mode & S_IFMT == S_IFREG { return candidate }
            }
        }
        return nil
    }()

    /// A folder for files of the test.
    let folder: String
    private let keeper: Process

    init() throws {
        var template = Array("/tmp/nsm-agent-test-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { throw Broken("no folder") }
        folder = String(cString: path)
        let setUp = """
            mount --make-rprivate / && mkdir -p /run/netns && mount -t tmpfs none /run/netns \
            && mkdir -p /run/nsm-agent && mount -t tmpfs -o mode=0700 none /run/nsm-agent \
            && ip link set lo up && echo ready && exec sleep 600
            """
        keeper = try Process(["unshare", "-n", "-m", "sh", "-c", setUp])
        guard keeper.waitForOutput("ready") else { throw Broken("no namespaces: \(keeper.errors)") }
    }

    deinit {
        keeper.end(SIGKILL)
        _ = try? Process(["rm", "-rf", folder]).finish()
    }

    /// The process that keeps the host.
    var keeperPID: pid_t { keeper.pid }

    /// The file of a named namespace of the host, for us who are outside of it.
    func path(of namespace: String) -> String { "/proc/\(keeper.pid)/root/run/netns/\(namespace)" }

    private var entry: [String] { ["nsenter", "-t", "\(keeper.pid)", "-n", "-m"] }

    /// Starts the program in the host.
    func start(_ arguments: [String], environment: [String: String] = [:]) throws -> Process {
        try Process(entry + [Self.program ?? ""] + arguments, environment: environment)
    }

    /// Runs the program in the host.
    @discardableResult
    func agent(_ arguments: String..., input: String? = nil) throws -> Outcome {
        try Process(entry + [Self.program ?? ""] + arguments, input: input).finish()
    }

    /// Runs `ip` in the host.
    @discardableResult
    func ip(_ arguments: String) throws -> String {
        try Process(entry + ["ip"] + arguments.split(separator: " ").map(String.init)).finish().output
    }

    /// Whether a program in the host listens to what the kernel reports of its network.
    func isWatched() throws -> Bool {
        // Protocol 0 is rtnetlink; sockets that only ask are in no group.
        try shell("awk '$2 == \"0\" && $4 !~ /^0+$/ {found = 1} END {exit !found}' /proc/net/netlink").status == 0
    }

    /// Runs a shell command in the host.
    @discardableResult
    func shell(_ command: String) throws -> Outcome { try Process(entry + ["sh", "-c", command]).finish() }

    /// Writes a file below the folder and returns its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let path = "\(folder)/\(name)"
        guard let file = fopen(path, "w") else { throw Broken("can't write \(path)") }
        fputs(text, file)
        fclose(file)
        return path
    }

    /// Waits for a condition; false when it does not come true in ten seconds.
    func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1000 {
            if try condition() { return true }
            usleep(10_000)
        }
        return false
    }
}
