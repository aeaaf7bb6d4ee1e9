internal import CLinux
internal import Concurrency
internal import Glibc
internal import NetworkTypes
internal import Synchronization

/// The addresses that host names stand for, by the resolver of the process (getaddrinfo(3)), which is that of the namespaces the
/// process is in. Lookups take as long as they take, so threads of their own make them, a few at a time.
final class NameLookups: Sendable {
    /// What is known of a name.
    enum Answer: Hashable {
        /// Its addresses, the preferred one first.
        case addresses([IPAddress])
        /// Nothing yet.
        case asked
        /// That it can't be looked up, and why.
        case failed(String)
    }

    /// How long after a lookup has begun somebody looks for its answer, milliseconds.
    static let recheck: Int64 = 100
    private static let mostWorkers = 8
    /// How old an answer may get before a name is looked up again, and a failure, nanoseconds.
    private static let age: (answer: Int64, failure: Int64) = (300_000_000_000, 1_000_000_000)
    /// How long somebody waits who has to, for all names together, nanoseconds.
    private let patience: Int64
    /// Begins a thread that calls ``work()``; says what went wrong, an errno, or 0.
    private let beginWork: @Sendable (NameLookups) -> CInt

    init(
        patience: Int64 = 15_000_000_000,
        beginWork: @escaping @Sendable (NameLookups) -> CInt = { $0.beginThread() }
    ) {
        self.patience = patience
        self.beginWork = beginWork
    }

    private struct Entry {
        var answer = Answer.asked
        var isAsked = false
        /// Of the answer, nanoseconds of CLOCK_MONOTONIC.
        var time: Int64 = 0
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var queue: [String] = []
        var workers = 0
        var answered: Set<String> = []
        /// When nobody waits any longer for what is being looked up; nil: nobody waits.
        var deadline: Int64?

        /// Takes names out of the queue that were forgotten. While the resolver hangs it must not grow with each configuration.
        mutating func tidy() {
            guard queue.count > 2 * entries.count + 16 else { return }
            var kept: Set<String> = []
            queue.removeAll { entries[$0]?.isAsked != true || !kept.insert($0).inserted }
        }

        /// Notes that a worker goes.
        mutating func endWork() {
            workers -= 1
            if workers == 0 { deadline = nil }
        }
    }

    private let state = Mutex(State())

    /// Has a name looked up, unless that was done a short while ago.
    func lookUp(_ name: String) {
        let needsWorker = state.withLock { state in
            var entry = state.entries[name] ?? Entry()
            defer { state.entries[name] = entry }
            let age = SteadyClock.monotonic - entry.time
            switch entry.answer {
            case .asked: break
            case .addresses: if age < Self.age.answer { return false }
            case .failed: if age < Self.age.failure { return false }
            }
            if entry.isAsked { return false }
            entry.isAsked = true
            state.queue.append(name)
            if state.workers >= Self.mostWorkers { return false }
            state.workers += 1
            return true
        }
        guard needsWorker else { return }
        let error = beginWork(self)
        if error != 0 { giveUp("no thread can be begun for it: \(String(cString: strerror(error)))") }
    }

    private func beginThread() -> CInt {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let error = pthread_create(&thread, nil, lookUpNames, context)
        if error == 0 {
            pthread_detach(thread)
        } else {
            Unmanaged<NameLookups>.fromOpaque(context).release()
        }
        return error
    }

    /// No worker could be begun. Names that no other one takes can't be looked up now; the caller's thread must not hang for them.
    private func giveUp(_ reason: String) {
        state.withLock { state in
            state.endWork()
            if state.workers > 0 { return }
            for name in state.queue where state.entries[name]?.isAsked == true {
                state.entries[name] = Entry(answer: .failed(reason), isAsked: false, time: SteadyClock.monotonic)
                state.answered.insert(name)
            }
            state.queue = []
        }
    }

    /// What is known of a name, which is looked up if need be.
    ///
    /// - Parameter isWaiting: whether to wait for the answer. All who wait until the last lookup has ended have one deadline.
    func answer(_ name: String, isWaiting: Bool) -> Answer {
        lookUp(name)
        while true {
            let (answer, isLast) = state.withLock { state in
                let entry = state.entries[name] ?? Entry()
                guard isWaiting, entry.isAsked, entry.answer == .asked else { return (entry.answer, true) }
                let now = SteadyClock.monotonic
                let deadline = state.deadline ?? now + patience
                state.deadline = deadline
                return (entry.answer, now >= deadline)
            }
            if isLast { return answer }
            usleep(2000)
        }
    }

    /// Nobody asks for a name any more.
    func forget(_ name: String) {
        state.withLock { state in
            state.entries[name] = nil
            state.answered.remove(name)
            state.tidy()
        }
    }

    /// How many names wait for a worker.
    var queueLength: Int { state.withLock { $0.queue.count } }

    /// Whether a lookup is on its way.
    var isAsking: Bool { state.withLock { $0.workers > 0 } }

    /// The names of which something else is known since the last call.
    func takeAnswered() -> Set<String> {
        state.withLock { state in
            defer { state.answered = [] }
            return state.answered
        }
    }

    /// Looks names up until none is left.
    func work() {
        while true {
            let name = state.withLock { state -> String? in
                while !state.queue.isEmpty {
                    let name = state.queue.removeFirst()
                    if state.entries[name]?.isAsked == true { return name }
                }
                state.endWork()
                return nil
            }
            guard let name else { return }
            let answer = Self.resolve(name)
            state.withLock { state in
                guard var entry = state.entries[name] else { return }
                if entry.answer != answer { state.answered.insert(name) }
                entry = Entry(answer: answer, isAsked: false, time: SteadyClock.monotonic)
                state.entries[name] = entry
            }
        }
    }

    private static func resolve(_ name: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(name, nil, &hints, &list)
        guard result == 0 else {
            if result == EAI_SYSTEM { return .failed(String(cString: strerror(errno))) }
            return .failed(gai_strerror(result).map { String(cString: $0) } ?? "error \(result)")
        }
        defer { freeaddrinfo(list) }
        var addresses: [IPAddress] = []
        var next = list
        while let info = next?.pointee {
            next = info.ai_next
            let offset = info.ai_family == AF_INET ? 4 : info.ai_family == AF_INET6 ? 8 : 0
            guard offset > 0, let start = UnsafeRawPointer(info.ai_addr), Int(info.ai_addrlen) >= offset * 2 else {
                continue
            }
            let bytes = UnsafeRawBufferPointer(start: start + offset, count: offset == 4 ? 4 : 16)
            if let address = IPAddress(networkOrder: bytes), !addresses.contains(address) { addresses.append(address) }
        }
        return addresses.isEmpty ? .failed("it has no address") : .addresses(addresses)
    }
}

private func lookUpNames(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    Unmanaged<NameLookups>.fromOpaque(context).takeRetainedValue().work()
    return nil
}
