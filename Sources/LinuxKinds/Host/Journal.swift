internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What was where before a transaction changed it, as far as it changed it: the way back.
///
/// Every change of the picture that is planned passes ``LinuxWorld/apply(_:in:)``, which notes here what was in its place
/// before, the first time.
public final class Journal {
    /// A link with what goes when it goes.
    struct LinkPart {
        var link: Link
        var isOurs: Bool
        var addresses: [Address]
        var neighbours: [Neighbour]
        var forwarding: [ForwardingEntry]
        var vlans: BridgeVLANs?
        var qdisc: Qdisc?
        var ingress: Ingress?
        var wireGuard: WireGuardDevice?
        /// The other end of a pair.
        var peer: (namespace: Int, index: Int32)?
        /// The interface below, when it is in another namespace.
        var below: (namespace: Int, index: Int32)?
    }

    /// Whether checksums were left to the device; nil: its driver does not say.
    struct Offloads {
        var receive: Bool?
        var transmit: Bool?
    }

    /// What is remembered of a namespace; nil in a place: nothing was there.
    struct Part {
        let state: NamespaceState
        var links: [Int32: LinkPart?] = [:]
        /// Those that changed themselves, not only what is on them.
        var changedLinks: Set<Int32> = []
        /// Names of links that were made.
        var made: Set<String> = []
        var routes: [RouteID: Route?] = [:]
        var nextHops: [UInt32: NextHopObject?] = [:]
        var rules: [Rule: Bool] = [:]
        var tables: [FilterTable.ID: TableState?] = [:]
        var ruleTables: [FilterTable.ID: SavedTable] = [:]
        /// What was in files below /proc/sys.
        var settings: [SettingFile: String] = [:]
        var offloads: [Int32: Offloads] = [:]
        /// What others had on links, and on which it is known.
        var saved: [SavedObject] = []
        var savedLinks: Set<Int32> = []
        /// Whether it was made, or removed.
        var isNew = false
    }

    /// A link that went to another namespace.
    struct Move {
        /// Numbers of the namespaces.
        let from: Int
        let to: Int
        /// Its index where it was.
        let index: Int32
        /// Its name where it went.
        let name: String
        /// What it was to be given back with before, and is now; nil: it was at home, or is.
        let (former, loan): (Loan?, Loan?)
    }

    private unowned let world: LinuxWorld
    private(set) var parts: [Int: Part] = [:]
    /// Links that went to other namespaces, the first one first.
    private(set) var moves: [Move] = []
    /// Whether nothing is noted any more.
    fileprivate var isClosed = false

    init(_ world: LinuxWorld) { self.world = world }

    private func change(_ state: NamespaceState, _ body: (inout Part) -> Void) {
        guard world.cause == .planned, !isClosed else { return }
        body(&parts[state.id, default: Part(state: state)])
    }

    fileprivate func remember(link index: Int32, in state: NamespaceState, isItself: Bool) {
        var isNew = false
        change(state) { part in
            if !part.links.keys.contains(index) {
                part.links.updateValue(state.links[index].map(self.part), forKey: index)
            }
            isNew = isItself && part.changedLinks.insert(index).inserted
        }
        if isNew, let link = state.links[index] { SettingClass.rememberMTU(of: link, world) }
    }

    fileprivate func remember(move: Move) {
        if world.cause == .planned, !isClosed { moves.append(move) }
    }

    fileprivate func remember(madeLink name: String, in state: NamespaceState) {
        change(state) { $0.made.insert(name) }
    }

    /// What others get back on it is none of what was there before.
    fileprivate func remember(newLink index: Int32, in state: NamespaceState) {
        if isClosed || parts[state.id]?.links.keys.contains(index) != false { return }
        parts[state.id]?.links.updateValue(nil, forKey: index)
    }

    fileprivate func remember(route id: RouteID, replacing foreign: Route?, in state: NamespaceState) {
        change(state) { part in
            if part.routes.keys.contains(id) { return }
            part.routes.updateValue(state.routes[id]?.route ?? foreign, forKey: id)
        }
    }

    fileprivate func remember(nextHop id: UInt32, in state: NamespaceState) {
        change(state) { part in
            if part.nextHops.keys.contains(id) { return }
            part.nextHops.updateValue(state.nextHops[id]?.object, forKey: id)
        }
    }

    fileprivate func remember(rule: Rule, in state: NamespaceState) {
        change(state) { part in
            if part.rules[rule] == nil { part.rules[rule] = state.rules[rule] != nil }
        }
    }

    fileprivate func remember(table id: FilterTable.ID, in state: NamespaceState) {
        change(state) { part in
            if part.tables.keys.contains(id) { return }
            part.tables.updateValue(state.tables[id], forKey: id)
        }
    }

    fileprivate func remember(rules id: FilterTable.ID, in state: NamespaceState) {
        change(state) { part in
            guard part.ruleTables[id] == nil, let table = RuleChainSpec.Table(id) else { return }
            part.ruleTables[id] = state.ruleTables[id]?.content ?? SavedTable(empty: table)
        }
    }

