internal import Netlink
internal import NetworkTypes
public import Reconciler

extension Interface {
    /// Compares the interface with its link.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        if text != nil, wholeAlias.utf8.count > Ownership.longestAlias {
            return Assessment(
                .blocked(
                    "the alias is \(wholeAlias.utf8.count) bytes long with our mark \(alias); the kernel takes at most "
                        + "\(Ownership.longestAlias)"))
        }
        guard let link = world.link(of: self) else { return assessMissing(in: world) }
        if kind is ExistingKind, let other = holder(of: link, in: world) {
            return Assessment(
                .blocked("\(link.link.name)\(link.namespace.reference.suffix) is the interface \(other) already"))
        }
        if isAdopted { return compare(link, in: world) }
        if let reason = mismatch(link, in: world) {
            let making = creation(in: world, replacing: link)
            guard case .create(let operations) = making else { return making.assessment }
            return Assessment(
                .recreate, operations: [operation(link, .deleteLinks([link.link.index]))] + operations,
                differences: [reason])
        }
        let assessment = compare(link, in: world)
        // The operations of the other end of a pair make this one, too.
        if link.link.index < 0, assessment.operations.isEmpty { return Assessment(.create) }
        return assessment
    }

    private func assessMissing(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        if let match { return move(match, in: world) }
        if kind is ExistingKind {
            return Assessment(.waiting(["host-interface-exists: \(hostName)\(namespace.suffix) is not there"]))
        }
        if !isAdopted { return creation(in: world).assessment }
        // The loopback interface of a namespace that is made with it.
        var plan = LinkPlan(world)
        guard plan.enter(namespace) else {
            return Assessment(.waiting([world.unmetCondition(namespace) ?? "namespace-available"]))
        }
        let loopback = Link(index: 1, name: "lo", flags: LinkFlags.loopback, mtu: 65536)
        let (attributes, differences) = wanted(of: loopback, in: world)
        plan.add(.request(.setLink(attributes)))
        return Assessment(
            .create, operations: plan.operations, differences: plan.operations.newNamespaces + differences)
    }

    func operation(_ link: LinkState, _ action: LinuxOperation.Action) -> LinuxOperation {
        LinuxOperation(link.namespace, action)
    }

    // MARK: - What can't be changed in place

    private func mismatch(_ link: LinkState, in world: LinuxWorld) -> Difference? {
        if let peer = kind.peer, world.link(of: peer) == nil { return Difference("peer", old: "gone", new: peer) }
        guard let type = type(of: kind).link, link.link.kind.isOf(type) else {
            return Difference("type", old: link.link.kind.name, new: kind.word)
        }
        return kind.mismatch(with: link.link.kind) ?? parentMismatch(link, in: world)
    }

    private func parentMismatch(_ link: LinkState, in world: LinuxWorld) -> Difference? {
        guard let parent = kind.parent, let below = world.link(named: parent, in: namespace) else { return nil }
        let index = link.link.kind.lower(link.link.link)
        // A shortage is not a reason to recreate a link.
        return world.isBuilt(link, on: below, doubt: true)
            ? nil : Difference("parent", old: "link \(index)", new: parent)
    }

    /// Whether a link is to become another one, here or anew.
    func differs(from link: LinkState, in world: LinuxWorld) -> Bool {
        if mismatch(link, in: world) != nil { return true }
        var differences: [Difference] = []
        return kind.change(from: link.link.kind, &differences) != nil
    }

    // MARK: - What can

    private func compare(_ link: LinkState, in world: LinuxWorld) -> Assessment<LinuxOperation> {
        if kind is LoopbackKind, let other = link.link.alias, world.ownership.mark(in: other) != alias, !other.isEmpty,
            other != "unconfigured"
        {
            return Assessment(
                .blocked("lo\(namespace.suffix) carries the alias '\(other)': another value or program has it"))
        }
        var (attributes, differences) = wanted(of: link.link, in: world, isRuled: link.isRuledByMaster)
        attributes.kind = kind.change(from: link.link.kind, &differences)
        let changesMTU = attributes.mtu != nil
        // The kernel chooses the MTU of some kinds anew.
        if attributes.kind != nil, !link.isRuledByMaster { attributes.mtu = mtu }
        var operations: [LinuxOperation] = []
        if attributes.kind != nil {
            let new = link.link.changed(by: attributes)
            for holder in world.holders(of: new, on: nil, in: link.namespace, besides: [link]) {
                operations.append(operation(holder, .deleteLinks([holder.link.index])))
            }
        }
        markLoan(of: link, in: world, &attributes, &differences)
        if !isAdopted || link.loan != nil, !hostName.isEmpty, link.link.name != hostName {
            // A foreign link in its place is met when the name is changed, so that the link stays as it is until then.
            if let move = makeRoom(for: hostName, in: link.namespace, world) { operations.append(move) }
            // The kernel takes no name that the link has already.
            if link.link.altNames.contains(hostName) {
                let request = Request.deleteAltNames([hostName], linkIndex: link.link.index)
                operations.append(operation(link, .request(request)))
            }
            operations.append(
                operation(link, .rename(index: link.link.index, from: link.link.name, to: hostName, up: link.link.isUp))
            )
            differences.append(Difference("name", old: link.link.name, new: hostName))
        }
        if attributes != LinkAttributes(index: link.link.index) {
            operations.append(operation(link, .request(.setLink(attributes))))
            if changesMTU, let mtu = attributes.mtu, let master = link.namespace.links[link.link.master],
                let keep = world.mtu(of: master, besidePortWith: mtu)
            {
                operations.append(keep)
            }
        }
        if receiveOffload == nil, transmitOffload == nil, link.link.group == world.ownership.tunedGroup {
            var mark = LinkAttributes(index: link.link.index)
            mark.group = world.ownership.linkGroup
            operations.append(operation(link, .offload(index: link.link.index, receive: true, transmit: true)))
            operations.append(operation(link, .request(.setLink(mark))))
            differences.append(Difference("checksum offload", old: "set", new: "default"))
        }
        stripAltNames(of: link, &operations, &differences)
        stripForeignAddresses(of: link, in: world, &operations, &differences)
        return operations.isEmpty ? .inPlace : Assessment(.update, operations: operations, differences: differences)
    }

    /// A link that was moved says where it came from, and for which interface.
    private func markLoan(
        of link: LinkState, in world: LinuxWorld, _ attributes: inout LinkAttributes, _ differences: inout [Difference]
    ) {
        guard var loan = link.loan else { return }
        loan.name = name
        let mark = loan.text(world.ownership)
        if link.link.alias == mark { return }
        attributes.alias = mark
        differences.append(Difference("alias", old: link.link.alias ?? "none", new: mark))
    }

    /// What we make has no other alternative names than those that are declared.
    private func stripAltNames(
        of link: LinkState, _ operations: inout [LinuxOperation], _ differences: inout [Difference]
    ) {
        let names = isAdopted ? [] : link.link.altNames.filter { !hasAltName($0) && $0 != hostName }
        if names.isEmpty { return }
        operations.append(operation(link, .request(.deleteAltNames(names, linkIndex: link.link.index))))
        differences += names.map { Difference("altname", old: $0, new: "none") }
    }

    /// Whether it can't be up, as what it is built on is down.
    func isHeldDown(in world: LinuxWorld) -> Bool {
        guard type(of: kind).followsParent, let parent = kind.parent else { return false }
        return world.link(named: parent, in: namespace)?.link.isUp == false
    }

    /// What of a link of any kind is to be set.
    func wanted(
        of link: Link, in world: LinuxWorld, isRuled: Bool = false
    ) -> (LinkAttributes, [Difference]) {
        var attributes = LinkAttributes(index: link.index)
        var differences: [Difference] = []
        if kind is LoopbackKind || !isAdopted, link.alias != wholeAlias {
            attributes.alias = wholeAlias
            differences.append(Difference("alias", old: link.alias ?? "none", new: wholeAlias))
        }
        let (group, tuned) = (world.ownership.linkGroup, world.ownership.tunedGroup)
        if !isAdopted, link.group != group, link.group != tuned {
            attributes.group = group
            differences.append(Difference("group", old: "\(link.group)", new: "\(group)"))
        }
        if let mtu, mtu != link.mtu, !isRuled {
            attributes.mtu = mtu
            differences.append(Difference("mtu", old: "\(link.mtu)", new: "\(mtu)"))
        }
        if let mac, mac != link.mac, !isRuled {
            attributes.mac = mac
            differences.append(Difference("mac", old: link.mac.map(\.description) ?? "none", new: "\(mac)"))
        }
        // What others made is not taken down: absent and false can't be told apart.
        if enabled != link.isUp, enabled ? !isHeldDown(in: world) : !isAdopted {
            attributes.up = enabled
            differences.append(Difference("state", old: enabled ? "down" : "up", new: enabled ? "up" : "down"))
        }
        return (attributes, differences)
    }

    /// The addresses of an exclusive interface are exactly those that are declared.
    private func stripForeignAddresses(
        of link: LinkState, in world: LinuxWorld, _ operations: inout [LinuxOperation],
        _ differences: inout [Difference]
    ) {
        for address in link.addresses.map(\.address) where strips(address, in: world) {
            operations.append(operation(link, .request(.deleteAddress(address))))
            differences.append(Difference("address", old: "\(address.local)", new: "none"))
        }
    }

    /// Whether an address of somebody else has to go.
    func strips(_ address: Address, in world: LinuxWorld) -> Bool {
        guard kind is ExistingKind, isExclusive, !address.local.address.isLinkLocal,
            address.proto != world.ownership.proto, !address.isAutomatic
        else { return false }
        return !addresses.contains { $0.matches(address, in: world) }
    }

    /// What takes a name from a link of ours that is to have another one, which it gets when its turn comes; nil: nothing,
    /// the name is free, or the link that has it keeps it.
    func makeRoom(for name: String, in state: NamespaceState, _ world: LinuxWorld) -> LinuxOperation? {
        guard let other = state.linksByName[name], let alias = other.link.alias,
            let owner = world.declarations.interface(alias: alias), owner.hostName != name, !owner.isAdopted,
            world.byReference[owner.namespace] === state
        else { return nil }
        let index = other.link.index
        return operation(
            other, .rename(index: index, from: name, to: "nsm-tmp\(index.magnitude)", up: other.link.isUp))
    }

    static func taken(_ name: String, by link: LinkState) -> String {
        let owner = link.link.alias.map { " (alias \($0))" } ?? ""
        return "a link named \(name)\(owner) is there already\(link.namespace.reference.suffix) and is not ours; "
            + "remove or rename it, or declare it as EXISTING"
    }
}

extension Address {
    /// Whether the kernel made it by itself: of the loopback interface, link-local, or from a router advertisement
    /// (`IFAPROT_KERNEL_*` 1 to 3; without a lifetime of its own on kernels that keep no protocol).
    fileprivate var isAutomatic: Bool {
        (1...3).contains(proto) || local.address.isLoopback || (local.family == .v6 && flags & Address.permanent == 0)
    }
}
