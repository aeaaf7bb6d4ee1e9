internal import CLinux
internal import Glibc
internal import Netlink
internal import Northbound
internal import Synchronization

/// Waits until somebody says that changes are to stay: by Enter on the terminal, or by `nsm-agent confirm`.
///
/// A lost connection is what this guards against, so a hangup of the terminal does not end the wait. An interrupt does,
/// and means no.
final class ConfirmationWaiter {
    private static let inputToken: UInt64 = 1

    private let time: Span
    private let socket: String
    private let loop: EventLoop
    private let answer: Answer
    private let server: ControlServer

    /// Listens on the socket.
    init(socket: String, time: Span) throws {
        self.time = time
        self.socket = socket
        do throws(KernelError) {
            loop = try EventLoop()
        } catch {
            throw Failure("the event loop can't be made: \(error)")
        }
        answer = Answer(waker: loop.waker)
        do throws(ControlSocket.Failure) {
            server = try ControlServer(path: socket, backend: answer)
        } catch {
            throw Failure(error.description, status: error.exitStatus)
        }
        signal(SIGHUP, SIG_IGN)
        signal(SIGPIPE, SIG_IGN)
        signal(SIGINT, noteInterrupt)
        signal(SIGTERM, noteInterrupt)
    }

    /// Whether the changes are to stay. Returns when that is known, or the time is over.
    func isConfirmed() -> Bool {
        let server = server
        let service = Task.detached { try await server.run() }
        defer {
            service.cancel()
            ControlSocket.remove(socket)
        }
        let hasTerminal = cl_is_terminal(STDIN_FILENO)
        if hasTerminal { try? loop.add(STDIN_FILENO, token: Self.inputToken) }
        let ways = hasTerminal ? "press Enter here or run 'nsm-agent confirm'" : "run 'nsm-agent confirm'"
        let place = socket == ControlSocket.confirmationPath ? "" : " (with --socket \(socket))"
        Failure.tell("to keep these changes, \(ways)\(place) within \(time); otherwise they are undone")
        let end = ContinuousClock.now + .milliseconds(time.milliseconds)
        while !answer.isYes {
            let rest = (end - ContinuousClock.now).components
            let milliseconds = rest.seconds * 1000 + rest.attoseconds / 1_000_000_000_000_000
            if milliseconds <= 0 || isInterrupted.load(ordering: .relaxed) { return false }
            guard let tokens = try? loop.wait(timeoutMilliseconds: Int32(min(milliseconds + 1, 3_600_000))) else {
                return false
            }
            if tokens.contains(Self.inputToken), takeInput() { break }
        }
        // Lets the answer to `confirm` leave before the process does.
        if answer.isYes { answer.waitForReply() }
        Failure.tell("confirmed")
        return true
    }

    /// Whether a line was entered. A terminal that is gone is not listened to any more.
    private func takeInput() -> Bool {
        var byte: UInt8 = 0
        let count = read(STDIN_FILENO, &byte, 1)
        if count <= 0 { try? loop.remove(STDIN_FILENO) }
        return count == 1
    }
}

/// Set by the signals that mean no. The only thing a signal handler can reach is a global variable.
private let isInterrupted = Atomic<Bool>(false)

private func noteInterrupt(_ signal: Int32) { isInterrupted.store(true, ordering: .relaxed) }

/// The control service of an apply that waits: it can only be confirmed.
private final class Answer: ControlBackend {
    private let waker: EventLoop.Waker
    private let yes = Atomic<Bool>(false)

    init(waker: EventLoop.Waker) { self.waker = waker }

    var isYes: Bool { yes.load(ordering: .acquiring) }

    func waitForReply() { usleep(100_000) }

    func confirm() async -> Nsmagent_Control_ConfirmResponse {
        yes.store(true, ordering: .releasing)
        waker.wakeUp()
        var response = Nsmagent_Control_ConfirmResponse()
        response.confirmed = true
        return response
    }

    func status(_: Nsmagent_Control_StatusRequest, to write: @escaping Write<Nsmagent_Control_StatusResponse>) {}
    func history(_: Nsmagent_Control_HistoryRequest, to write: @escaping Write<Nsmagent_Control_Transaction>) {}
    func graph(_: Nsmagent_Control_GraphRequest, to write: @escaping Write<Nsmagent_Control_GraphResponse>) {}
    func reload() async -> Nsmagent_Control_ReloadResponse { .init() }
}