    fileprivate func remember(setting file: SettingFile, _ value: String, in state: NamespaceState) {
        change(state) { part in if part.settings[file] == nil { part.settings[file] = value } }
    }

    fileprivate func remember(offloads: Offloads, of link: Int32, in state: NamespaceState) {
        change(state) { part in if part.offloads[link] == nil { part.offloads[link] = offloads } }
    }

    fileprivate func remember(saved: [SavedObject], on links: Set<Int32>, in state: NamespaceState) {
        if isClosed { return }
        var part = parts[state.id] ?? Part(state: state)
        part.saved += saved.filter { object in !object.linkIndexes.contains(where: part.savedLinks.contains) }
        part.savedLinks.formUnion(links)
        parts[state.id] = part
    }

    /// An entry of others that ours is about to replace. The agent learns of it only after its link was noted.
    fileprivate func remember(stranger entry: ForwardingEntry, in state: NamespaceState) {
        guard !isClosed, var part = parts[state.id], var link = part.links[entry.linkIndex] ?? nil,
            !link.forwarding.contains(entry)
        else { return }
        link.forwarding.append(entry)
        part.links.updateValue(link, forKey: entry.linkIndex)
        parts[state.id] = part
    }

    fileprivate func remember(newNamespace state: NamespaceState) { change(state) { $0.isNew = true } }

    private func part(_ link: LinkState) -> LinkPart {
        LinkPart(
            link: link.link, isOurs: world.ownership.owns(alias: link.link.alias),
            addresses: link.addresses.map(\.address), neighbours: link.neighbours.map(\.neighbour),
            forwarding: link.forwarding.values.map(\.entry),
            // The kernel does not report what a new bridge has.
            vlans: link.vlans ?? (link.link.kind.isOf(BridgeAttributes.self) ? .kernelDefault : nil),
            qdisc: link.qdisc, ingress: link.ingress,
            wireGuard: link.link.kind.isOf(WireGuardAttributes.self)
                ? try? WireGuardClass.known(of: link, world) : nil,
            peer: peer(link), below: below(link))
    }

    /// As the kernel says it, which holds whatever is declared by now, and when the other end has left the picture.
    private func peer(_ link: LinkState) -> (namespace: Int, index: Int32)? {
        guard link.link.kind == .veth else { return nil }
        if link.link.index > 0, link.link.link > 0 {
            guard let number = link.link.linkNamespaceID else { return (link.namespace.id, link.link.link) }
            if let namespace = world.namespace(numbered: number, seenFrom: link.namespace) {
                return (namespace.id, link.link.link)
            }
        }
        return world.peer(of: link).map { ($0.namespace.id, $0.link.index) }
    }

    private func below(_ link: LinkState) -> (namespace: Int, index: Int32)? {
        guard link.link.kind != .veth, world.ownership.owns(alias: link.link.alias),
            let number = link.link.linkNamespaceID
        else { return nil }
        let lower = link.link.kind.lower(link.link.link)
        if let origin = link.origin { return (origin, lower) }
        return world.namespace(numbered: number, seenFrom: link.namespace).map { ($0.id, lower) }
    }
}

/// The journals that somebody keeps at this moment.
struct Journals {
    private struct Reference {
        weak var journal: Journal?
    }

    private var references: [Reference] = []

    mutating func add(_ journal: Journal) {
        references.removeAll { $0.journal == nil }
        references.append(Reference(journal: journal))
    }

    /// - Parameter isItself: whether the link changes, and not only what is on it.
    func remember(link index: Int32, in state: NamespaceState, isItself: Bool = true) {
        for reference in references { reference.journal?.remember(link: index, in: state, isItself: isItself) }
    }

    func remember(move: Journal.Move) {
        for reference in references { reference.journal?.remember(move: move) }
    }

    func remember(madeLink name: String, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(madeLink: name, in: state) }
    }

    /// A link that was made has got its index.
    func remember(newLink index: Int32, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(newLink: index, in: state) }
    }

    /// - Parameter foreign: The route of someone else's that goes for one of ours.
    func remember(route id: RouteID, replacing foreign: Route? = nil, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(route: id, replacing: foreign, in: state) }
    }

    func remember(nextHop id: UInt32, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(nextHop: id, in: state) }
    }

    func remember(rule: Rule, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(rule: rule, in: state) }
    }

    func remember(table id: FilterTable.ID, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(table: id, in: state) }
    }

    func remember(rules id: FilterTable.ID, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(rules: id, in: state) }
    }

    func remember(setting file: SettingFile, _ value: String, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(setting: file, value, in: state) }
    }

    func remember(offloads: Journal.Offloads, of link: Int32, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(offloads: offloads, of: link, in: state) }
    }

    func remember(saved: [SavedObject], on links: Set<Int32>, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(saved: saved, on: links, in: state) }
    }

    func remember(stranger entry: ForwardingEntry, in state: NamespaceState) {
        for reference in references { reference.journal?.remember(stranger: entry, in: state) }
    }

    /// Whether what changes now may be undone.
    var isAnyKept: Bool { references.contains { $0.journal?.isClosed == false } }

    func remember(newNamespace state: NamespaceState) {
        for reference in references { reference.journal?.remember(newNamespace: state) }
    }
}

