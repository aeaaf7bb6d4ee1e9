internal import Netlink
internal import Reconciler

/// What only one link can have: a place in the kernel's tables of tunnels, a tag, all that another link receives.
extension LinuxWorld {
    /// Whether a link is built on another one, wherever that is.
    ///
    /// - Parameter doubt: the answer when the kernel can't be asked.
    func isBuilt(_ upper: LinkState, on link: LinkState, doubt: Bool = false) -> Bool {
        guard upper.link.kind.lower(upper.link.link) == link.link.index else { return false }
        guard let number = upper.link.linkNamespaceID else { return upper.namespace === link.namespace }
        if let origin = upper.origin { return origin == link.namespace.id }
        guard let handle = link.namespace.handle else { return false }
        do throws(KernelError) {
            return try routeSocket(upper.namespace).namespaceID(of: handle.descriptor) == number
        } catch {
            return doubt
        }
    }

    /// The links that are built on one, in all namespaces.
    func uppers(of link: LinkState) -> [LinkState] {
        let near = link.namespace.uppers(of: link.link.index).filter { $0.link.lower == link.link.index }
        return near
            + states.filter { !$0.distantUppers.isEmpty }.flatMap { state in
                state.distantUppers.sorted().compactMap { state.links[$0] }.filter { isBuilt($0, on: link) }
            }
    }

    /// Links of ours that have what a new one, or one that is to change, can't share with them, and that are to have something
    /// else: these go, and are made again when their turn comes.
    ///
    /// What is only planned is where it is to be.
    func holders(
        of new: Link, on below: LinkState?, in state: NamespaceState, besides others: [LinkState]
    ) -> [LinkState] {
        let near =
            !new.kind.excludesInNamespace
            ? [] : state.links.values.filter { $0.link.index > 0 && new.kind.excludes($0.link.kind, onSameLink: false) }
        let onTop = below.map { below in
            uppers(of: below).filter { $0.link.index > 0 && new.kind.excludes($0.link.kind, onSameLink: true) }
        }
        var holders: [LinkState] = []
        for link in near.sorted(by: { $0.link.index < $1.link.index }) + (onTop ?? [])
        where link.link.index != new.index && !(others + holders).contains(where: { $0 === link }) && isGivenUp(link) {
            holders.append(link)
        }
        return holders
    }

    /// The same for a link that is to be a port of a bridge or bond.
    func receivers(on link: LinkState) -> [LinkState] {
        uppers(of: link).filter { $0.link.index > 0 && $0.link.kind.isReceiver && isGivenUp($0) }
    }

    /// Whether the interface that a link belongs to is to be another one.
    private func isGivenUp(_ link: LinkState) -> Bool {
        guard let alias = link.link.alias, let owner = declarations.interface(alias: alias), !owner.isAdopted,
            byReference[owner.namespace] === link.namespace
        else { return false }
        return owner.differs(from: link, in: self)
    }

    /// What lets a link go from a bridge or bond of ours of which it is to be no port any more, before another link gets all
    /// that it receives.
    func release(_ link: LinkState, called name: String) -> [LinuxOperation] {
        guard link.link.master != 0, let master = link.namespace.links[link.link.master], !master.link.kind.isVRF,
            ownership.owns(alias: master.link.alias), LinkClass.isConfigured(link, self)
        else { return [] }
        let owner = master.link.alias.flatMap { declarations.interface(alias: $0) }
        if owner?.kind.ports.contains(name) == true { return [] }
        return link.operations(toJoin: nil, up: link.link.isUp)
    }
}
