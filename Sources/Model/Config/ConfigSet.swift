/// All texts of a configuration: finds what is wrong between their values, and what changes when a text changes.
///
/// What a change costs depends on the texts that change, and on the values that have to do with theirs: whatever relates to
/// a value is found by name.
public struct ConfigSet: Sendable {
    /// Which value of which text.
    struct Ref: Hashable, Sendable {
        var text: Int32
        var item: Int32
    }

    /// A few values; mostly one.
    struct Refs: Sendable {
        private var first: Ref?
        private var others: [Ref] = []

        var isEmpty: Bool { first == nil }
        var all: [Ref] { first.map { [$0] + others } ?? [] }
        var only: Ref? { others.isEmpty ? first : nil }

        mutating func add(_ ref: Ref) { if first == nil { first = ref } else { others.append(ref) } }

        /// Takes out one that is the same.
        mutating func remove(_ ref: Ref) {
            if first == ref {
                first = others.popLast()
            } else if let index = others.firstIndex(of: ref) {
                others.swapAt(index, others.count - 1)
                others.removeLast()
            }
        }
    }

    /// A text and its place among the others.
    struct Member: Sendable {
        var text: ConfigText
        /// -1: not yet among the others. There is room between those of two texts for newcomers.
        var rank = -1
    }

    /// What is asked of every text at each change, beside the texts themselves, which are much to copy.
    struct Facts: Sendable {
        var name: String
        var isRead: Bool
        /// Whether anything is wrong with it alone.
        var isFlawed: Bool
    }

    var members: [Int32: Member] = [:]
    private(set) var facts: [Int32: Facts] = [:]
    /// Texts that still know the places of their values.
    private var withPlaces: Set<Int32> = []
    private var numbers: [String: Int32] = [:]
    private(set) var order: [Int32] = []
    private var nextNumber: Int32 = 0
    /// Whether a text has no place yet.
    private var hasNewcomers = false
    /// What relates values to each other.
    var relations = Relations()
    /// Values by the key they would have alone.
    private var keys: [String: Refs] = [:]
    /// Keys of values that do not have that one.
    private var otherKeys: [Ref: String] = [:]
    /// Values that have the key of an earlier one.
    private(set) var duplicates: [Ref: Ref] = [:]
    /// What was handed out under keys that have changed since; nil: nothing was handed out yet.
    private var pending: [String: [Entry]]?

    private struct Entry {
        var key: String
        var value: ModelValue
        var position: SourcePosition
        /// Errors that come later name them.
        var places: SourcePlaces?
    }

    /// An empty one.
    public init() {}

    /// The text of a name, as it was taken in last; nil: there is none.
    public func text(named name: String) -> ConfigText? { numbers[name].flatMap { members[$0]?.text } }

    /// The texts' names, in order.
    public var names: [String] { order.compactMap { facts[$0]?.name } }

    // MARK: - Access for relations

    func item(_ ref: Ref) -> ConfigText.Item {
        guard let member = members[ref.text] else { preconditionFailure("a value of a text that is gone") }
        return member.text.items[Int(ref.item)]
    }

    func isBefore(_ left: Ref, _ right: Ref) -> Bool {
        if left.text == right.text { return left.item < right.item }
        return (members[left.text]?.rank ?? 0) < (members[right.text]?.rank ?? 0)
    }

    func sorted(_ refs: Refs?) -> [Ref] {
        guard let refs else { return [] }
        if let only = refs.only { return [only] }
        return refs.all.sorted(by: isBefore)
    }

    func first(_ refs: Refs?) -> Ref? {
        guard let refs else { return nil }
        return refs.only ?? refs.all.min(by: isBefore)
    }

    func interface(_ ref: Ref) -> InterfaceSpec? {
        guard case .interface(let interface)? = item(ref).specification else { return nil }
        return interface
    }

    func place(_ ref: Ref) -> SourcePosition { item(ref).position }

    /// All values in order.
    private var refs: [Ref] {
        order.flatMap { number in
            (members[number]?.text.items.indices ?? 0..<0).map { Ref(text: number, item: Int32($0)) }
        }
    }

    /// Logical names of interfaces, in order.
    var interfaceNames: some Sequence<String> {
        order.lazy.compactMap { self.members[$0]?.text.items }.joined().lazy.compactMap { item in
            if case .interface(let interface)? = item.specification { return interface.name }
            return nil
        }
    }
}

// MARK: - Changing

extension ConfigSet {
    /// Takes in a text, in place of one of the same name. A new one comes last until ``arrange(_:)``.
    public mutating func set(_ text: ConfigText) {
        if let number = numbers[text.name] {
            var text = text
            let kept = keep(number, in: &text)
            forget(number, except: kept)
            members[number]?.text = text
            take(number, except: kept)
            return
        }
        let number = nextNumber
        nextNumber += 1
        numbers[text.name] = number
        members[number] = Member(text: text)
        hasNewcomers = true
        order.append(number)
        take(number)
    }