extension LinuxWorld {
    /// Starts to note what is changed from now on, as long as somebody keeps the result.
    public func snapshot() -> Journal {
        let journal = Journal(self)
        journals.add(journal)
        return journal
    }

    /// What leads from the picture of now to that of a journal's start, as far as we may touch things.
    public func operations(toRestore journal: Journal) -> [LinuxOperation] {
        // The operations that lead back are not part of the journal.
        journal.isClosed = true
        var restoration = Restoration(world: self, journal: journal)
        for step in Restoration.Step.allCases {
            for kernelClass in KernelClasses.all { kernelClass.restore(step, &restoration) }
        }
        // What others had finds its links and gateways by then.
        for (state, part) in restoration.parts {
            for object in part.saved {
                let indexes = object.linkIndexes.map { restoration.current($0, in: state) }
                guard indexes.allSatisfy({ $0 == 0 || state.links[$0] != nil }) else { continue }
                let moved = object.moved { restoration.current($0, in: state) }
                restoration.add(.request(.restore(moved)), in: state.id)
            }
        }
        return restoration.operations
    }
}

/// Collects the operations of a way back.
struct Restoration {
    /// What happens one after the other, each for all classes.
    enum Step: CaseIterable {
        /// Places for others are made again, and what is new and in the way goes.
        case prepare
        /// What was lost is made again.
        case make
        /// What is there gets what it had.
        case mend
        /// What was new goes.
        case finish
    }

    let world: LinuxWorld
    let journal: Journal
    /// Namespaces that are made again, by the number they had.
    private var places: [Int: NamespaceState] = [:]
    private(set) var operations: [LinuxOperation] = []
    /// Negative indexes of links that are made again, by namespace and former index.
    private var remade: [Int: [Int32: Int32]] = [:]
    /// Negative indexes of those among them that are not new, but come back from another namespace.
    private var moved: Set<Int32> = []
    /// The routes that were there when the way back began, by namespace: what goes on the way, with an address, comes back.
    let routes: [Int: [RouteID: RouteState]]

    init(world: LinuxWorld, journal: Journal) {
        self.world = world
        self.journal = journal
        routes = journal.parts.mapValues(\.state.routes)
    }

    mutating func add(_ action: LinuxOperation.Action, in namespace: Int) {
        let operation = LinuxOperation(namespace: namespace, action)
        operations.append(operation)
        world.simulate(operation)
    }

    /// What was, with the namespaces it is in now.
    var parts: [(state: NamespaceState, part: Journal.Part)] {
        journal.parts.sorted { $0.key < $1.key }.compactMap { id, part in
            if let place = places[id] { return (place, part) }
            return part.state.handle == nil ? nil : (part.state, part)
        }
    }

    /// Where a namespace is now that had a number.
    func place(_ id: Int) -> NamespaceState? { places[id] ?? journal.parts[id]?.state ?? world.states[id] }

    /// A namespace was made again.
    mutating func move(_ id: Int, to state: NamespaceState) { places[id] = state }

    /// A link is made again, or comes back from another namespace.
    mutating func remake(_ index: Int32, in state: NamespaceState, as planned: Int32, isMoved: Bool = false) {
        remade[state.id, default: [:]][index] = planned
        if isMoved { moved.insert(planned) }
    }

    /// Whether a link comes back from another namespace.
    func isMoved(_ planned: Int32) -> Bool { moved.contains(planned) }

    /// Whether a link is made again.
    func isRemade(_ index: Int32, in state: NamespaceState) -> Bool { remade[state.id]?[index] != nil }

    /// Whether a link of ours is gone and not made again yet.
    func isLost(_ link: Journal.LinkPart, _ index: Int32, in state: NamespaceState) -> Bool {
        link.isOurs && state.links[index] == nil && !isRemade(index, in: state)
            && link.link.flags & LinkFlags.loopback == 0
    }

    /// What was in a namespace, wherever that is now.
    func part(of state: NamespaceState) -> Journal.Part? { parts.first { $0.state === state }?.part }

    /// The index that the interface below a link had, and where it is; nil: there was none, or nobody knows.
    func below(_ link: Journal.LinkPart, in state: NamespaceState) -> (index: Int32?, state: NamespaceState) {
        let source = link.below.flatMap { place($0.namespace) } ?? state
        return (link.below?.index ?? (link.link.lower > 0 ? link.link.lower : nil), source)
    }

    /// The index that a link has now.
    func current(_ index: Int32, in state: NamespaceState) -> Int32 { remade[state.id]?[index] ?? index }
}
