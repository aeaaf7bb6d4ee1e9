internal import KubernetesClient
internal import Model
internal import Reconciler

/// What the agent knows of the resources that concern it, and what follows when they change.
///
/// Pure: it neither talks to the API server nor to the engine. A resource is taken as a whole or not at all: one that is wrong, or
/// that declares what another one has declared before, leaves what was taken of it before.
struct KubernetesMirror {
    /// What is to be declared, and of which resources there is something to be said.
    struct Change: Equatable {
        var values: [ModelValue] = []
        var removed: [Key] = []
        /// Whether the values are all there are.
        var replacesAll = false
        /// Names of resources that were taken, refused, or seen with another status.
        var touched: Set<String> = []
        /// Those of them that were taken or refused.
        var judged: Set<String> = []

        /// Whether nothing is to be declared.
        var isEmpty: Bool { values.isEmpty && removed.isEmpty && !replacesAll }
    }

    /// What is thought of a resource.
    enum Verdict: Equatable, Sendable {
        case accepted
        /// The first mistakes.
        case invalid([String])
        /// Another resource declared a key before.
        case conflict(String)
    }

    /// A resource that concerns the agent.
    struct Known: Sendable {
        /// As it was last seen, without what is wanted.
        var object: KubernetesObject
        /// Equal for equal wishes, within this process.
        var content: Int
        var verdict: Verdict
        /// What is declared of it.
        var values: [Key: ModelValue] = [:]
        /// What would be declared if another resource did not declare it.
        var blocked: [Key: ModelValue] = [:]
    }

    /// The most mistakes that are reported of a resource.
    static let mostMistakes = 5

    private let label: String
    private(set) var known: [String: Known] = [:]
    /// The resource that declares a key.
    private var owners: [Key: String] = [:]
    /// Whether anything was ever read.
    private var hasRead = false

    /// - Parameter label: The microservice that the agent is.
    init(label: String) { self.label = label }

    /// The resource that declares a key; nil: none does.
    func owner(of key: Key) -> String? { owners[key] }

    // MARK: - Changes

    /// Takes in all resources there are.
    mutating func take(_ objects: [KubernetesObject]) -> Change {
        var change = Change()
        change.replacesAll = !hasRead
        hasRead = true
        let present = Set(objects.map(\.name))
        // A server that lost all it had does not know the definition either, and lists nothing.
        for name in known.keys.filter({ !present.contains($0) }).sorted() { remove(name, &change) }
        // Who was there first has the key.
        for object in objects.sorted(by: { ($0.created, $0.name) < ($1.created, $1.name) }) { put(object, &change) }
        return change
    }

    /// Takes in what happened since.
    mutating func take(_ event: KubernetesEvent) -> Change {
        var change = Change()
        switch event {
        case .put(let object): put(object, &change)
        case .deleted(let object): remove(object.name, &change)
        }
        return change
    }

    private mutating func put(_ object: KubernetesObject, _ change: inout Change) {
        guard concerns(object), !object.isDeleting else { return remove(object.name, &change) }
        var hasher = Hasher()
        hasher.combine(object["spec"])
        let content = hasher.finalize()
        var bare = object
        bare["spec"] = nil
        change.touched.insert(object.name)
        if known[object.name]?.content == content, known[object.name]?.object.uid == object.uid {
            known[object.name]?.object = bare
            return
        }
        var next = known[object.name] ?? Known(object: bare, content: content, verdict: .accepted)
        next.object = bare
        next.content = content
        next.blocked = [:]
        change.judged.insert(object.name)
        let text = object.json.bytes.withUnsafeBytes { bytes in
            ConfigText(object: bytes, name: object.name, label: label, names: .none)
        }
        let mistakes = text.firstMistakes
        guard mistakes.isEmpty else {
            next.verdict = .invalid(mistakes.prefix(Self.mostMistakes).map(\.description))
            known[object.name] = next
            return
        }
        // Of what is there twice the last one counts.
        next.blocked = Dictionary(text.values.map { ($0.key, $0) }) { _, last in last }
        known[object.name] = next
        claim(object.name, &change)
    }

    /// Declares what a resource wants, if nobody else declares any of it.
    private mutating func claim(_ name: String, _ change: inout Change) {
        release(take(name, &change), &change)
    }

    /// Declares what a resource wants, if nobody else declares any of it. Returns what it wants no more.
    private mutating func take(_ name: String, _ change: inout Change) -> [Key] {
        guard var resource = known[name] else { return [] }
        let wanted = resource.blocked
        let taken = wanted.keys.sorted().first { owners[$0].map { $0 != name } ?? false }
        change.touched.insert(name)
        change.judged.insert(name)
        if let taken {
            resource.verdict = .conflict("\(taken) is declared by \(owners[taken] ?? "") already")
            known[name] = resource
            return []
        }
        let released = resource.values.keys.filter { wanted[$0] == nil }.sorted()
        for (key, value) in wanted.sorted(by: { $0.key < $1.key }) where resource.values[key] != value {
            change.values.append(value)
            change.removed.removeAll { $0 == key }
        }
        for key in wanted.keys { owners[key] = name }
        resource.values = wanted
        resource.blocked = [:]
        resource.verdict = .accepted
        known[name] = resource
        return released
    }

    private mutating func remove(_ name: String, _ change: inout Change) {
        guard let old = known.removeValue(forKey: name) else { return }
        change.touched.insert(name)
        release(old.values.keys.sorted(), &change)
    }

    /// Gives up keys, for which others may have waited, and what those give up for them.
    private mutating func release(_ keys: [Key], _ change: inout Change) {
        var rest = [keys]
        while let keys = rest.popLast() {
            if keys.isEmpty { continue }
            let freed = Set(keys)
            for key in keys {
                owners[key] = nil
                change.removed.append(key)
            }
            change.values.removeAll { freed.contains($0.key) }
            // Who waited longest comes first.
            let waiting = known.filter { !$0.value.blocked.isEmpty && !freed.isDisjoint(with: $0.value.blocked.keys) }
                .sorted { ($0.value.object.created, $0.key) < ($1.value.object.created, $1.key) }
            for (name, _) in waiting { rest.append(take(name, &change)) }
        }
    }

    /// Whether something in a resource is for this agent.
    private func concerns(_ object: KubernetesObject) -> Bool {
        guard let spec = object["spec"] else { return false }
        let isOwn = spec["microservice"]?.string == label
        let items = spec["configItems"]?.array ?? []
        if items.contains(where: { $0["microservice"]?.string == label }) { return true }
        guard isOwn else { return false }
        return items.isEmpty || items.contains { $0["microservice"]?.string == nil }
            || ["linuxConfig", "netallocConfig", "cnfConfig"].contains { spec[$0] != nil }
    }
}

extension KubernetesObject {
    /// When it was made, as text that sorts by time.
    var created: String { json["metadata"]?["creationTimestamp"]?.string ?? "" }
}
