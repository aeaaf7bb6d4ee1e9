import Concurrency
import Foundation
import LinuxKinds
import Model
import Netlink
import Reconciler
import Testing

/// An agent as the command line composes it, without the command line: files in, kernel out.
final class TestAgent {
    struct Mistaken: Error, CustomStringConvertible {
        let description: String
    }

    let world: LinuxWorld
    let reconciler: Reconciler<LinuxWorld>
    let sandbox: Sandbox
    private var loop: EventLoop?
    private var declared: [Key: ModelValue] = [:]

    init(
        _ sandbox: Sandbox, label: String? = nil, retry: RetryPolicy = .never,
        now: @escaping @Sendable () -> Timestamp = { TestAgent.now }
    ) {
        self.sandbox = sandbox
        world = LinuxWorld(
            ownership: Ownership(label: label ?? sandbox.label), namespaceDirectory: sandbox.directory)
        reconciler = Reconciler(world: world, retry: retry, now: now)
    }

    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// Takes a configuration in. An empty one declares nothing. Mistakes in it are errors, unless it is taken as it is.
    func declare(_ yaml: String, tolerant: Bool = false) throws {
        let config = ConfigLoader.load(bytes: Array(yaml.utf8), name: "test.yaml")
        if !tolerant, !config.isValid {
            throw Mistaken(description: config.mistakes.map(\.description).joined(separator: "\n"))
        }
        let ownership = world.ownership
        reconciler.replace(
            source: "files",
            with: config.items.map { item in
                let desired =
                    item.specification.map { LinuxRegistry.desired($0, ownership: ownership) }
                    ?? LinuxRegistry.desired(item.value, ownership: ownership)
                return (key: item.key, desired: desired)
            })
    }

    /// Takes in what a connection brought.
    func bring(_ yaml: String) throws {
        let config = ConfigLoader.load(bytes: Array(yaml.utf8), name: "connection.yaml")
        let ownership = world.ownership
        reconciler.replace(
            source: "connections",
            with: config.items.map { item in
                (key: item.key, desired: LinuxRegistry.desired(item.value, ownership: ownership, isBrought: true))
            })
    }

    func declare(_ items: [(key: Key, value: ModelValue)]) {
        let ownership = world.ownership
        reconciler.replace(
            source: "files",
            with: items.map { (key: $0.key, desired: LinuxRegistry.desired($0.value, ownership: ownership)) })
    }

