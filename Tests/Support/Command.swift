public import Glibc

/// Other programs: the second witnesses of what the kernel did.
///
/// By posix_spawn(3), as Foundation's `Process` hangs when several threads use it at once.
public enum Command {
    /// A program could not be started, or did not end with 0.
    public struct Failed: Error, CustomStringConvertible {
        /// The words of the command.
        public let command: String
        /// What it wrote, or why it did not start.
        public let output: String

        /// Makes an error.
        public init(command: String, output: String) {
            self.command = command
            self.output = output
        }

        /// The command and what it wrote.
        public var description: String { "\(command): \(output)" }
    }

    /// Starts a program that is found in the usual places; `output` takes what it writes.
    ///
    /// - Throws: ``Failed`` when it can't be started.
    public static func start(_ command: [String], output: Int32? = nil) throws(Failed) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, 1)
            posix_spawn_file_actions_adddup2(&actions, output, 2)
        }
        var arguments = command.map { strdup($0) } + [nil]
        var environment = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
        defer { for word in arguments + environment { free(word) } }
        var process: pid_t = 0
        let result = posix_spawnp(&process, command[0], &actions, nil, &arguments, &environment)
        guard result == 0 else { throw Failed(command: command[0], output: "can't be started: \(result)") }
        return process
    }

    /// Runs a program to its end; what it wrote to both streams.
    ///
    /// - Throws: ``Failed`` when it can't be started or does not end with 0.
    @discardableResult
    public static func run(_ command: [String]) throws(Failed) -> String {
        guard let file = tmpfile() else { throw Failed(command: command[0], output: "no temporary file: \(errno)") }
        defer { fclose(file) }
        let process = try start(command, output: fileno(file))
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        let output = content(of: fileno(file))
        if status != 0 { throw Failed(command: command.joined(separator: " "), output: output) }
        return output
    }

    private static func content(of file: Int32) -> String {
        lseek(file, 0, SEEK_SET)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = read(file, &chunk, chunk.count), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
