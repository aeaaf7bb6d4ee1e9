/// Values that several sources declare one by one, and what contradicts what among them.
///
/// What is a mistake between values of files is found by the same checks, but for what is not there yet. Of two that
/// contradict each other the value of the weaker source is to blame; among those of one source it is the one that a file
/// would have the mistake in. A change takes time for the values that change and those that have to do with them.
public struct DeclaredSet: Sendable {
    /// Why a value can't be in force beside others.
    public struct Contradiction: Hashable, Sendable {
        /// What is wrong, with the value and the key of the other one.
        public let text: String
        /// The fields to blame, by their names in the .proto file.
        public let fields: [String]
    }

    private typealias Ref = ConfigSet.Ref

    private var set = ConfigSet()
    private var refs: [String: Ref] = [:]
    /// Places in the set whose values went.
    private var holes = 0
    /// Which values are to blame for what is wrong with another one, and the other way round.
    private var blamed: [Ref: Set<Ref>] = [:]
    private var blaming: [Ref: Set<Ref>] = [:]
    /// What was found, by key.
    private var found: [String: Contradiction] = [:]

    /// An empty one.
    public init() { set.relations.expectsAll = false }

    /// How many places there are for values, for tests.
    package var places: Int { refs.count + holes }

    /// Keys of values that can't be in force.
    public var contradictory: some Collection<String> { found.keys }

    /// Why a value can't be in force beside others; nil: it can.
    public func contradiction(_ key: String) -> Contradiction? { found.isEmpty ? nil : found[key] }

    /// Takes in a value, in place of one with the same key.
    ///
    /// - Parameters:
    ///   - specification: The checked value; nil when it is wrong by itself.
    ///   - weakness: Which source it is of; one with a higher number gives way to one with a lower.
    public mutating func set(_ key: String, _ value: ModelValue, _ specification: Specification?, weakness: Int) {
        let item = ConfigText.Item(
            key: key, value: value, specification: specification,
            // What is said of it names its key, wherever it stands.
            position: SourcePosition(file: key, line: 0, column: 0), place: .init(source: 0, node: 0))
        if let ref = refs[key], ref.text == Int32(weakness) {
            set.exchange(ref, for: item)
        } else {
            remove(key)
            refs[key] = set.append(item, to: Int32(weakness))
        }
    }

    /// Takes a value out.
    public mutating func remove(_ key: String) {
        guard let ref = refs.removeValue(forKey: key) else { return }
        set.takeOut(ref)
        found[key] = nil
        holes += 1
    }

    /// Takes up what changed since the last time. Returns the keys of values that contradict others now, or do so otherwise
    /// than before, or no more.
    public mutating func settle() -> Set<String> {
        set.checkRelations()
        let checked = set.relations.takeChangedProblems()
        var concerned = checked
        for ref in checked {
            for other in blaming.removeValue(forKey: ref) ?? [] {
                blamed[other]?.remove(ref)
                if blamed[other]?.isEmpty == true { blamed[other] = nil }
                concerned.insert(other)
            }
            for problem in set.relations.problems[ref]?.list ?? [] {
                guard let other = weaker(problem, ref) else { continue }
                blaming[ref, default: []].insert(other)
                blamed[other, default: []].insert(ref)
                concerned.insert(other)
            }
        }
        var changed: Set<String> = []
        for ref in concerned {
            let key = set.item(ref).key
            guard refs[key] == ref else { continue }
            let now = contradiction(ref)
            if found[key] == now { continue }
            found[key] = now
            changed.insert(key)
        }
        if holes > Self.room + refs.count { close() }
        return changed
    }

    /// The other value of a problem, if that is the one to blame.
    private func weaker(_ problem: Relations.Problem, _ ref: Ref) -> Ref? {
        guard let other = problem.other, other.text > ref.text else { return nil }
        return other
    }

    private func contradiction(_ ref: Ref) -> Contradiction? {
        let item = set.item(ref)
        if let own = set.relations.problems[ref]?.list.first(where: { weaker($0, ref) == nil }) {
            var text = own.text
            if let other = own.other.map({ set.item($0).key }), !text.contains(other) { text += " (\(other))" }
            return Contradiction(text: item.value.sentence(own.finding(text)), fields: own.finding(text).fields)
        }
        guard let origin = blamed[ref]?.min(by: set.isBefore),
            let problem = set.relations.problems[origin]?.list.first(where: { $0.other == ref })
        else { return nil }
        let other = set.item(origin)
        let text = "contradicts \(other.value.sentence(problem.finding(problem.text))) (\(other.key))"
        return Contradiction(text: "\(Label.of(item.value)): \(text)", fields: [])
    }

    /// So few holes are never worth the work.
    private static let room = 1000

    /// Puts the values that are left together anew.
    private mutating func close() {
        var new = DeclaredSet()
        for ref in refs.values.sorted(by: set.isBefore) {
            let item = set.item(ref)
            new.set(item.key, item.value, item.specification, weakness: Int(ref.text))
        }
        _ = new.settle()
        self = new
    }
}

extension Relations.Problem {
    fileprivate func finding(_ text: String) -> Finding {
        Finding(weight: .mistake, path: path, value: value, text: text, isMalformed: false)
    }
}

extension ConfigSet {
    /// Adds a value at the end of a text, which is made if there is none.
    fileprivate mutating func append(_ item: ConfigText.Item, to text: Int32) -> Ref {
        let number = members[text, default: Member(text: ConfigText(name: ""), rank: Int(text))].text.items.count
        members[text, default: Member(text: ConfigText(name: ""), rank: Int(text))].text.items.append(item)
        let ref = Ref(text: text, item: Int32(number))
        relations.add(ref, item)
        return ref
    }

    /// Puts another value in the place of one.
    fileprivate mutating func exchange(_ ref: Ref, for item: ConfigText.Item) {
        let old = self.item(ref)
        members[ref.text]?.text.items[Int(ref.item)] = item
        if old.isSameToOthers(as: item) { return }
        relations.remove(ref, old)
        relations.add(ref, item)
    }

    /// Takes a value out and leaves its place.
    fileprivate mutating func takeOut(_ ref: Ref) {
        relations.remove(ref, item(ref))
        members[ref.text]?.text.items[Int(ref.item)].specification = nil
    }
}
