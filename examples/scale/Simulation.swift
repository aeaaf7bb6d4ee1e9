import ArgumentParser
import Glibc
import KubernetesClient
import Logging

/// What is the same for both kinds of agents: they are started, then lines of the standard input say what to do, and each is
/// answered by a line of JSON.
///
/// | line | what |
/// |---|---|
/// | `state` | how many are connected |
/// | `changes SECONDS RATE` | changes for agents in turn, so many a second, and how long each takes to get there |
struct Simulation: Sendable {
    let tally: Tally
    let agents: Int
    /// Over how many seconds the starts are spread.
    let ramp: Double
    /// Follows a source as an agent does, until the task is cancelled.
    let run: @Sendable (_ agent: Int, Engine) async -> Void
    /// Writes a change that one agent will see.
    let change: @Sendable (_ agent: Int, _ number: Int) async throws -> Void

    static let logger = Logger(label: "scale") { _ in SwiftLogNoOpLogHandler() }

    /// Runs until the standard input ends.
    func serve() async {
        await withDiscardingTaskGroup { group in
            for agent in 0..<agents {
                group.addTask {
                    try? await Task.sleep(for: .seconds(ramp) * Double(agent) / Double(agents))
                    await run(agent, Engine(agent: agent, tally: tally))
                }
            }
            for await line in Self.lines() { Self.say(await answer(line.split(separator: " "))) }
            group.cancelAll()
        }
    }

    /// At once, even to a pipe.
    private static func say(_ line: String) { _ = "\(line)\n".withCString { write(1, $0, strlen($0)) } }

    private static func lines() -> AsyncStream<String> {
        let (lines, feed) = AsyncStream<String>.makeStream()
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Feed(feed)).toOpaque()
        pthread_create(&thread, nil, readLines, context)
        return lines
    }

    private func answer(_ words: [Substring]) async -> String {
        if words.first == "changes", words.count == 3, let seconds = Double(words[1]), let rate = Double(words[2]) {
            return await changes(seconds, rate)
        }
        return tally.look { state in
            #"{"connected": \#(state.isConnected.count(where: \.self)), "reads": \#(state.reads), "#
                + #""losses": \#(state.losses), "values": \#(state.values), "reasons": "#
                + "\(JSONValue.fields(state.reasons.map { ($0, .int(Int64($1))) }).text)}"
        }
    }

    private func changes(_ seconds: Double, _ rate: Double) async -> String {
        tally.look { state in
            (state.delays, state.written, state.sent) = ([], [], [:])
            (state.failed, state.losses) = (0, 0)
        }
        let start = ContinuousClock.now
        var (number, late) = (0, 0)
        await withDiscardingTaskGroup { group in
            while .now - start < .seconds(seconds) {
                try? await Task.sleep(until: start + .seconds(1) * (Double(number) / rate), clock: .continuous)
                let (agent, count) = (number * 7919 % agents, number)
                number += 1
                // One change after the other for each agent.
                guard tally.send(to: agent) else {
                    late += 1
                    continue
                }
                group.addTask { await measure(agent, count) }
            }
        }
        let end = ContinuousClock.now + .seconds(10)
        while tally.look({ !$0.sent.isEmpty }), .now < end { try? await Task.sleep(for: .milliseconds(50)) }
        let seen = tally.look { $0 }
        return #"{"changes": \#(number - late), "late": \#(late), "failed": \#(seen.failed), "#
            + #""missing": \#(seen.sent.count), "losses": \#(seen.losses), "connected": \#(tally.connected), "#
            + #""written_ms": \#(Self.quantiles(seen.written)), "seen_ms": \#(Self.quantiles(seen.delays))}"#
    }

    private func measure(_ agent: Int, _ number: Int) async {
        let start = ContinuousClock.now
        do {
            try await change(agent, number)
            tally.look { $0.written.append((.now - start) / .milliseconds(1)) }
        } catch {
            tally.look { $0.failed += 1 }
        }
    }

    /// Half of the values are below the first one, 99 of 100 below the second, all up to the third.
    static func quantiles(_ values: [Double]) -> String {
        let sorted = values.sorted()
        guard let last = sorted.last else { return "[0, 0, 0]" }
        let found = [sorted[sorted.count / 2], sorted[sorted.count * 99 / 100], last]
        return "[\(found.map { String(($0 * 100).rounded() / 100) }.joined(separator: ", "))]"
    }
}

/// Where lines that were read go.
private final class Feed: Sendable {
    let continuation: AsyncStream<String>.Continuation
    init(_ continuation: AsyncStream<String>.Continuation) { self.continuation = continuation }
}

private func readLines(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let feed = Unmanaged<Feed>.fromOpaque(context).takeRetainedValue()
    while let line = readLine() { feed.continuation.yield(line) }
    feed.continuation.finish()
    return nil
}