    /// Puts one that was just set, if it was not there before, among the others, which are in order.
    public mutating func arrange(newcomer name: String, isBefore: (String, String) -> Bool) {
        guard let number = numbers[name], order.last == number, members[number]?.rank == -1 else { return }
        order.removeLast()
        var (start, end) = (0, order.count)
        while start < end {
            let middle = (start + end) / 2
            let isEarlier = facts[order[middle]].map { isBefore($0.name, name) } ?? true
            if isEarlier { start = middle + 1 } else { end = middle }
        }
        let low = start > 0 ? members[order[start - 1]]?.rank ?? 0 : 0
        let high = start < order.count ? members[order[start]]?.rank ?? 0 : low + 2 * Self.room
        order.insert(number, at: start)
        hasNewcomers = false
        if high - low > 1 {
            members[number]?.rank = low + (high - low) / 2
        } else {
            for (rank, number) in order.enumerated() { members[number]?.rank = (rank + 1) * Self.room }
        }
    }

    /// Between the ranks of two texts.
    private static let room = 1 << 20

    /// Takes out a text.
    public mutating func remove(_ name: String) {
        guard let number = numbers.removeValue(forKey: name) else { return }
        forget(number)
        members[number] = nil
        order.removeAll { $0 == number }
    }

    /// Adds something that is wrong with a text as a whole.
    public mutating func add(mistake: String, to name: String) {
        guard let number = numbers[name] else { return }
        members[number]?.text.mistakes.add(Mistake(file: name, line: 0, column: 0, text: mistake))
        facts[number]?.isFlawed = true
    }

    /// Puts the texts in order and takes out those that are not named.
    public mutating func arrange(_ names: [String]) {
        if !hasNewcomers, names.count == order.count, names == self.names { return }
        hasNewcomers = false
        let wanted = Set(names)
        for (name, number) in numbers where !wanted.contains(name) {
            forget(number)
            members[number] = nil
            numbers[name] = nil
        }
        order = names.compactMap { numbers[$0] }
        var highest = -1
        for (rank, number) in order.enumerated() {
            guard let member = members[number] else { continue }
            // What comes first counts, so one that changes sides with another is a changed one.
            let isMoved = member.rank >= 0 && member.rank < highest
            highest = max(highest, member.rank)
            if isMoved { forget(number) }
            members[number]?.rank = (rank + 1) * Self.room
            if isMoved { take(number) }
        }
    }

    /// Finds what stays as it is, where it is, in a newer text in place of one: nothing that others say of it changes. Its
    /// values are those of before, so that they are not kept twice. So stay those of which only that changes which nothing else
    /// has to do with.
    private mutating func keep(_ number: Int32, in text: inout ConfigText) -> [Bool] {
        guard let items = members[number]?.text.items else { return [] }
        var kept = [Bool](repeating: false, count: min(items.count, text.items.count))
        for index in kept.indices {
            if items[index].isSame(as: text.items[index]) {
                kept[index] = true
                text.items[index].value = items[index].value
                text.items[index].specification = items[index].specification
            } else if items[index].isSameToOthers(as: text.items[index]) {
                kept[index] = true
                capture(items[index].key)
            }
        }
        return kept
    }

    private mutating func take(_ number: Int32, except kept: [Bool] = []) {
        guard let text = members[number]?.text else { return }
        let isFlawed = !text.mistakes.isEmpty || !text.warnings.isEmpty || !text.invalidValues.isEmpty
        facts[number] = Facts(name: text.name, isRead: text.isRead, isFlawed: isFlawed)
        if !text.sources.isEmpty { withPlaces.insert(number) }
        for index in text.items.indices where !(index < kept.count && kept[index]) {
            let ref = Ref(text: number, item: Int32(index))
            let item = text.items[index]
            capture(item.key)
            keys[item.key, default: Refs()].add(ref)
            relations.add(ref, item)
        }
        relations.addBroken(text)
    }

    private mutating func forget(_ number: Int32, except kept: [Bool] = []) {
        guard let text = members[number]?.text else { return }
        facts[number] = nil
        withPlaces.remove(number)
        for index in text.items.indices where !(index < kept.count && kept[index]) {
            let ref = Ref(text: number, item: Int32(index))
            let item = text.items[index]
            capture(item.key)
            keys[item.key]?.remove(ref)
            if keys[item.key]?.isEmpty == true { keys[item.key] = nil }
            otherKeys[ref] = nil
            duplicates[ref] = nil
            relations.remove(ref, item)
        }
        relations.removeBroken(text)
    }

