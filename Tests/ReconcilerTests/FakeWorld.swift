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
        if let parent = thing.parent { children[parent, default: []].insert(name) }
        lastSerial += 1
        serials[name] = lastSerial
    }

    /// Names of things by the one that they die with.
    private var children: [String: Set<String>] = [:]

    /// Returns an error text; and the names of other things that were lost.
    mutating func apply(_ change: Change) -> (error: String?, lost: [String]) {
        var lost: [String] = []
        switch change {
        case .create(let name, let thing, let peerOwner):
            if things[name] != nil { return ("\(name): exists", []) }
            if let parent = thing.parent, things[parent] == nil { return ("\(name): no parent \(parent)", []) }
            add(name, thing)
            if let peer = thing.peer, things[peer] == nil {
                add(peer, Thing(owner: peerOwner, peer: name))
            }
        case .update(let name, let attributes):
            guard let old = things[name] else { return ("\(name): no such thing", []) }
            if attributes["flag"] != old.attributes["flag"] {
                // As a link that goes down and up loses its IPv6 addresses.
                for child in children[name] ?? [] where things[child]?.attributes["volatile"] != nil {
                    lost += remove(child)
                }
            }
            things[name]?.attributes = attributes
        case .delete(let name):
            guard let thing = things[name] else { return (nil, []) }
            lost = remove(name)
            if thing.attributes["primary"] != nil, let parent = thing.parent {
                for sibling in children[parent] ?? [] where things[sibling]?.attributes["secondary"] != nil {
                    lost += remove(sibling)
                }
            }
            lost.removeAll { $0 == name }
        }
        return (nil, lost)
    }

    /// Returns the names of all that went.
    @discardableResult
    mutating func remove(_ name: String) -> [String] {
        guard let thing = things.removeValue(forKey: name) else { return [] }
        if let parent = thing.parent { children[parent]?.remove(name) }
        var lost = [name]
        for child in (children.removeValue(forKey: name) ?? []).sorted() { lost += remove(child) }
        if let peer = thing.peer { lost += remove(peer) }
        return lost
    }
}

/// A world in memory, with failures on demand. A place is a name.
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
    /// How often values were asked what.
    var assessments = 0
    var claims = 0
    var conditionChecks = 0
    /// Whether removals say where they are.
    var tellsPlaces = true
    /// Calls that break the rules of a world, and values that broke them.
    var mistakes: [String] = []
    /// How many places leftovers were looked for at, and how often everywhere.
    var placesSearched = 0
    var fullSearches = 0
    private var claimed: [String: Claimant] = [:]
    private var disturbed: [Claimant] = []
    /// Keys of declared values by the name they want.
    private(set) var wanted: [String: Set<Key>] = [:]
    private var concerned: Set<Key> = []
    /// How often what is believed was changed.
    private var changes = 0

    var work: [Int] { [assessments, claims, conditionChecks, placesSearched, fullSearches] }

    func resetWork() {
        (assessments, claims, conditionChecks, placesSearched, fullSearches) = (0, 0, 0, 0, 0)
    }

    func claim(_ name: String, by claimant: Claimant) -> String? {
        claims += 1
        guard belief.things[name]?.owner != nil, claimed[name] ?? claimant == claimant else { return nil }
        claimed[name] = claimant
        return name
    }

    func release(_ place: String, by claimant: Claimant) {
        if claimed[place] == claimant { claimed[place] = nil }
    }

    /// Each declaration has its withdrawal, of the same value under the same key.
    func declare(_ name: String, key: Key) {
        if wanted[name, default: []].insert(key).inserted == false { mistakes.append("\(key) declared twice") }
        if wanted[name]?.count ?? 0 > 1 { concerned.formUnion(wanted[name] ?? []) }
    }

    func withdraw(_ name: String, key: Key) {
        if wanted[name]?.remove(key) == nil { mistakes.append("\(key) withdrawn and never declared") }
        if wanted[name]?.isEmpty == true { wanted[name] = nil } else { concerned.formUnion(wanted[name] ?? []) }
    }

    func takeConcerned() -> Set<Key> {
        defer { concerned = [] }
        return concerned
    }

    /// What a comparison must leave as it is. Equal contents that nobody touched cost nothing to compare.
    struct Digest: Equatable {
        var belief: Contents
        var claimed: [String: Claimant]
        var changes: Int
    }

    var digest: Digest { Digest(belief: belief, claimed: claimed, changes: changes) }

    /// As a daemon restarts: the world stays, and what was known of it goes.
    func restart() {
        claimed = [:]
        disturbed = []
        wanted = [:]
        concerned = []
    }

    /// Another world that looks the same.
    func copy() -> FakeWorld {
        let copy = FakeWorld()
        copy.real = real
        copy.belief = belief
        return copy
    }

    /// Changes the truth from outside; the world notices at once.
    func outside(_ body: (inout Contents) -> Void) {
        body(&real)
        believe()
    }

    private func believe() {
        changes += 1
        belief = real
    }

    func beginPass() {
        claimed = [:]
        if belief != real { mistakes.append("a pass began with something simulated") }
    }

    func forgetClaims() { claimed = [:] }

    func leftovers(_ turn: Turn) -> [Removal<FakeWorld>] {
        fullSearches += 1
        return leftovers(turn, among: belief.things.keys)
    }

    func leftovers(_ turn: Turn, at places: [String]) -> [Removal<FakeWorld>] {
        placesSearched += places.count
        return leftovers(turn, among: places)
    }

    private func leftovers(_ turn: Turn, among names: some Sequence<String>) -> [Removal<FakeWorld>] {
        var found: [(name: String, owner: Key)] = []
        for name in names {
            guard let thing = belief.things[name], let owner = thing.owner, claimed[name] == nil else { continue }
            if (thing.parent == nil) != (turn == .first) { continue }
            found.append((name, owner))
        }
        found.sort { $0.name > $1.name }
        let all = Set(found.map(\.name))
        return found.compactMap { name, owner in
            // One removal takes both.
            if let peer = belief.things[name]?.peer, all.contains(peer), peer < name { return nil }
            return Removal(
                key: owner, summary: "left \(name)", operations: [.delete(name)], place: tellsPlaces ? name : nil)
        }
    }

    func simulate(_ operation: Change) {
        changes += 1
        for name in belief.apply(operation).lost {
            if let claimant = claimed.removeValue(forKey: name) { disturbed.append(claimant) }
        }
        if case .delete(let name) = operation { claimed[name] = nil }
    }

    func takeDisturbed() -> [Claimant] {
        defer { disturbed = [] }
        return disturbed
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

    func refreshAfterFailure() { believe() }

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
