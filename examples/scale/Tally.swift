import Model
import Northbound
import Synchronization

/// What simulated agents have seen, all together.
final class Tally: Sendable {
    /// Who is there, and what came since the last look.
    struct State {
        /// By number of the agent.
        var isConnected: [Bool]
        /// How often an agent has read all that is its own.
        var reads = 0
        /// How often an agent has lost its source.
        var losses = 0
        /// Why, and how often.
        var reasons: [String: Int] = [:]
        /// Values that came to agents.
        var values = 0
        /// When what an agent waits for was sent off.
        var sent: [Int: ContinuousClock.Instant] = [:]
        /// From sending a change off to the agent's declaring it, in milliseconds.
        var delays: [Double] = []
        /// How long the source took to take a change, in milliseconds.
        var written: [Double] = []
        /// Changes that were refused.
        var failed = 0
    }
    private let state: Mutex<State>

    init(agents: Int) { state = Mutex(State(isConnected: Array(repeating: false, count: agents))) }

    func look<Result>(_ body: (inout State) -> Result) -> Result { state.withLock { body(&$0) } }

    /// How many have their source.
    var connected: Int { look { $0.isConnected.count(where: \.self) } }

    /// Notes that a change for an agent is sent off; false when it waits for another one.
    func send(to agent: Int) -> Bool {
        look { state in
            if state.sent[agent] != nil { return false }
            state.sent[agent] = .now
            return true
        }
    }

    /// Notes that an agent has a change.
    func take(_ request: ConfigurationRequest, by agent: Int) {
        let now = ContinuousClock.now
        look { state in
            state.values += request.values.count
            if request.replacesAll {
                state.reads += 1
            } else if let start = state.sent.removeValue(forKey: agent) {
                state.delays.append((now - start) / .milliseconds(1))
            }
        }
    }
}

/// The engine of a simulated agent: it has each value at once, without a kernel.
struct Engine: ConfigurationBackend {
    let agent: Int
    let tally: Tally

    func change(_ request: ConfigurationRequest) async throws -> ConfigurationAnswer {
        tally.take(request, by: agent)
        return ConfigurationAnswer(sequence: 1, states: [], failures: [])
    }

    func note(_ source: String, _ warning: String?) async {
        tally.look { state in
            if let warning, state.isConnected[agent] {
                state.losses += 1
                state.reasons[warning, default: 0] += 1
            }
            state.isConnected[agent] = warning == nil
        }
    }

    func waitUntilDone(_ keys: [String]) async {}
    func declaredValues() async -> [DeclaredValue] { [] }
    func valuesInPlace() async throws -> [ModelValue] { [] }
    func interfaceEvents(from number: UInt64) -> AsyncStream<InterfaceEvent> { AsyncStream { $0.finish() } }

    /// Nothing ever changes by itself. The stream is open until its reader is cancelled.
    func stateChanges(isOwn: Bool) -> AsyncStream<[DeclaredValue]> {
        AsyncStream { continuation in continuation.onTermination = { _ in _ = continuation } }
    }
}