    /// Keeps what was handed out under a key, before that changes.
    private mutating func capture(_ key: String) {
        // Not bound to a name of its own: that would be a second holder of it, and a change would copy it.
        if pending == nil || pending?[key] != nil { return }
        let entries = entries(key)
        self.pending?[key] = entries
    }

    private func entries(_ key: String) -> [Entry] {
        sorted(keys[key]).map { ref in
            let item = item(ref)
            return Entry(
                key: otherKeys[ref] ?? key, value: item.value, position: item.position,
                places: item.specification?.places)
        }
    }
}

// MARK: - Keys

extension ConfigSet {
    /// Gives values that share a key their own ones, under all keys that changed.
    private mutating func separateChanged() {
        if let pending {
            for key in pending.keys { separate(key) }
        } else {
            (otherKeys, duplicates) = ([:], [:])
            for (key, refs) in keys where refs.only == nil { separate(key) }
        }
    }

    /// Gives values that share a key their own ones. Routes that differ in metric are not duplicates: the one that wins
    /// keeps the key.
    private mutating func separate(_ key: String) {
        guard let refs = keys[key] else { return }
        if let only = refs.only {
            if !otherKeys.isEmpty { otherKeys[only] = nil }
            if !duplicates.isEmpty { duplicates[only] = nil }
            return
        }
        let sorted = sorted(refs)
        for ref in sorted { (otherKeys[ref], duplicates[ref]) = (nil, nil) }
        guard case .route = item(sorted[0]).value else {
            for ref in sorted.dropFirst() { duplicates[ref] = sorted[0] }
            return
        }
        var previous: (metric: UInt32, ref: Ref)?
        let byMetric = sorted.map { (metric: metric(of: $0), ref: $0) }
        // The sort has to keep those of one metric in their order.
        for entry in byMetric.indices.sorted(by: { (byMetric[$0].metric, $0) < (byMetric[$1].metric, $1) }).map({
            byMetric[$0]
        }) {
            if let before = previous, before.metric == entry.metric {
                duplicates[entry.ref] = before.ref
                continue
            }
            if previous != nil { otherKeys[entry.ref] = ModelKey.route(key, metric: entry.metric) }
            previous = entry
        }
    }

    private func metric(of ref: Ref) -> UInt32 {
        guard case .route(let route) = item(ref).value else { return 0 }
        return route.effectiveMetric
    }
}

// MARK: - Looking

extension ConfigSet {
    /// Takes up what changed since the last time: what is wrong now, and what to do if nothing is.
    ///
    /// - Parameter reread: reads a text again whose places were given up, to tell where a mistake is; nil when that is not
    ///   possible any more.
    public mutating func settle(reread: (String) -> ConfigText? = { _ in nil }) -> ConfigDifference {
        separateChanged()
        checkRelations()
        _ = relations.takeChangedProblems()
        var difference = ConfigDifference()
        difference.findings = findings(reread)
        if difference.findings.mistakes.isEmpty { handOut(&difference) }
        return difference
    }

    /// Gives up what only serves to find the places of mistakes.
    public mutating func forgetPlaces() {
        for number in withPlaces { members[number]?.text.forgetPlaces() }
        withPlaces = []
    }

    /// Everything as it is, whatever was handed out.
    public func whole(_ difference: ConfigDifference) -> LoadedConfig {
        LoadedConfig(items: refs.map(loaded), findings: difference.findings)
    }

    /// A value as others see it.
    private func loaded(_ ref: Ref) -> LoadedConfig.Item {
        let item = item(ref)
        return LoadedConfig.Item(
            key: otherKeys.isEmpty ? item.key : otherKeys[ref] ?? item.key, value: item.value,
            specification: item.specification, position: item.position)
    }

    private mutating func handOut(_ difference: inout ConfigDifference) {
        defer { pending = [:] }
        guard let pending else {
            difference.changed = refs.map(loaded)
            return
        }
        var changed: [Ref] = []
        for (key, old) in pending {
            var gone: [String: Entry] = [:]
            for entry in old { gone[entry.key] = entry }
            for ref in sorted(keys[key]) {
                let item = item(ref)
                let entry = gone.removeValue(forKey: otherKeys[ref] ?? item.key)
                if entry?.value != item.value || entry?.places != item.specification?.places {
                    changed.append(ref)
                } else if entry?.position != item.position {
                    difference.moved.append(.init(key: otherKeys[ref] ?? item.key, position: item.position))
                }
            }
            difference.removed += gone.keys
        }
        // A key that a route with a metric gives up may be taken by another value, and the other way round.
        difference.changed = changed.sorted(by: isBefore).map(loaded)
        difference.moved.sort { $0.position < $1.position }
        let taken = Set(difference.changed.map(\.key))
        difference.removed = difference.removed.filter { !taken.contains($0) }.sorted()
    }
}
