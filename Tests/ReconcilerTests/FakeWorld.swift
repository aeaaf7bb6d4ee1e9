import Reconciler

/// An object of the fake world.
struct Thing: Hashable, Sendable {
    var attributes: [String: String] = [:]
    /// Our mark: the key of the value it was made for. nil: it is foreign.
    var owner: Key?
    /// It dies with this one.
    var parent: String?
    /// It dies with this one too, and comes with it.
    var peer: String?
}

/// A change of the fake world.
enum Change: Hashable, Sendable {
    case create(String, Thing, peerOwner: Key?)
    case update(String, [String: String])
    case delete(String)

    var name: String {
        switch self {
        case .create(let name, _, _), .update(let name, _), .delete(let name): name
        }
    }
}

/// What is there.
struct Contents: Hashable {
    var things: [String: Thing] = [:]
    var conditions: Set<String> = []
    /// Names in the order they were made.
    var serials: [String: Int] = [:]
    private var lastSerial = 0

    static func == (left: Self, right: Self) -> Bool {
        left.things == right.things && left.conditions == right.conditions
    }
    func hash(into hasher: inout Hasher) { hasher.combine(things) }

    private mutating func add(_ name: String, _ thing: Thing) {
        things[name] = thing
        lastSerial += 1
        serials[name] = lastSerial
    }

    /// Returns an error text, or whether something else than the change's own thing was lost.
    mutating func apply(_ change: Change) -> (error: String?, disturbed: Bool) {
        switch change {
        case .create(let name, let thing, let peerOwner):
            if things[name] != nil { return ("\(name): exists", false) }
            if let parent = thing.parent, things[parent] == nil { return ("\(name): no parent \(parent)", false) }
            add(name, thing)
            if let peer = thing.peer, things[peer] == nil {
                add(peer, Thing(owner: peerOwner, peer: name))
            }
        case .update(let name, let attributes):
            guard let old = things[name] else { return ("\(name): no such thing", false) }
            if attributes["flag"] != old.attributes["flag"] {
                // As a link that goes down and up loses its IPv6 addresses.
                for (child, thing) in things where thing.parent == name && thing.attributes["volatile"] != nil {
                    remove(child)
                }
            }
            things[name]?.attributes = attributes
        case .delete(let name):
            guard let thing = things[name] else { return (nil, false) }
            remove(name)
            if thing.attributes["primary"] != nil {
                let flushed = things.filter {
                    $0.value.parent == thing.parent && $0.value.attributes["secondary"] != nil
                }
                for name in flushed.keys { remove(name) }
                return (nil, !flushed.isEmpty)
            }
        }
        return (nil, false)
    }

    mutating func remove(_ name: String) {
        guard let thing = things.removeValue(forKey: name) else { return }
        for (child, _) in things.filter({ $0.value.parent == name }) { remove(child) }
        if let peer = thing.peer { remove(peer) }
    }
}

/// A world in memory, with failures on demand.
final class FakeWorld: World {
    struct Failure {
        var text = "refused"
        var retriable = true
        /// How often it fails; then it works.
        var times = Int.max
        /// Whether the thing is made all the same, without its attributes.
        var leavesHalf = false
        /// Only changes of this sort: c, u or d; nil: all.
        var sort: Character?
    }

    /// The truth.
    var real = Contents()
    /// What the reconciler is shown.
    var belief = Contents()
    var failures: [String: Failure] = [:]
    /// What was executed, in order.
    var log: [String] = []
    var executions = 0
    /// Whether things whose parent could not be made are skipped instead of failing.
    var skips = false
    var assessments = 0
    /// Calls that break the rules of a world.
    var mistakes: [String] = []
    /// What somebody else says of values.
    var observations: [Key: Observation] = [:]
    private var claimed: Set<String> = []
    private var isDisturbed = false

    func claim(_ name: String) { claimed.insert(name) }

    /// Changes the truth from outside; the world notices at once.
    func outside(_ body: (inout Contents) -> Void) {
        body(&real)
        belief = real
    }

    func beginPass() {
        claimed = []
        if belief != real { mistakes.append("a pass began with something simulated") }
    }

    func forgetClaims() { claimed = [] }

    func leftoversToRemoveFirst() -> [Removal<Change>] { leftovers { $0.parent == nil } }

    func leftoversToRemoveLast() -> [Removal<Change>] { leftovers { $0.parent != nil } }

    private func leftovers(where isWanted: (Thing) -> Bool) -> [Removal<Change>] {
        belief.things.filter { name, thing in
            guard thing.owner != nil, !claimed.contains(name), isWanted(thing) else { return false }
            // One removal takes both.
            if let peer = thing.peer, belief.things[peer] != nil, !claimed.contains(peer), peer < name { return false }
            return true
        }.sorted { $0.key > $1.key }.map { name, thing in
            Removal(key: thing.owner ?? "", summary: "left \(name)", operations: [.delete(name)])
        }
    }

    func simulate(_ operation: Change) {
        if belief.apply(operation).disturbed { isDisturbed = true }
    }

    func takeDisturbance() -> Bool {
        defer { isDisturbed = false }
        return isDisturbed
    }

    func execute(_ operations: [Change]) -> [OperationResult] { execute(operations, progress: { _ in }) }

    func execute(_ operations: [Change], progress: (Int) -> Void) -> [OperationResult] {
        executions += 1
        var results: [OperationResult] = []
        var missing: Set<String> = []
        for operation in operations {
            log.append(describe(operation))
            let result = execute(operation, missing)
            if case .done = result {} else { missing.insert(operation.name) }
            results.append(result)
            progress(results.count)
        }
        return results
    }

