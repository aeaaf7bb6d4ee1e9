/// Which containers run, and which of them is meant by what is looked for. Pure: what the engines say goes in, answers come
/// out.
struct ContainerTable {
    /// How an engine stands.
    enum Standing: Hashable {
        /// Nobody has said anything of it yet.
        case untried
        /// There is no socket.
        case absent
        /// It said which containers it has, once at least. What came in between is not known any more while it does not
        /// answer; what it said stays.
        case listed
        /// It has never said so, and why.
        case failing(String)
        /// It answers, but does not speak the Container Runtime Interface, and the words for that: a containerd that only
        /// serves Docker.
        case speechless(String)
    }

    /// A container, by the place of its engine in the settings.
    struct Place: Hashable {
        var engine: Int
        var id: String
    }

    private let settings: ContainerSettings
    private(set) var standings: [Standing]
    /// Why containers of an engine could not be looked at, by its place: what is not found may be one of them.
    private var unseen: [Int: String] = [:]
    private var containers: [Place: Container] = [:]
    private var found: [ContainerQuery: Set<Place>] = [:]
    /// Which container is meant, with the process that it had when that was decided.
    private var holders: [ContainerQuery: (place: Place, container: Container)] = [:]

    init(_ settings: ContainerSettings) {
        self.settings = settings
        standings = settings.engines.map { _ in .untried }
    }

    /// The containers of an engine that can be found.
    func containers(of engine: Int) -> [Container] {
        containers.filter { $0.key.engine == engine }.map(\.value)
    }

    // MARK: - What engines say

    /// An engine stands in another way. What it said before stays, as its containers run on without it.
    ///
    /// - Returns: Whether answers may differ.
    mutating func note(_ standing: Standing, of engine: Int) -> Bool {
        switch (standings[engine], standing) {
        case (.listed, .failing), (.listed, .untried): return false
        case (.listed, .absent), (.listed, .speechless), (.listed, .listed): break
        case (.untried, _), (.absent, _), (.failing, _), (.speechless, _): break
        }
        if standings[engine] == standing { return false }
        standings[engine] = standing
        return true
    }

    /// Some containers of an engine can't be looked at, and why; nil: all can.
    ///
    /// - Returns: Whether answers may differ.
    mutating func noteUnseen(_ reason: String?, of engine: Int) -> Bool {
        if unseen[engine] == reason { return false }
        unseen[engine] = reason
        return true
    }

    /// These are all containers of an engine that can be found. Returns what may have another answer.
    mutating func list(_ all: [Container], of engine: Int) -> Set<ContainerQuery> {
        let ids = Set(all.map(\.id))
        var changed: Set<ContainerQuery> = []
        for place in containers.keys where place.engine == engine && !ids.contains(place.id) {
            changed.formUnion(remove(place.id, of: engine))
        }
        for container in all { changed.formUnion(put(container, of: engine)) }
        return changed
    }

    /// A container runs. Returns what may have another answer.
    mutating func put(_ container: Container, of engine: Int) -> Set<ContainerQuery> {
        let place = Place(engine: engine, id: container.id)
        let former = containers[place]
        if former == container { return [] }
        for query in former?.queries ?? [] { leave(query, place) }
        containers[place] = container
        for query in container.queries { found[query, default: []].insert(place) }
        return container.queries.union(former?.queries ?? [])
    }

    /// A container does not run any more. Returns what may have another answer.
    mutating func remove(_ id: String, of engine: Int) -> Set<ContainerQuery> {
        let place = Place(engine: engine, id: id)
        guard let former = containers.removeValue(forKey: place) else { return [] }
        for query in former.queries { leave(query, place) }
        return former.queries
    }

    private mutating func leave(_ query: ContainerQuery, _ place: Place) {
        found[query]?.remove(place)
        if found[query]?.isEmpty == true { found[query] = nil }
    }

    // MARK: - Answers

    /// What is known of what is looked for. The first that was found is meant as long as it lives.
    mutating func answer(_ query: ContainerQuery) -> ContainerAnswer {
        guard let places = found[query], !places.isEmpty else {
            holders[query] = nil
            return absence(of: query)
        }
        guard let place = holder(of: query, places), let container = containers[place] else {
            return absence(of: query)
        }
        holders[query] = (place, container)
        let others = places.filter { $0 != place }.compactMap { containers[$0] }
            .sorted { ($0.started, $0.id) < ($1.started, $1.id) }.prefix(Self.mostOthers).map(\.text)
        return .found(container, engine: settings.engines[place.engine].socket, others: others)
    }

    /// The most other containers that are listed.
    private static let mostOthers = 8

    private func holder(of query: ContainerQuery, _ places: Set<Place>) -> Place? {
        let all = places.compactMap { place in containers[place].map { (place: place, container: $0) } }
        if settings.prefersNewest {
            return all.max { ($0.container.created, $0.place.id) < ($1.container.created, $1.place.id) }?.place
        }
        if let holder = holders[query], let now = containers[holder.place], places.contains(holder.place),
            now.isSame(as: holder.container)
        {
            return holder.place
        }
        return all.min { ($0.container.started, $0.place.id) < ($1.container.started, $1.place.id) }?.place
    }

    /// Forgets who was meant, as nobody looks for it any more.
    mutating func forget(_ query: ContainerQuery) { holders[query] = nil }

    /// What is not found is missing only if an engine said so: the containers of one that was stopped run on, and its socket
    /// is gone all the same.
    private func absence(of query: ContainerQuery) -> ContainerAnswer {
        if settings.engines.isEmpty { return .missing("no container engine is named in the settings") }
        var absent: [String] = []
        var speechless: String?
        for (index, engine) in settings.engines.enumerated() {
            switch standings[index] {
            case .untried: return .unknown("\(engine.socket) has not answered yet")
            case .failing(let reason): return .unknown(reason)
            case .speechless(let reason): speechless = speechless ?? reason
            case .absent: absent.append(engine.socket)
            case .listed: break
            }
            if let reason = unseen[index] { return .unknown(reason) }
        }
        let isEnough = settings.areNamed ? absent.isEmpty && speechless == nil : standings.contains(.listed)
        if isEnough { return .missing("no \(query)") }
        return .unknown(speechless ?? "no container engine's socket at \(Self.list(absent))")
    }

    /// `a`, `a or b`, `a, b or c`
    private static func list(_ words: [String]) -> String {
        guard let last = words.last, words.count > 1 else { return words.first ?? "" }
        return words.dropLast().joined(separator: ", ") + " or " + last
    }
}
