internal import CLinux
internal import Concurrency
internal import Glibc
internal import Netlink
internal import Northbound
internal import Synchronization

/// How somebody says that changes stay.
public struct ConfirmationOptions: Sendable {
    /// The socket for `nsm-agent confirm`.
    public var socket: String
    /// How long that may take.
    public var time: Duration

    /// Makes options.
    public init(socket: String, time: Duration) {
        self.socket = socket
        self.time = time
    }
}

/// Waits until somebody says that changes are to stay: by Enter on the terminal, or by `nsm-agent confirm`.
final class Confirmation {
    private enum Token {
        static let input: UInt64 = 2
        static let signals: UInt64 = 3
    }

    /// How long the answer to who confirms may take to leave, nanoseconds.
    private static let longestGoodbye: Int64 = 5_000_000_000

    /// What it waits in.
    let loop: NetworkLoop
    /// Whether somebody sits at a terminal.
    let hasTerminal: Bool
    private let options: ConfirmationOptions
    private let answer: Answer
    private let server: ControlServer

    /// Listens on the socket.
    init(_ options: ConfirmationOptions, _ network: HostNetwork) throws {
        self.options = options
        loop = try NetworkLoop(network)
        hasTerminal = cl_is_terminal(STDIN_FILENO)
        answer = Answer(waker: loop.waker)
        server = try ControlServer(path: options.socket, backend: answer)
    }

    /// Forgets what was typed before there was anything to confirm: it is no answer. Call it before anybody is asked.
    func forgetInput() { if hasTerminal { _ = tcflush(STDIN_FILENO, TCIFLUSH) } }

    /// Whether the changes are to stay. Returns when that is known, or the time is over.
    func isGiven(unless interruption: Interruption?) throws -> Bool {
        let (server, answer) = (server, answer)
        let service = Task.detached {
            try? await server.run()
            answer.noteEnd()
        }
        defer {
            service.cancel()
            ControlSocket.remove(options.socket)
        }
        // The kernel's reports are heard, but nothing is done any more.
        loop.isInForce = false
        if let interruption { try loop.add(interruption.descriptor, token: Token.signals) }
        if hasTerminal {
            try? loop.add(STDIN_FILENO, token: Token.input)
        }
        let (seconds, attoseconds) = options.time.components
        loop.set(.deadline, at: SteadyClock.monotonic + seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
        while !answer.isYes {
            for occurrence in try loop.turn() {
                switch occurrence {
                case .readable(Token.input): if takeInput() { return true }
                case .readable, .due(.deadline): return false
                case .due, .done, .reported, .drift, .unreadable, .collision: break
                }
            }
        }
        try waitForGoodbye()
        return true
    }

    /// Lets the answer to `confirm` leave before the process does.
    private func waitForGoodbye() throws {
        server.stop()
        loop.set(.deadline, at: SteadyClock.monotonic + Self.longestGoodbye)
        while !answer.hasEnded {
            for case .due(.deadline) in try loop.turn() { return }
        }
    }

    /// Whether a line was entered. A terminal that is gone is not listened to any more.
    private func takeInput() -> Bool {
        var byte: UInt8 = 0
        let count = read(STDIN_FILENO, &byte, 1)
        if count <= 0 { loop.remove(STDIN_FILENO) }
        return count == 1
    }
}

/// The control service of an apply that waits: it can only be confirmed.
private final class Answer: ControlBackend {
    private let waker: EventLoop.Waker
    private let yes = Atomic<Bool>(false)
    private let end = Atomic<Bool>(false)

    init(waker: EventLoop.Waker) { self.waker = waker }

    var isYes: Bool { yes.load(ordering: .acquiring) }
    var hasEnded: Bool { end.load(ordering: .acquiring) }

    /// The server has sent all its answers.
    func noteEnd() {
        end.store(true, ordering: .releasing)
        waker.wakeUp()
    }

    func confirm() async -> Nsmagent_Control_ConfirmResponse {
        yes.store(true, ordering: .releasing)
        waker.wakeUp()
        var response = Nsmagent_Control_ConfirmResponse()
        response.confirmed = true
        return response
    }

    func status(_: Nsmagent_Control_StatusRequest, to write: @escaping Write<Nsmagent_Control_StatusResponse>) {}
    func history(_: Nsmagent_Control_HistoryRequest, to write: @escaping Write<Nsmagent_Control_Transaction>) {}
    func configuration(
        _: Nsmagent_Control_ConfigurationRequest, to write: @escaping Write<Nsmagent_Control_ConfigurationResponse>
    ) {}
    func explain(_: Nsmagent_Control_ExplainRequest) async -> Nsmagent_Control_ExplainResponse { .init() }
    func graph(_: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>) {}
    func reload(_: Nsmagent_Control_ReloadRequest) async -> Nsmagent_Control_ReloadResponse { .init() }
}