    private func execute(_ operation: Change, _ missing: Set<String>) -> OperationResult {
        let sort = describe(operation).first
        if skips, case .create(_, let thing, _) = operation, let parent = thing.parent, missing.contains(parent) {
            return .skipped
        }
        if var failure = failures[operation.name], failure.sort == nil || failure.sort == sort {
            failure.times -= 1
            failures[operation.name] = failure.times == 0 ? nil : failure
            if failure.leavesHalf, case .create(let name, var thing, let peerOwner) = operation {
                thing.attributes = [:]
                _ = real.apply(.create(name, thing, peerOwner: peerOwner))
            }
            return .failed(failure.text, retriable: failure.retriable)
        }
        if let error = real.apply(operation).error { return .failed(error, retriable: true) }
        return .done
    }

    func refreshAfterFailure() { belief = real }

    func snapshot() -> Contents { real }

    func operations(toRestore snapshot: Contents) -> [Change] {
        var changes: [Change] = []
        let made = real.things.keys.filter { snapshot.things[$0] == nil }
        for name in made.sorted(by: { real.serials[$0] ?? 0 > real.serials[$1] ?? 0 }) { changes.append(.delete(name)) }
        for (name, thing) in snapshot.things.sorted(by: { $0.key < $1.key }) {
            if let peer = thing.peer, peer < name, real.things[name] == nil, real.things[peer] == nil {
                // It came with the other end.
                changes.append(.update(name, thing.attributes))
            } else if let now = real.things[name] {
                if now.attributes != thing.attributes { changes.append(.update(name, thing.attributes)) }
            } else {
                changes.append(.create(name, thing, peerOwner: thing.peer.flatMap { snapshot.things[$0]?.owner }))
            }
        }
        return changes
    }

    func describe(_ operation: Change) -> String {
        switch operation {
        case .create(let name, _, _): "c \(name)"
        case .update(let name, _): "u \(name)"
        case .delete(let name): "d \(name)"
        }
    }
}

/// A declared thing.
struct Item: Value {
    typealias W = FakeWorld

    enum Need: Hashable, Sendable {
        case key(Key)
        case ifDeclared(Key)
        case anyOf(String, unless: Key?)
        /// Any of a group, with this attribute `tag`.
        case tagged(String, tag: String)
    }

    static var kind: String { "item" }
    static var rank: Int { 1 }

    var key: Key
    var name: String
    var attributes: [String: String] = [:]
    var needs: [Need] = []
    var parts: [Item] = []
    var groups: [String] = []
    var condition: String?
    var parent: String?
    var peer: String?
    /// What its assessment says in place of the truth.
    var verdict: String?

    init(_ name: String, _ attributes: [String: String] = [:], needs: [Need] = []) {
        key = "k/\(name)"
        self.name = name
        self.attributes = attributes
        self.needs = needs
    }

    var dependencies: [Dependency<FakeWorld>] {
        needs.map { need in
            switch need {
            case .key(let key): Dependency(label: "needs-\(key)", target: .key(key))
            case .ifDeclared(let key): Dependency(label: "if-\(key)", target: .keyIfDeclared(key))
            case .anyOf(let group, let key):
                Dependency(
                    label: "any-\(group)", target: .anyOf(group: group, unlessUndeclared: key, matches: { _ in true }))
            case .tagged(let group, let tag):
                Dependency(
                    label: "tag-\(tag)",
                    target: .anyOf(
                        group: group, unlessUndeclared: nil, matches: { ($0 as? Item)?.attributes["tag"] == tag }))
            }
        }
    }

    var derived: [DerivedValue<FakeWorld>] { parts.map { DerivedValue(key: $0.key, value: $0) } }

    var summary: String { "item \(name)" }

    func unmetConditions(in world: FakeWorld) -> [String] {
        guard let condition, !world.belief.conditions.contains(condition) else { return [] }
        return ["condition \(condition)"]
    }

    func claim(in world: FakeWorld) { world.claim(name) }

    func assess(in world: FakeWorld) -> Assessment<Change> {
        world.assessments += 1
        if let verdict, world.belief.conditions.contains("impossible") {
            return Assessment(verdict == "blocked" ? .blocked("can't") : .waiting(["not yet"]))
        }
        let wanted = Thing(attributes: attributes, owner: key, parent: parent, peer: peer)
        let create = Change.create(name, wanted, peerOwner: peer.map { "k/\($0)" })
        guard let thing = world.belief.things[name] else { return Assessment(.create, operations: [create]) }
        if thing.owner == nil { return Assessment(.blocked("\(name) belongs to another program")) }
        if thing.attributes == attributes { return .inPlace }
        let differences = Set(thing.attributes.keys).union(attributes.keys).sorted().compactMap { name in
            thing.attributes[name] == attributes[name]
                ? nil : Difference(name, old: thing.attributes[name] ?? "", new: attributes[name] ?? "")
        }
        if thing.attributes["kind"] != attributes["kind"] {
            return Assessment(.recreate, operations: [.delete(name), create], differences: differences)
        }
        return Assessment(.update, operations: [.update(name, attributes)], differences: differences)
    }
}

/// A value that stands for nothing in the world: others can depend on it.
struct Property: Value {
    typealias W = FakeWorld
    static var kind: String { "property" }
    static var rank: Int { 9 }
    var name: String
    var dependencies: [Dependency<FakeWorld>] { [] }
    var summary: String { name }
    func assess(in world: FakeWorld) -> Assessment<Change> { .inPlace }
}
