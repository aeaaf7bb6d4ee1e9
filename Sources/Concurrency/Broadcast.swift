internal import Synchronization

/// The streams of an event source's followers.
///
/// It belongs under the lock of what it tells about, so that what a stream begins with and what follows fit together.
/// A follower may name one topic, and is then found by it: most follow one thing among many, and an event must not cost a look
/// at all of them.
package struct Broadcast<Event: Sendable, Topic: Hashable & Sendable, Interest: Sendable>: Sendable {
    /// What becomes of events that wait for a slow reader.
    package enum Backlog: Sendable {
        /// The newest one takes the place of the others.
        case newest
        /// They wait, up to so many beyond those the stream begins with; then the stream ends. Its reader may follow again, and gets
        /// everything anew.
        case all(limit: Int)
    }
    private struct Follower {
        let topic: Topic?
        let interest: Interest
        let endsWhenFull: Bool
        let events: AsyncStream<Event>.Continuation
    }
    /// Numbers of the followers whose streams were cancelled. A cancelled task stays locked while it reports that, and
    /// an event for the task waits for it: the report must not take the lock under which events are sent, or both
    /// deadlock.
    private final class Ended: Sendable {
        let numbers = Mutex<[UInt64]>([])
    }
    private var followers: [UInt64: Follower] = [:]
    private var byTopic: [Topic: Set<UInt64>] = [:]
    /// The followers without a topic.
    private var general: Set<UInt64> = []
    private var next: UInt64 = 0
    private let ended = Ended()

    /// Creates one without followers.
    package init() {}

    /// How many follow.
    package var count: Int {
        mutating get {
            removeEnded()
            return followers.count
        }
    }

    /// Whether a follower has such an interest.
    package mutating func contains(where isMeant: (Interest) -> Bool) -> Bool {
        removeEnded()
        return followers.values.contains { isMeant($0.interest) }
    }

    /// Events from now on.
    ///
    /// - Parameters:
    ///   - interest: What is asked about at each event.
    ///   - topic: The only one whose events are of interest; nil: those of all are.
    ///   - first: What the stream begins with.
    package mutating func follow(
        _ interest: Interest, on topic: Topic? = nil, backlog: Backlog, from first: [Event] = []
    ) -> AsyncStream<Event> {
        removeEnded()
        let stream: AsyncStream<Event>
        let events: AsyncStream<Event>.Continuation
        let endsWhenFull: Bool
        switch backlog {
        case .newest:
            (stream, events) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
            endsWhenFull = false
        case .all(let limit):
            (stream, events) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(first.count + limit))
            endsWhenFull = true
        }
        for event in first { events.yield(event) }
        next += 1
        let number = next
        followers[number] = Follower(topic: topic, interest: interest, endsWhenFull: endsWhenFull, events: events)
        if let topic { byTopic[topic, default: []].insert(number) } else { general.insert(number) }
        events.onTermination = { [ended] reason in
            // Whose stream is ended by us is forgotten already.
            guard case .cancelled = reason else { return }
            ended.numbers.withLock { $0.append(number) }
        }
        return stream
    }

    /// Sends an event to the followers of one of its topics, or of all.
    package mutating func tell(_ event: Event, on topics: Set<Topic> = [], where isFor: (Interest) -> Bool) {
        removeEnded()
        for number in general { tell(event, to: number, isFor) }
        for topic in topics { for number in byTopic[topic] ?? [] { tell(event, to: number, isFor) } }
    }

    /// Ends all streams.
    package mutating func finish() {
        for follower in followers.values { follower.events.finish() }
        followers = [:]
        byTopic = [:]
        general = []
    }

    private mutating func tell(_ event: Event, to number: UInt64, _ isFor: (Interest) -> Bool) {
        guard let follower = followers[number], isFor(follower.interest) else { return }
        if case .dropped = follower.events.yield(event), follower.endsWhenFull {
            remove(number)
            follower.events.finish()
        }
    }

    private mutating func removeEnded() {
        let numbers = ended.numbers.withLock { numbers in
            defer { numbers = [] }
            return numbers
        }
        for number in numbers { remove(number) }
    }

    private mutating func remove(_ number: UInt64) {
        guard let follower = followers.removeValue(forKey: number) else { return }
        guard let topic = follower.topic else {
            general.remove(number)
            return
        }
        byTopic[topic]?.remove(number)
        if byTopic[topic]?.isEmpty == true { byTopic[topic] = nil }
    }
}

extension Broadcast where Topic == Never, Interest == Void {
    /// Events from now on.
    package mutating func follow(backlog: Backlog, from first: [Event] = []) -> AsyncStream<Event> {
        follow((), backlog: backlog, from: first)
    }

    /// Tells an event to all.
    package mutating func tell(_ event: Event) { tell(event) { _ in true } }
}
