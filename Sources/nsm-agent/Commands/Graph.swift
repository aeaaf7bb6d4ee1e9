internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import Northbound

struct Graph: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph",
        abstract: "Draw what depends on what, or the network, with states in colour.",
        discussion: """
            Dashed lines lead to parts of a value; red ones to what is missing. With --topology: namespaces as boxes with their \
            interfaces and addresses, pairs as thick lines, and what stands on what. SVG needs the program 'dot' of graphviz.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case dot
        case mermaid
        case svg
    }

    @Argument(help: "Only values whose key starts with this.", completion: Completions.keys)
    var keyPrefix = ""
    @Flag(help: "Draw the network instead of what depends on what.")
    var topology = false
    @Option(name: .shortAndLong, help: "dot, mermaid or svg.")
    var format = Format.dot
    @OptionGroup var socket: AgentOptions

    mutating func validate() throws {
        if topology, format == .mermaid { throw ValidationError("--topology is drawn as dot or svg") }
    }

    func run() async throws {
        if topology { return try await drawTopology() }
        var request = Nsmagent_Control_GraphRequest()
        request.keyPrefix = keyPrefix
        let drawing = GraphDrawing(
            graph: try await socket.client().answer { [request] in try await $0.graph(request) })
        switch format {
        case .dot: Show.text(drawing.dot)
        case .mermaid: Show.text(drawing.mermaid)
        case .svg: try Self.draw(drawing.dot)
        }
    }

    private func drawTopology() async throws {
        var request = Nsmagent_Control_StatusRequest()
        request.keyPrefix = keyPrefix
        let client = try socket.client()
        let (status, graph) = try await client.answer { [request] client in
            (try await client.status(request), try await client.graph(Nsmagent_Control_GraphRequest()))
        }
        let dot = TopologyDrawing(status, graph).dot
        if format == .svg { try Self.draw(dot) } else { Show.text(dot) }
    }

    /// Pipes the text through graphviz, whose output is ours.
    private static func draw(_ dot: String) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0 else {
            throw Failure("no pipe can be made: \(String(cString: strerror(errno)))")
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        var words: [UnsafeMutablePointer<CChar>?] = [strdup("dot"), strdup("-Tsvg"), nil]
        defer { for word in words { free(word) } }
        var process = pid_t()
        let result = posix_spawnp(&process, "dot", &actions, nil, &words, environ)
        close(ends[0])
        guard result == 0 else {
            close(ends[1])
            throw Failure(
                result == ENOENT
                    ? "the program 'dot' is not here; install graphviz, or use --format dot or mermaid"
                    : "the program 'dot' can't be started: \(String(cString: strerror(result)))")
        }
        signal(SIGPIPE, SIG_IGN)
        var text = dot
        // When it ends too early, its status tells.
        text.withUTF8 { _ = cl_write_all(ends[1], $0.baseAddress, $0.count) }
        close(ends[1])
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if status != 0 { throw Failure("the program 'dot' failed") }
    }
}
