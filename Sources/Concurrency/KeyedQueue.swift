internal import Synchronization

/// Runs work for one key strictly in turn, and work for different keys side by side.
package final class KeyedQueue: Sendable {
    /// A gate for one at a time, and how many stand at it or are in.
    private struct Line {
        let gate = Gate(1)
        var users = 1
    }
    private let lines = Mutex<[String: Line]>([:])

    /// Makes a queue where nothing runs.
    package init() {}

    /// How many run for a key or wait for it.
    package func count(of key: String) -> Int { lines.withLock { $0[key]?.users ?? 0 } }

    /// Waits for its turn and runs.
    ///
    /// - Throws: what `body` throws; `CancellationError` when the task was cancelled while it waited.
    package func run<Result: Sendable>(
        _ key: String, _ body: () async throws -> Result
    ) async throws -> Result {
        let gate = join(key)
        defer { leave(key) }
        return try await gate.run(body)
    }

    private func join(_ key: String) -> Gate {
        lines.withLock { lines in
            guard let line = lines[key] else {
                let line = Line()
                lines[key] = line
                return line.gate
            }
            lines[key]?.users += 1
            return line.gate
        }
    }

    private func leave(_ key: String) {
        lines.withLock { lines in
            guard let line = lines[key] else { return }
            if line.users > 1 { lines[key]?.users -= 1 } else { lines[key] = nil }
        }
    }
}
