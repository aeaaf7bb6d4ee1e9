internal import CLinux
internal import Glibc

/// The file descriptors that a command needs, which it makes sure of before it starts: the libraries beneath can't go on
/// without them, and would end the process without a word.
enum Descriptors {
    /// What asking an agent takes.
    static var client: Int { 24 + loops }
    /// What the daemon takes before anything is declared.
    static var daemon: Int { 32 + loops }
    /// What the mesh takes before anybody connects.
    static var mesh: Int { 32 + loops }
    /// What an apply that waits for confirmation takes.
    static var confirmation: Int { 16 + loops }

    /// There is an event loop of three descriptors for each processor.
    private static var loops: Int { 3 * max(Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))), 1) }

    /// Checks that `count` more descriptors are available.
    static func require(_ count: Int) throws {
        var made: [Int32] = []
        defer { for descriptor in made { close(descriptor) } }
        for _ in 0..<count {
            let result = cl_eventfd()
            guard result >= 0 else { throw refusal(-result, missing: count - made.count, of: count) }
            made.append(result)
        }
    }

    private static func refusal(_ code: Int32, missing: Int, of count: Int) -> Failure {
        guard code == EMFILE else {
            return Failure(
                "can't open file descriptors: \(String(cString: strerror(code))); this needs \(count) (see fs.file-max)",
                status: ExitStatus.refused)
        }
        let limit = Int(clamping: cl_raise_file_limit())
        let wanted = limit + missing
        return Failure(
            "the limit of open files is \(limit), and this needs \(wanted): raise it with 'ulimit -n \(wanted)', "
                + "or LimitNOFILE=\(wanted) in a unit of systemd", status: ExitStatus.refused)
    }
}
