internal import CLinux
internal import Glibc
internal import Netlink

/// A program that reads a user's text with root's rights, and is kept from doing harm: it runs in one network namespace, with
/// `CAP_NET_ADMIN` alone, with nothing to read but its libraries and settings and nothing to write but its answer.
///
/// Landlock keeps files from it; where there is none, or a container's filter of system calls does not know it, a mount
/// namespace of its own does.
struct ConfinedProgram: ~Copyable {
    /// How long it may take, and how much it may write.
    struct Limits: Sendable {
        var milliseconds: Int32 = 20_000
        var bytes: UInt64 = 32 << 20

        /// For a program that reads a text: 5 s, and 10 ms for each KiB.
        init(for input: String) { milliseconds = Int32(min(5_000 + input.utf8.count / 100, 20_000)) }

        init(milliseconds: Int32 = 20_000, bytes: UInt64 = 32 << 20) {
            self.milliseconds = milliseconds
            self.bytes = bytes
        }
    }

    /// What it may read: the loader and libraries, and names of numbers. What is not there is passed over.
    private static let readable: [(path: String, isExecutable: Bool)] = [
        ("/lib", true), ("/lib64", true), ("/usr/lib", true), ("/usr/lib64", true),
        ("/etc/ld.so.cache", false), ("/etc/protocols", false), ("/etc/services", false), ("/etc/ethertypes", false),
        ("/etc/iproute2", false), ("/usr/share/iproute2", false), ("/etc/xtables", false),
        ("/usr/share/xtables", false),
        ("/etc/connlabel.conf", false),
    ]

    private let program: Program
    private let path: String
    /// Rules of Landlock; -1: there is no Landlock.
    private let files: Int32

    /// Finds the program.
    /// - Parameter usesLandlock: `false` only to try what happens on kernels without it.
    init(_ program: Program, usesLandlock: Bool = true) throws(ProgramError) {
        guard let path = program.path else { throw .missing(program) }
        let answer = usesLandlock ? Self.withPaths(of: path) { cl_files_allowed($0.baseAddress, $0.count) } : -ENOSYS
        guard answer >= 0 || [ENOSYS, EOPNOTSUPP, EPERM].contains(-answer) else {
            throw .notStarted(program, what: "its files can't be limited", "\(KernelError(errno: answer))")
        }
        self.program = program
        self.path = path
        files = answer < 0 ? -1 : answer
    }

    deinit { if files >= 0 { close(files) } }

    /// Runs the program, and waits for its end.
    /// - Parameters:
    ///   - arguments: without the name of the program.
    ///   - input: what it reads from standard input.
    ///   - namespace: where it runs; nil: where we are.
    ///   - onStart: gets the process number as soon as there is one.
    func run(
        _ arguments: [String], input: String = "", in namespace: NetworkNamespace?, limits: Limits = Limits(),
        onStart: (pid_t) -> Void = { _ in }
    ) throws(ProgramError) -> ProgramResult {
        let streams: [MemoryFile]
        do throws(KernelError) {
            streams = [try MemoryFile(input), try MemoryFile(), try MemoryFile()]
        } catch {
            throw .notStarted(program, what: "no memory file", "\(error)")
        }
        let pid = try start(arguments, streams, in: namespace, limits)
        onStart(pid)
        var status: Int32 = 0
        let isInTime = cl_program_wait(pid, limits.milliseconds, &status)
        guard isInTime >= 0 else { throw .notStarted(program, what: "it is lost", "\(KernelError(errno: isInTime))") }
        if isInTime == 0 { throw .tookTooLong(program, seconds: limits.milliseconds / 1000) }
        let signal = status & 0x7f
        if signal == SIGXFSZ { throw .wroteTooMuch(program) }
        if signal != 0 { throw .ended(program, signal: signal) }
        return ProgramResult(
            status: status >> 8 & 0xff, output: streams[1].text(), words: streams[2].text(most: 64 << 10))
    }

    private func start(
        _ arguments: [String], _ streams: [MemoryFile], in namespace: NetworkNamespace?, _ limits: Limits
    ) throws(ProgramError) -> pid_t {
        var step: Int32 = 0
        var words: [UnsafeMutablePointer<CChar>?] = ([program.name] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        let answer = words.withUnsafeMutableBufferPointer { words in
            path.withCString { path in
                Self.withPaths(of: self.path) { paths in
                    var start = cl_program()
                    start.path = path
                    start.arguments = UnsafePointer(words.baseAddress)
                    start.network = namespace?.descriptor ?? -1
                    (start.input, start.output) = (streams[0].descriptor, streams[1].descriptor)
                    start.errors = streams[2].descriptor
                    start.most_output = limits.bytes
                    start.files = files
                    (start.paths, start.path_count) = (paths.baseAddress, paths.count)
                    return cl_program_start(&start, &step)
                }
            }
        }
        withExtendedLifetime(namespace) {}
        if answer >= 0 { return answer }
        throw .notStarted(program, what: Self.words(step), "\(KernelError(errno: answer))")
    }

    private static func words(_ step: Int32) -> String {
        switch UInt32(bitPattern: step) {
        case CL_PROGRAM_NAMESPACE.rawValue: "it can't enter the namespace, which takes CAP_SYS_ADMIN"
        case CL_PROGRAM_STREAMS.rawValue, CL_PROGRAM_LIMITS.rawValue: "its limits can't be set"
        case CL_PROGRAM_FILES.rawValue:
            "files can't be kept from it: that takes Landlock, or the right to make mount namespaces"
        case CL_PROGRAM_RIGHTS.rawValue:
            "its rights can't be cut to CAP_NET_ADMIN; a system call filter of the agent must allow capset"
        default: "it can't be executed"
        }
    }

    /// Lends the list of allowed paths with that of the program.
    private static func withPaths<Result>(
        of program: String, _ body: (UnsafeBufferPointer<cl_path>) -> Result
    ) -> Result {
        let paths = readable + [(program, true)]
        let names = paths.map { strdup($0.path) }
        defer { for name in names { free(name) } }
        let list = zip(names, paths).map { cl_path(path: UnsafePointer($0), executable: $1.isExecutable) }
        return list.withUnsafeBufferPointer(body)
    }
}

/// A file without a name, in memory.
private final class MemoryFile {
    let descriptor: Int32

    init(_ content: String = "") throws(KernelError) {
        descriptor = cl_memfd("program")
        guard descriptor >= 0 else { throw KernelError(errno: descriptor) }
        var content = content
        let result = content.withUTF8 { cl_write_all(descriptor, $0.baseAddress, $0.count) }
        guard result == 0 else { throw KernelError(errno: result) }
        lseek(descriptor, 0, SEEK_SET)
    }

    deinit { close(descriptor) }

    /// What is in it, from the start.
    func text(most: Int = .max) -> String {
        let size = min(Int(lseek(descriptor, 0, SEEK_END)), most)
        if size <= 0 { return "" }
        return String(unsafeUninitializedCapacity: size) { buffer in
            var count = 0
            while count < size {
                let part = pread(descriptor, buffer.baseAddress.map { $0 + count }, size - count, off_t(count))
                if part <= 0 { break }
                count += part
            }
            return count
        }
    }
}
