internal import Glibc
internal import Model
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// What takes filters of what arrives by a link: its qdisc `ingress` or `clsact`.
struct Ingress {
    var qdisc: Qdisc
    /// Whether we made it. The kernel lets nobody choose its number, so our filter says so after a restart. Both leave in one
    /// system call (``Request/staysWithNext``). If somebody deletes the filter while no agent runs, the qdisc looks like anybody's,
    /// and stays.
    var isOurs: Bool
    /// Our filter.
    var police: TrafficFilter?
    /// Filters of others in a qdisc of ours.
    var others: Set<TrafficFilter.ID> = []
}

/// Filters that limit what arrives, in a qdisc `ingress` that we made, or in one of others.
///
/// Our filter is known by its preference and handle. A qdisc that we made goes with it, unless others have filters there by then;
/// one of others stays. So do their filters, of which only those in a qdisc of ours are known: others may have very many.
enum PoliceClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        let isAnyDeclared = world.declarations.qdiscCount != 0
        for qdisc in dump.ingress {
            let index = qdisc.linkIndex
            // What was left over is found by the first look.
            let known = state.links[index]?.ingress
            if state.wasRead, !isAnyDeclared, known?.isOurs != true, known?.police == nil { continue }
            do {
                let ours = try filters(.filters(linkIndex: index, preference: world.ownership.filterPreference), socket)
                let police = ours.first { isOurs($0, world) }
                let isQdiscOurs = saysOurs(police, or: known)
                dump.filters += isQdiscOurs ? try filters(.filters(linkIndex: index, preference: nil), socket) : ours
            } catch {
                // The link or its qdisc went meanwhile, or the kernel has no filters.
                if ![ENODEV, ENOENT, EINVAL, EOPNOTSUPP].contains(error.code) { throw error }
            }
        }
    }

    private static func filters(_ dump: Dump, _ socket: RouteSocket) throws(KernelError) -> [TrafficFilter] {
        try socket.dump(dump).compactMap { if case .filter(let filter) = $0 { filter } else { nil } }
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for qdisc in dump.ingress {
            guard let link = state.links[qdisc.linkIndex] else { continue }
            let old = former.links[qdisc.linkIndex]
            link.ingress = Ingress(qdisc: qdisc, isOurs: false)
            link.policeClaim = old?.policeClaim ?? Claim()
        }
        for filter in dump.filters where isOurs(filter, world) {
            state.links[filter.linkIndex]?.ingress?.police = filter
        }
        for qdisc in dump.ingress where qdisc.isPlainIngress {
            let link = state.links[qdisc.linkIndex]
            let isOurs = saysOurs(link?.ingress?.police, or: former.links[qdisc.linkIndex]?.ingress)
            link?.ingress?.isOurs = isOurs
        }
        for filter in dump.filters { note(other: filter, in: state, world) }
    }

    /// Whether we made the qdisc: our filter in it says so. Without the filter, what was known before counts, unless there was a
    /// filter: then the qdisc may have gone with it, and this one may belong to another program.
    private static func saysOurs(_ police: TrafficFilter?, or known: Ingress?) -> Bool {
        if let police { return police.handle != Marks.filterHandle }
        return known.map { $0.isOurs && $0.police == nil } ?? false
    }

    /// Whether a filter carries our mark.
    static func isOurs(_ filter: TrafficFilter, _ world: LinuxWorld) -> Bool {
        world.ownership.qdiscHandle != 0 && filter.preference == world.ownership.filterPreference
            && filter.handle & ~1 == Marks.filterHandle && filter.chain == 0
    }

    /// A filter of others in a qdisc of ours keeps it there. The kernel tells of each preference without a handle, too.
    private static func note(other filter: TrafficFilter, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[filter.linkIndex], link.ingress?.isOurs == true, filter.handle != 0,
            !isOurs(filter, world)
        else { return }
        link.ingress?.others.insert(filter.id)
    }

    // MARK: - Changes

    /// A link has a qdisc for what arrives.
    static func put(_ qdisc: Qdisc, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[qdisc.linkIndex], link.ingress?.qdisc != qdisc else { return }
        set(Ingress(qdisc: qdisc, isOurs: world.cause == .planned), of: link, world)
        if world.cause == .planned { link.policeClaim = world.plannedClaim }
    }

    /// It has none any more; filters went with it.
    static func remove(_ qdisc: Qdisc, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[qdisc.linkIndex], link.ingress != nil else { return }
        set(nil, of: link, world)
    }

    /// A filter is there.
    static func put(_ filter: TrafficFilter, in state: NamespaceState, _ world: LinuxWorld) {
        guard isOurs(filter, world) else { return note(other: filter, in: state, world) }
        guard let link = state.links[filter.linkIndex], var ingress = link.ingress else { return }
        if world.cause == .told, ingress.police == filter { return }
        // Another process of ours made both.
        if world.cause == .told, ingress.qdisc.isPlainIngress, !ingress.isOurs, saysOurs(filter, or: nil) {
            ingress.isOurs = true
            // Which filters of others are there is known after a look at all of them.
            world.markStale(state)
            world.told.needsFullPass = true
        }
        ingress.police = filter
        set(ingress, of: link, world)
        if world.cause == .planned { link.policeClaim = world.plannedClaim }
    }

    /// A filter is gone, or all of its preference.
    static func remove(_ filter: TrafficFilter, in state: NamespaceState, _ world: LinuxWorld) {
        guard let link = state.links[filter.linkIndex], link.ingress != nil else { return }
        if let police = link.ingress?.police, filter.id.covers(police.id) {
            var ingress = link.ingress
            ingress?.police = nil
            set(ingress, of: link, world)
        }
        remove(other: filter.id, of: link, world)
    }

    /// Others may have very many, and take them away one by one.
    private static func remove(other id: TrafficFilter.ID, of link: LinkState, _ world: LinuxWorld) {
        guard link.ingress?.others.isEmpty == false else { return }
        if id.handle != 0 {
            link.ingress?.others.remove(id)
        } else if let others = link.ingress?.others {
            link.ingress?.others = others.filter { !id.covers($0) }
        }
        // The qdisc that stayed for their sake goes, but no value looks at it.
        guard let ingress = link.ingress, ingress.isOurs, ingress.police == nil, ingress.others.isEmpty else { return }
        if world.cause == .told { world.told.needsFullPass = true }
    }

    private static func set(_ ingress: Ingress?, of link: LinkState, _ world: LinuxWorld) {
        world.journals.remember(link: link.link.index, in: link.namespace, isItself: false)
        link.ingress = ingress
        world.concern(link.link.name, in: link.namespace)
    }

    // MARK: - Values

    /// What is ours of it belongs to a value.
    static func claim(_ link: LinkState, _ world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let ingress = link.ingress, ingress.isOurs || ingress.police != nil else { return nil }
        link.policeClaim = Claim(pass: world.pass, claimant: claimant)
        return Place(link.namespace, .police(link.link.index))
    }

    /// Compares what a value says with the kernel's.
    static func assess(
        _ police: TrafficFilter.Police, of link: LinkState, in world: LinuxWorld
    ) -> Assessment<LinuxOperation> {
        let operations = operations(from: link.ingress, to: police, on: link, world)
        if operations.isEmpty { return .inPlace }
        guard let filter = link.ingress?.police else { return Assessment(.create, operations: operations) }
        let before = filter.police.map { QdiscSpec.Kind($0).settings } ?? []
        let changed = zip(before, QdiscSpec.Kind(police).settings).filter { $0.value != $1.value }
            .map { Difference($0.name, old: $0.value, new: $1.value) }
        return Assessment(
            .update, operations: operations,
            differences: changed.isEmpty ? [Difference("settings", old: "others", new: "none")] : changed)
    }

    /// What leads from what a link has to a limit; nil: to none of ours.
    private static func operations(
        from have: Ingress?, to wanted: TrafficFilter.Police?, on link: LinkState, _ world: LinuxWorld
    ) -> [LinuxOperation] {
        let requests: [Request]
        if let wanted {
            let index = link.link.index
            let isOurs = have?.isOurs ?? true
            let filter = TrafficFilter(
                linkIndex: index, handle: Marks.filterHandle | (isOurs ? 1 : 0),
                preference: world.ownership.filterPreference, police: wanted)
            if let old = have?.police {
                // The kernel changes none of the kind.
                requests = old.police == wanted ? [] : [.deleteFilter(old), .addFilter(filter)]
            } else {
                requests = (have == nil ? [.addQdisc(.ingress(ofLink: index))] : []) + [.addFilter(filter)]
            }
        } else if let have, have.isOurs, have.others.isEmpty {
            // With the filter.
            requests = [.deleteQdisc(have.qdisc)]
        } else {
            requests = have?.police.map { [.deleteFilter($0)] } ?? []
        }
        return requests.map { LinuxOperation(link.namespace, request: $0) }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) where link.ingress != nil {
                append(link, to: &list)
            }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            guard case .police(let index) = place.object, let state = list.world.states[place.namespace],
                !list.goes(state), let link = state.links[index]
            else { continue }
            append(link, to: &list)
        }
    }

    private static func append(_ link: LinkState, to list: inout Leftovers) {
        let world = list.world
        let operations = operations(from: link.ingress, to: nil, on: link, world)
        guard !operations.isEmpty, !world.isClaimed(link.policeClaim),
            !world.ownership.belongsToAnother(alias: link.link.alias)
        else { return }
        let (name, place) = (link.link.name, link.namespace.reference.suffix)
        list.add(
            Place(link.namespace, .police(link.link.index)), key: "\(QdiscKeys.prefix)\(name)/ingress\(place)",
            "police dev \(name)\(place)", operations)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .finish { return }
        for (state, part) in restoration.parts {
            for (index, old) in part.links.sorted(by: { $0.key < $1.key }) {
                guard let old, let link = state.links[restoration.current(index, in: state)] else { continue }
                let wanted = old.ingress?.police?.police
                // What is there, and not ours to know, stays.
                if old.ingress?.police != nil, wanted == nil { continue }
                for operation in operations(from: link.ingress, to: wanted, on: link, restoration.world) {
                    restoration.add(operation.action, in: state.id)
                }
            }
        }
    }

    // MARK: - Export

    static func export(_ state: NamespaceState, to export: inout Export) {
        for link in state.links.values.sorted(by: { $0.link.index < $1.link.index }) {
            guard let police = link.ingress?.police?.police else { continue }
            var message = Nsmagent_Linux_Qdisc(QdiscSpec.Kind(police))
            message.interface = export.name(of: link)
            export.others.append(.qdisc(message))
        }
    }
}

extension Qdisc {
    /// Whether it is what we make.
    fileprivate var isPlainIngress: Bool { kind.name == "ingress" }
}

extension QdiscSpec.Kind {
    fileprivate init(_ police: TrafficFilter.Police) {
        self = .police(.init(rate: police.rate, burst: police.burst))
    }
}
