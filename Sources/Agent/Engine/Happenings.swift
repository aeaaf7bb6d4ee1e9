internal import Concurrency
internal import Northbound

/// What clients follow: changes of states, and of interfaces.
struct Happenings {
    /// Events of interfaces that are remembered.
    static let limit = 10_000
    /// Those who may follow one thing at a time.
    private static let mostFollowers = 32
    /// Events that wait for a slow reader before its stream ends.
    private static let backlog = Broadcast<[DeclaredValue], Never, Void>.Backlog.all(limit: 1000)

    /// Values that came into another state.
    private var states = Broadcast<[DeclaredValue], Never, Void>()
    private var interfaces = Broadcast<InterfaceEvent, Never, Void>()
    /// Every time the engine has done something, whatever it is.
    private var turns = Broadcast<Void, Never, Void>()
    /// The newest events. Once it is full, the oldest is at `next % limit`.
    private var remembered: [InterfaceEvent] = []
    private(set) var next: UInt64 = 0

    /// Whether somebody wants to know of states.
    var hasStateFollowers: Bool { mutating get { states.count > 0 } }

    /// A stream that ends at once when there are too many followers. One of the agent's own is never too many.
    mutating func followStates(isOwn: Bool) -> AsyncStream<[DeclaredValue]> {
        if !isOwn, states.count >= Self.mostFollowers { return AsyncStream { $0.finish() } }
        return states.follow(backlog: Self.backlog)
    }

    mutating func followTurns() -> AsyncStream<Void> { turns.follow(backlog: .newest) }

    /// Events from a number on, or from the oldest there is. A stream that ends at once when there are too many followers.
    mutating func followInterfaces(from number: UInt64) -> AsyncStream<InterfaceEvent> {
        if interfaces.count >= Self.mostFollowers { return AsyncStream { $0.finish() } }
        let oldest = next - UInt64(remembered.count)
        let past = (max(number, oldest)..<max(next, number, oldest)).map { remembered[Int($0) % Self.limit] }
        return interfaces.follow(backlog: .all(limit: Self.limit), from: past)
    }

    mutating func tell(_ changes: [DeclaredValue]) { states.tell(changes) }

    mutating func tellTurn() { turns.tell(()) }

    /// Remembers that an interface changed, and tells it.
    mutating func tell(_ facts: InterfaceFacts, at time: Timestamp) {
        let event = InterfaceEvent(number: next, time: time, facts: facts)
        if remembered.count < Self.limit {
            remembered.append(event)
        } else {
            remembered[Int(next) % Self.limit] = event
        }
        next += 1
        interfaces.tell(event)
    }

    /// Ends all streams.
    mutating func finish() {
        states.finish()
        interfaces.finish()
        turns.finish()
    }
}