    /// Declares only what differs from what was declared this way before, and does only what that takes.
    @discardableResult
    func change(to yaml: String) throws -> Transaction? {
        let config = ConfigLoader.load(bytes: Array(yaml.utf8), name: "test.yaml")
        let wanted = Dictionary(config.items.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        let ownership = world.ownership
        var changes: [(key: Key, desired: Desired<LinuxWorld>?)] = []
        for key in declared.keys.sorted() where wanted[key] == nil { changes.append((key, nil)) }
        for (key, value) in wanted.sorted(by: { $0.key < $1.key }) where declared[key] != value {
            changes.append((key, LinuxRegistry.desired(value, ownership: ownership)))
        }
        declared = wanted
        reconciler.change(source: "files", changes)
        try world.readNew()
        return reconciler.reconcile(reason: .apply, scope: .changes)
    }

    /// What belongs to these links and tables of the host's own namespace stays, though nobody declares it.
    func spare(
        link: @escaping (String) -> Bool = { _ in false }, table: @escaping (UInt32) -> Bool = { _ in false }
    ) {
        let world = world
        reconciler.spares = { place in
            world.linkName(at: place).map(link) ?? false || world.table(at: place).map(table) ?? false
        }
    }

    /// Takes a configuration in, reads the kernel, and makes it so.
    @discardableResult
    func apply(_ yaml: String, tolerant: Bool = false, revertOnFailure: Bool = false) throws -> Transaction? {
        try declare(yaml, tolerant: tolerant)
        try world.readAll()
        try world.settleMarks()
        let transaction = reconciler.reconcile(reason: .apply, revertOnFailure: revertOnFailure)
        KindRecord.note(reconciler.status())
        return transaction
    }

    /// What is not configured: key, state, and why.
    var problems: [String] {
        reconciler.status().filter { $0.state != .configured }.map { status in
            "\(status.key) \(status.state.name) \(status.error)\(status.details.joined(separator: "; "))"
        }
    }

    /// The state of the value with a key.
    func status(_ key: Key) -> ValueStatus? { reconciler.status(prefix: key).first { $0.key == key } }

    func state(_ key: Key) -> ValueState? { status(key)?.state }

    func interface(_ name: String) -> ValueStatus? { status("config/linux/interfaces/v2/interface/\(name)") }

    /// What a plan of this configuration would do, in a world that was read anew.
    func plan(_ yaml: String) throws -> [String] {
        try declare(yaml)
        try world.readAll()
        try world.settleMarks()
        let plan = reconciler.plan()
        return plan.steps.map { step in
            let differences = step.differences.map(\.description).joined(separator: ", ")
            return "\(step.verb.sign) \(step.summary)\(differences.isEmpty ? "" : ": \(differences)")"
        }
    }

    // MARK: - Events

    /// Listens from now on. Afterwards the kernel is read once more, so that nothing is missed.
    func watch() throws {
        let loop = try EventLoop()
        self.loop = loop
        try world.startWatching(on: loop)
        try world.readAll()
        reconciler.reconcile(reason: .apply)
        while try settle() != nil {}
    }

    /// Takes what the kernel reported, and repairs it. Returns nil when nothing was reported.
    @discardableResult
    func settle(timeout: Int32 = 0) throws -> WorldChanges? {
        guard let loop else { return nil }
        let tokens = try loop.wait(timeoutMilliseconds: timeout)
        if tokens.isEmpty { return nil }
        let changes = world.takeEvents(tokens: tokens)
        if !changes.isEmpty {
            reconciler.reconcile(reason: .drift, scope: changes.needsFullPass ? .all : .keys(changes.keys))
        }
        return changes
    }

    /// Handles events until a condition holds; for at most some seconds.
    func settle(seconds: Double = 5, until condition: () throws -> Bool) throws -> Bool {
        let end = Date().addingTimeInterval(seconds)
        repeat {
            while try settle() != nil {}
            if try condition() { return true }
            try settle(timeout: 20)
        } while Date() < end
        return try condition()
    }

    /// Handles events until none has come for a moment. Returns the keys that were looked at.
    @discardableResult
    func quiesce() throws -> Set<String> {
        var keys: Set<String> = []
        while let changes = try settle(timeout: 50) { keys.formUnion(changes.keys) }
        return keys
    }
}

extension Sandbox {
    /// A fresh agent that knows nothing but what the kernel tells: what a restart leaves.
    func agent(label: String? = nil, retry: RetryPolicy = .never) -> TestAgent {
        TestAgent(self, label: label, retry: retry)
    }

    /// Applies a configuration with a fresh agent, and expects everything to be configured, and nothing to be left to do
    /// for the same agent or another.
    @discardableResult
    func apply(
        _ yaml: String, label: String? = nil, location: SourceLocation = #_sourceLocation
    ) throws -> TestAgent {
        let agent = agent(label: label)
        try agent.apply(yaml)
        #expect(agent.problems == [], sourceLocation: location)
        try expectInPlace(yaml, agent, label: label, location: location)
        return agent
    }

    /// Expects that neither this agent nor a new one finds anything to do.
    func expectInPlace(
        _ yaml: String, _ agent: TestAgent? = nil, label: String? = nil, location: SourceLocation = #_sourceLocation
    ) throws {
        if let agent {
            let before = agent.world.modifyingRequests
            // What the agent believes, and what it reads.
            for isRead in [false, true] {
                if isRead { try agent.world.readAll() }
                let again = agent.reconciler.reconcile(reason: .apply)
                #expect(
                    again?.entries.map(\.line) ?? [] == [], "the second time, read: \(isRead)", sourceLocation: location
                )
            }
            #expect(agent.world.modifyingRequests == before, sourceLocation: location)
        }
        let fresh = self.agent(label: label)
        let transaction = try fresh.apply(yaml)
        #expect(transaction?.entries.map(\.line) ?? [] == [], "after a restart", sourceLocation: location)
        #expect(fresh.world.modifyingRequests == 0, sourceLocation: location)
        #expect(fresh.problems == [], sourceLocation: location)
    }
}

extension Transaction.Entry {
    var line: String { "\(verb) \(key): \(summary)\(error.isEmpty ? "" : " (\(error))")" }
}
