internal import Netlink
internal import Reconciler

/// The way back of links.
extension LinkClass {
    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        switch step {
        case .prepare: removeNew(&restoration)
        case .make: makeLost(&restoration)
        case .mend: mend(&restoration)
        case .finish: choose(&restoration)
        }
    }

    private static func removeNew(_ restoration: inout Restoration) {
        let ownership = restoration.world.ownership
        for (state, part) in restoration.parts {
            let new = part.made.sorted().compactMap { state.linksByName[$0] }.filter { link in
                (part.links[link.link.index] ?? nil) == nil
                    && (ownership.owns(alias: link.link.alias) || link.link.group == ownership.linkGroup)
            }
            if !new.isEmpty { restoration.add(.deleteLinks(new.map(\.link.index)), in: state.id) }
        }
    }

    private static func makeLost(_ restoration: inout Restoration) {
        for (state, part) in restoration.parts {
            for case (let index, let lost?) in part.links.sorted(by: { $0.key < $1.key })
            where restoration.isLost(lost, index, in: state) {
                make(lost, in: state, &restoration)
            }
        }
    }

    private static func make(_ lost: Journal.LinkPart, in state: NamespaceState, _ restoration: inout Restoration) {
        let world = restoration.world
        let (below, source) = restoration.below(lost, in: state)
        if let below { makeFirst(below, in: source, &restoration) }
        freeName(lost.link.name, in: state, &restoration)
        let planned = world.plannedIndex()
        restoration.remake(lost.link.index, in: state, as: planned)
        if let attributes = lost.link.kind[TUNAttributes.self] {
            restoration.add(
                .createTUN(name: lost.link.name, attributes, alias: lost.link.alias ?? "", index: planned), in: state.id
            )
            return
        }
        var attributes = LinkAttributes(name: lost.link.name)
        // What is built on others has at most their MTU, which they get back later.
        let setsMTU = below == nil && !InterfaceKinds.kind(of: lost.link.kind).followsPorts
        if setsMTU { attributes.mtu = lost.link.mtu }
        // A bridge that has lost its ports has none.
        attributes.mac = lost.link.mac.flatMap { $0.isZero ? nil : $0 }
        attributes.group = world.ownership.linkGroup
        var kind = InterfaceKinds.kind(of: lost.link.kind).request(for: lost.link.kind)
        if let below {
            let index = restoration.current(below, in: source)
            if !kind.stand(on: index) { attributes.link = index }
            if kind.isReceiver, let lower = source.links[index] { release(lower, &restoration) }
        }
        giveWay(to: kind, besides: nil, in: state, &restoration)
        attributes.kind = kind
        var creation = LinkCreation(attributes: attributes, near: .init(target: state.id, index: planned))
        if let peer = lost.peer, let other = restoration.journal.parts[peer.namespace]?.links[peer.index] ?? nil,
            let far = restoration.place(peer.namespace)
        {
            freeName(other.link.name, in: far, &restoration)
            let plannedPeer = world.plannedIndex(1)
            restoration.remake(peer.index, in: far, as: plannedPeer)
            creation.attributes.peer = VethPeer(
                name: other.link.name, mtu: other.link.mtu, mac: other.link.mac, group: world.ownership.linkGroup)
            creation.peer = .init(target: far.id, index: plannedPeer)
        }
        restoration.add(.createLink(creation), in: source.id)
    }

    /// What is a port by now can't hand all that it receives to another link. It gets its former master back later.
    private static func release(_ link: LinkState, _ restoration: inout Restoration) {
        guard let master = link.namespace.links[link.link.master], !master.link.kind.isVRF else { return }
        for operation in link.operations(toJoin: nil, up: link.link.isUp) {
            restoration.add(operation.action, in: link.namespace.id)
        }
    }

    /// Links that were changed to what another one is to have again become what they were.
    private static func giveWay(
        to kind: LinkKind, besides link: LinkState?, in state: NamespaceState, _ restoration: inout Restoration,
        depth: Int = 8
    ) {
        let holders = state.links.values.filter { $0 !== link && kind.excludes($0.link.kind, onSameLink: false) }
        for holder in holders.sorted(by: { $0.link.index < $1.link.index }) where depth > 0 {
            guard let old = restoration.part(of: state)?.links[holder.link.index] ?? nil, old.isOurs else { continue }
            let former = restoration.kind(of: old, in: state)
            let way = InterfaceKinds.kind(of: former).wayBack(from: holder.link.kind, to: former)
            guard former != holder.link.kind, let way else { continue }
            giveWay(to: former, besides: holder, in: state, &restoration, depth: depth - 1)
            var attributes = LinkAttributes(index: holder.link.index)
            (attributes.kind, attributes.mtu) = (way, old.link.mtu)
            restoration.add(.request(.setLink(attributes)), in: state.id)
        }
    }

    /// A link that got the name of another one gets its own back later.
    private static func freeName(_ name: String, in state: NamespaceState, _ restoration: inout Restoration) {
        guard let holder = state.linksByName[name],
            let old = restoration.part(of: state)?.links[holder.link.index] ?? nil,
            old.isOurs, old.link.name != name
        else { return }
        let index = holder.link.index
        restoration.add(
            .rename(index: index, from: name, to: "nsm-tmp\(index.magnitude)", up: holder.link.isUp), in: state.id)
    }

    /// What a link is built on is made before it.
    private static func makeFirst(_ below: Int32, in source: NamespaceState, _ restoration: inout Restoration) {
        guard let other = restoration.part(of: source)?.links[below] ?? nil,
            restoration.isLost(other, below, in: source)
        else { return }
        make(other, in: source, &restoration)
    }

    /// A bridge that is made again has the MTU of its ports, unless another one is chosen.
    private static func choose(_ restoration: inout Restoration) {
        for (state, part) in restoration.parts {
            for case (let index, let old?) in part.links.sorted(by: { $0.key < $1.key })
            where InterfaceKinds.kind(of: old.link.kind).followsPorts && restoration.isRemade(index, in: state) {
                let planned = restoration.current(index, in: state)
                let ports = state.uppers(of: planned).filter { $0.link.master == planned }
                if ports.map(\.link.mtu).min() ?? old.link.kind.kernelMTU == old.link.mtu { continue }
                var attributes = LinkAttributes(index: planned)
                attributes.mtu = old.link.mtu
                restoration.add(.request(.setLink(attributes)), in: state.id)
            }
        }
    }

    // MARK: - What is there

    private static func mend(_ restoration: inout Restoration) {
        var waiting: [Int: [Int32: Mending]] = [:]
        for (state, part) in restoration.parts {
            for case (let index, let old?) in part.links {
                guard let link = state.links[restoration.current(index, in: state)] else { continue }
                // What others made is put back only where we changed it.
                if old.isOurs || state.touched.contains(index) || restoration.isMoved(link.link.index) {
                    waiting[state.id, default: [:]][index] = Mending(link: link, old: old)
                }
            }
        }
        for (state, part) in restoration.parts {
            for index in part.links.keys.sorted() { mend(index, in: state, &waiting, &restoration) }
        }
    }

    /// A link that gets back what it had.
    private struct Mending {
        let link: LinkState
        let old: Journal.LinkPart
    }

    /// What a link is built on comes before it: no MTU is larger than that of the link below.
    private static func mend(
        _ index: Int32, in state: NamespaceState, _ waiting: inout [Int: [Int32: Mending]],
        _ restoration: inout Restoration
    ) {
        guard let mending = waiting[state.id]?.removeValue(forKey: index) else { return }
        let (below, source) = restoration.below(mending.old, in: state)
        if let below { mend(below, in: source, &waiting, &restoration) }
        var old = mending.old.link
        old.kind = restoration.kind(of: mending.old, in: state)
        mend(mending.link, to: old, &restoration)
    }

    private static func mend(_ link: LinkState, to old: Link, _ restoration: inout Restoration) {
        let state = link.namespace
        if link.link.name != old.name {
            freeName(old.name, in: state, &restoration)
            restoration.add(
                .rename(index: link.link.index, from: link.link.name, to: old.name, up: link.link.isUp), in: state.id)
        }
        let blank = LinkAttributes(index: link.link.index)
        var attributes = blank
        if link.link.alias != old.alias { attributes.alias = old.alias ?? "" }
        // What the kernel gives a new link depends on what it is built on.
        let isNew = link.link.index < 0 && !restoration.isMoved(link.link.index)
        let (kind, followsPorts) = (old.kind, InterfaceKinds.kind(of: old.kind).followsPorts)
        if isNew
            ? !followsPorts && (link.link.mtu != old.mtu || old.lower > 0 || old.linkNamespaceID != nil)
            : link.link.mtu != old.mtu
        {
            attributes.mtu = old.mtu
        }
        // A bridge that has lost its ports has none, which can't be set.
        if let mac = old.mac, !mac.isZero, link.link.mac != mac, !isNew || kind.isOf(TUNAttributes.self) {
            attributes.mac = mac
        }
        if link.link.group != old.group { attributes.group = old.group }
        if link.link.kind != old.kind {
            attributes.kind = InterfaceKinds.kind(of: kind).wayBack(from: link.link.kind, to: kind)
            if attributes.kind != nil { giveWay(to: kind, besides: link, in: state, &restoration) }
            // The kernel chooses the MTU of some kinds anew.
            if attributes.kind != nil, !isNew, !followsPorts { attributes.mtu = old.mtu }
        }
        let master = restoration.current(old.master, in: state)
        if link.link.master != master {
            for operation in link.operations(toJoin: state.links[master], up: old.isUp) {
                restoration.add(operation.action, in: state.id)
            }
        } else if link.link.isUp != old.isUp {
            attributes.up = old.isUp
        }
        if attributes != blank { restoration.add(.request(.setLink(attributes)), in: state.id) }
        // A port that has just joined is as the kernel makes it.
        let port = link.link.master == master ? link.link.port : nil
        if let change = old.port?.change(from: port ?? .kernelDefault) {
            var attributes = blank
            attributes.port = change
            restoration.add(.request(.setLink(attributes)), in: state.id)
        }
    }
}

extension Restoration {
    /// The kind that a link had, with the index that the link below has now.
    fileprivate func kind(of link: Journal.LinkPart, in state: NamespaceState) -> LinkKind {
        var kind = link.link.kind
        let (below, source) = below(link, in: state)
        if let below { _ = kind.stand(on: current(below, in: source)) }
        return kind
    }
}
