import Glibc

/// How a program ended.
struct Outcome {
    var status: Int32
    var output: String
    var errors: String
}

struct Broken: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

/// A program that was started, with its output in files.
final class Process: Sendable {
    let pid: pid_t
    private let outputFile: String
    private let errorFile: String

    init(_ words: [String], input: String? = nil, environment more: [String: String] = [:]) throws {
        var template = Array("/tmp/nsm-agent-out-XXXXXX".utf8CString)
        guard let name = mkdtemp(&template) else { throw Broken("no folder") }
        let folder = String(cString: name)
        outputFile = folder + "/out"
        errorFile = folder + "/err"
        let inputFile = folder + "/in"
        if let input, let file = fopen(inputFile, "w") {
            fputs(input, file)
            fclose(file)
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input == nil ? "/dev/null" : inputFile, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputFile, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorFile, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        var arguments = words.map { strdup($0) } + [nil]
        let kept = ["PATH", "HOME", "LD_LIBRARY_PATH"].compactMap { (name: String) in
            getenv(name).map { "\(name)=\(String(cString: $0))" }
        }
        var variables = (kept + more.map { "\($0)=\($1)" }).map { strdup($0) } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var process = pid_t()
        // Asynchronous tests run on threads that block most signals, which the program would inherit.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        let result = posix_spawnp(&process, words[0], &actions, &attributes, &arguments, &variables)
        guard result == 0 else { throw Broken("can't start \(words[0]): \(String(cString: strerror(result)))") }
        pid = process
    }

    deinit {
        unlink(outputFile)
        unlink(errorFile)
        let folder = String(outputFile.dropLast("/out".count))
        unlink(folder + "/in")
        rmdir(folder)
    }

    var output: String { Self.read(outputFile) }
    var errors: String { Self.read(errorFile) }

    /// Waits until the program ends.
    func finish() -> Outcome {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
        return Outcome(status: code, output: output, errors: errors)
    }

    /// Sends a signal and waits for the end.
    @discardableResult
    func end(_ signal: Int32) -> Outcome {
        kill(pid, signal)
        return finish()
    }

    /// Whether the text comes up in the output within ten seconds.
    func waitForOutput(_ text: String) -> Bool { wait { self.output.contains(text) } }

    /// Whether the text comes up in the error output within ten seconds.
    func waitForErrors(_ text: String) -> Bool { wait { self.errors.contains(text) } }

    private func wait(_ condition: () -> Bool) -> Bool {
        for _ in 0..<1000 {
            if condition() { return true }
            usleep(10_000)
        }
        return false
    }

    private static func read(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }
}
