internal import ArgumentParser
internal import Glibc
internal import Synchronization

/// Starts the command named on the command line.
@main
enum Main {
    static func main() {
        do {
            var command = try NSMAgent.parseAsRoot()
            if let waiting = command as? any WaitingCommand {
                try Waiting.run(waiting)
            } else {
                // On this thread and without tasks: a one-shot command pays only for what it does.
                try command.run()
            }
            exit(ExitStatus.success)
        } catch {
            end(error)
        }
    }

    /// Says what is wrong and exits.
    private static func end(_ error: any Error) -> Never {
        if let failure = error as? Failure {
            if !failure.text.isEmpty { Failure.tell(failure.text) }
            exit(failure.status)
        }
        let status = NSMAgent.exitCode(for: error)
        let text = NSMAgent.fullMessage(for: error)
        if status.isSuccess {
            Show.line(text)
        } else if text.hasPrefix("Error: ") {
            Failure.tell(String(text.dropFirst("Error: ".count)))
        } else if !text.isEmpty {
            Failure.tell(text)
        }
        exit(status.rawValue)
    }
}

/// A command that talks to others, and is therefore asynchronous.
protocol WaitingCommand: AsyncParsableCommand, Sendable {}

/// The main thread waits for such a command.
private enum Waiting {
    static func run(_ command: any WaitingCommand) throws {
        let outcome = Outcome()
        Task.detached {
            do {
                var command = command
                try await command.run()
                outcome.set(.success(()))
            } catch {
                outcome.set(.failure(error))
            }
        }
        try outcome.wait().get()
    }

    private final class Outcome: Sendable {
        private let result = Mutex<Result<Void, any Error>?>(nil)
        private let ends: (read: Int32, write: Int32)

        init() {
            var pair: [Int32] = [-1, -1]
            _ = pipe(&pair)
            ends = (pair[0], pair[1])
        }

        func set(_ value: Result<Void, any Error>) {
            result.withLock { $0 = value }
            close(ends.write)
        }

        func wait() -> Result<Void, any Error> {
            var byte: UInt8 = 0
            while read(ends.read, &byte, 1) < 0, errno == EINTR {}
            return result.withLock { $0 } ?? .failure(Failure("the command did not finish", status: ExitStatus.failure))
        }
    }
}
