import Reconciler

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

    func declare(in world: FakeWorld, key: Key) { world.declare(name, key: key) }
    func withdraw(in world: FakeWorld, key: Key) { world.withdraw(name, key: key) }

    func unmetConditions(in world: FakeWorld) -> [String] {
        world.conditionChecks += 1
        guard let condition, !world.belief.conditions.contains(condition) else { return [] }
        return ["condition \(condition)"]
    }

    func claim(in world: FakeWorld, by claimant: Claimant) -> String? { world.claim(name, by: claimant) }

    func assess(in world: FakeWorld) -> Assessment<Change> {
        world.assessments += 1
        let before = world.digest
        let assessment = compare(with: world)
        if world.digest != before { world.mistakes.append("the comparison of \(key) changed the world") }
        return assessment
    }

    private func compare(with world: FakeWorld) -> Assessment<Change> {
        if let first = world.wanted[name]?.min(), first != key {
            return Assessment(.blocked("\(first) has \(name)"))
        }
        if let verdict, world.belief.conditions.contains("impossible") {
            return Assessment(verdict == "blocked" ? .blocked("can't") : .waiting(["not yet"]))
        }
        let wanted = Thing(attributes: attributes, owner: key, parent: parent, peer: peer)
        let create = Change.create(name, wanted, peerOwner: peer.map { "k/\($0)" })
        guard let thing = world.belief.things[name] else { return Assessment(.create, operations: [create]) }
        if thing.owner == nil { return Assessment(.blocked("\(name) belongs to another program")) }
        if thing.owner != key { return Assessment(.recreate, operations: [.delete(name), create]) }
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
