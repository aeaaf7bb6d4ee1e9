// What the registry of a mesh takes for many registrations beside many watchers.
//
//   registry-bench REGISTRATIONS WATCHERS ROUNDS
//
// Watches one service with WATCHERS streams, registers REGISTRATIONS endpoints of other services, 32 at a time, renews them all,
// and then ROUNDS times registers and withdraws an endpoint of the watched service, each time until all watchers know. The mesh is
// that of the usual variables. Prints a line of JSON after each phase, and waits for a line on its input before the next, so that
// the caller can look at the mesh in between. Part of scripts/bench; never shipped.
import Concurrency
import Glibc
import Logging
import MeshTransport
import NSM
import Synchronization

func fail(_ text: String) -> Never {
    print("registry-bench: \(text)")
    exit(1)
}

func milliseconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// Says how a phase went, and waits for leave to begin the next one.
func tell(_ figures: [(String, Double)]) {
    let text = figures.map { "\"\($0.0)\":\(Double(Int($0.1 * 1000)) / 1000)" }.joined(separator: ",")
    print("{\(text)}")
    fflush(nil)
    _ = readLine()
}

/// Counts what the watchers have heard.
final class Heard: Sendable {
    private let state = Mutex((count: 0, wanted: Int.max, waiting: CheckedContinuation<Void, Never>?.none))

    func note() {
        let waiting = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.count += 1
            guard state.count >= state.wanted else { return nil }
            defer { state.waiting = nil }
            return state.waiting
        }
        waiting?.resume()
    }

    /// Until so many events were heard since the start.
    func reach(_ wanted: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                state.wanted = wanted
                if state.count >= wanted { return true }
                state.waiting = continuation
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}

/// Whose turn it is, and how long each took.
final class Turns: Sendable {
    let next = Atomic<Int>(0)
    let times: Mutex<[Double]>

    init(_ count: Int) { times = Mutex([Double](repeating: 0, count: count)) }
}

struct Bench: Sendable {
    let registry: RegistryClient
    let socket: Descriptor
    let url: String

    func endpoint(_ name: String, of service: String) -> NSMNetworkServiceEndpoint {
        .with { endpoint in
            endpoint.name = name
            endpoint.networkServiceNames = [service]
            endpoint.url = url
        }
    }

    /// Registers them all, 32 at a time; how long each took, in the order in which they began.
    func registerAll(_ count: Int) async throws -> [Double] {
        let turns = Turns(count)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<32 {
                group.addTask {
                    while case let number = turns.next.add(1, ordering: .relaxed).oldValue, number < count {
                        let start = ContinuousClock.now
                        _ = try await registry.register(
                            endpoint("e\(number)", of: "s\(number)"), socket: socket)
                        let took = milliseconds(.now - start)
                        turns.times.withLock { $0[number] = took }
                    }
                }
            }
            try await group.waitForAll()
        }
        return turns.times.withLock { $0 }
    }

    func run(_ registrations: Int, _ watchers: Int, _ rounds: Int) async throws {
        let heard = Heard()
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            for _ in 0..<watchers {
                group.addTask {
                    try await registry.watch(NSMNetworkServiceEndpoint.with { $0.networkServiceNames = ["watched"] }) {
                        _ in heard.note()
                    }
                }
            }
            // Who watches hears of what is there, so all do once they have heard of the first.
            let first = endpoint("first", of: "watched")
            _ = try await registry.register(first, socket: socket)
            await heard.reach(watchers)
            tell([("watchers", Double(watchers))])
            for name in ["register", "renew"] {
                let start = ContinuousClock.now
                let times = try await registerAll(registrations)
                let wall = milliseconds(.now - start)
                let tenth = max(1, registrations / 10)
                tell([
                    ("\(name)_ms", wall), ("first_tenth_ms", median(Array(times.prefix(tenth)))),
                    ("last_tenth_ms", median(Array(times.suffix(tenth)))),
                ])
            }
            var (told, withdrawn): ([Double], [Double]) = ([], [])
            var expected = watchers
            for round in 0..<rounds {
                let one = endpoint("round\(round)", of: "watched")
                var start = ContinuousClock.now
                expected += watchers
                _ = try await registry.register(one, socket: socket)
                await heard.reach(expected)
                told.append(milliseconds(.now - start))
                start = ContinuousClock.now
                expected += watchers
                try await registry.unregister(one, socket: nil)
                await heard.reach(expected)
                withdrawn.append(milliseconds(.now - start))
            }
            tell([("told_ms", median(told)), ("withdrawn_ms", median(withdrawn))])
        }
    }
}

@main
enum RegistryBench {
    static func main() async throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        guard numbers.count == 3, numbers.allSatisfy({ $0 > 0 }) else {
            fail("registrations, watchers and rounds are needed")
        }
        var logger = Logger(label: "registry-bench") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        let mesh = try MeshAccess(logger: logger)
        let path = "/tmp/registry-bench-\(getpid()).sock"
        let listener = try ServerListener(.unix(path))
        defer { unlink(path) }
        let bench = Bench(
            registry: RegistryClient(mesh.manager), socket: try Descriptor.open(path, pathOnly: true),
            url: "unix://\(path)")
        do {
            try await mesh.run { try await bench.run(numbers[0], numbers[1], numbers[2]) }
        } catch {
            fail("\(error)")
        }
        withExtendedLifetime(listener) {}
    }
}
