internal import Model
internal import Netlink
public import Reconciler

/// A table of nf_tables that is declared.
public struct FilterTableValue: Value {
    /// The word for it in plans and status.
    public static let kind = "nftables"
    /// After links, addresses and routes: what it is about is there.
    public static let rank = 8

    private let namespace: NamespaceReference
    private let id: FilterTable.ID
    /// The comment that says whose it is, and what it is called in the configuration.
    private let comment: String
    /// What is between the braces.
    private let text: String
    private let devices: Set<String>
    /// Where the text stands in a file, for what nft says of it.
    private let places: SourcePlaces?

    /// Takes a checked table.
    init(_ spec: FilterTableSpec, ownership: Ownership) {
        namespace = NamespaceReference(spec.namespace)
        id = FilterTable.ID(FilterTable.Family(spec.family), spec.table)
        comment = ownership.comment(table: spec.name)
        text = spec.text
        devices = spec.devices
        places = spec.places
    }

    /// None: links are looked for by their names in the kernel.
    public var dependencies: [Dependency<LinuxWorld>] { namespace.dependencies }

    /// `table inet nat in p1`
    public var summary: String { "\(id)\(namespace.suffix)" }

    /// The namespace, and links that the kernel has to know by number.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        world.unmetCondition(namespace).map { [$0] } ?? []
    }

    /// Reports about the table and its links concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, table: id, in: namespace)
        for device in devices.sorted() { world.declarations.enter(key, link: device, in: namespace) }
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, table: id, in: namespace)
        world.forgetRefusal(.table(comment))
        for device in devices.sorted() { world.declarations.leave(key, link: device, in: namespace) }
    }

    /// The kernel's table is ours if it says so.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let state = world.byReference[namespace], state.tables[id]?.table.comment == comment else { return nil }
        state.tables[id]?.claim = Claim(pass: world.pass, claimant: claimant)
        return Place(state, .table(id))
    }

    /// Compares with the kernel's table, as nft lists both.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let state = world.byReference[namespace]
        if let table = state?.tables[id]?.table, world.ownership.tableName(comment: table.comment) == nil {
            return Assessment(.blocked(taken(by: table)))
        }
        if let entry = state?.tables[id], let name = world.ownership.tableName(comment: entry.table.comment),
            entry.table.comment != comment, world.isClaimed(entry.claim)
        {
            return Assessment(.blocked("\(name) is the same \(id)\(namespace.suffix); declare it once"))
        }
        let missing = devices.filter { state?.linksByName[$0] == nil }
        if let name = missing.min() {
            return Assessment(.waiting(["host-interface-exists: \(name)\(namespace.suffix) is not there"]))
        }
        let wanted: TableText
        let have: TableText?
        do throws(ProgramError) {
            wanted = try world.tableTexts.text(of: text, family: id.family, devices: devices, world.programs)
            have = try state.flatMap { state throws(ProgramError) in try world.text(of: id, in: state) }
        } catch {
            world.refusedTexts.note(.table(comment), isRefused: true)
            return Assessment(.blocked(error.text(places)))
        }
        world.refusedTexts.note(.table(comment), isRefused: false)
        let mark = state?.tables[id]?.table.comment
        if have == wanted, mark == comment { return .inPlace }
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
        }
        plan.add(
            FilterTableClass.load(
                id, from: state?.tables[id]?.table, to: wanted, comment: comment, source: source,
                leadingLines: Self.leadingLines, places: places))
        guard let have else { return Assessment(.create, operations: plan.operations) }
        var differences = have.differences(to: wanted)
        if let mark, mark != comment { differences.append(Difference("comment", old: mark, new: comment)) }
        return Assessment(.update, operations: plan.operations, differences: differences)
    }

    private func taken(by table: FilterTable) -> String {
        let owner = table.comment.map { " (\($0))" } ?? ""
        return "a \(id)\(owner) is there already\(namespace.suffix) and is not ours; "
            + "give this one another name, or remove that one"
    }

    /// Lines of the source before the user's first.
    private static let leadingLines = 2

    /// The table in the language of nft.
    private var source: String { "\(id) {\ncomment \"\(comment)\"\n\(text)}\n" }
}

extension FilterTable.Family {
    init(_ family: FilterTableSpec.Family) {
        switch family {
        case .inet: self = .inet
        case .ip: self = .ip
        case .ip6: self = .ip6
        case .arp: self = .arp
        case .bridge: self = .bridge
        case .netdev: self = .netdev
        }
    }
}
