internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum NextHopKeys {
    static let prefix = ModelRegistry.model(.nextHop).keyPrefix

    static func key(_ name: String) -> Key { ModelKey.nextHop(name) }

    /// The name of one of which nothing but the number is known.
    static func name(_ id: UInt32) -> String { "nexthop-\(id)" }
}

/// A nexthop object, which routes and groups refer to.
public struct NextHopValue: Value {
    /// The word for it in plans and status.
    public static let kind = "nexthop"
    /// After addresses, before routes.
    public static let rank = 5

    /// What it is.
    enum Form: Sendable, Hashable {
        /// By an interface.
        case way(StaticRoute.Hop)
        /// Packets are dropped.
        case blackhole
        /// Others share the traffic.
        case group([NextHopSpec.Member])
    }

    let name: String
    let id: UInt32
    let namespace: NamespaceReference
    let family: IPAddress.Family
    let form: Form

    /// Takes a checked nexthop.
    init(_ spec: NextHopSpec, ownership: Ownership) {
        (name, family) = (spec.name, spec.family)
        id = spec.id ?? ownership.nextHopNumber(spec.name)
        namespace = NamespaceReference(spec.namespace)
        switch spec.form {
        case .way(let hop):
            form = .way(
                StaticRoute.Hop(interface: hop.interface, gateway: hop.gateway, weight: 1, onlink: hop.isOnLink))
        case .blackhole: form = .blackhole
        case .group(let members): form = .group(members)
        }
    }

    /// The interface, and what makes the gateway reachable; the members of a group.
    public var dependencies: [Dependency<LinuxWorld>] {
        switch form {
        case .way(let hop): namespace.dependencies + hop.dependencies
        case .blackhole: namespace.dependencies
        case .group(let members):
            members.map { Dependency(label: "nexthop: \($0.name)", target: .key(NextHopKeys.key($0.name))) }
        }
    }

    /// What the kernel itself can reach by the interface counts, too.
    public func isGiven(_ dependency: Dependency<LinuxWorld>, in world: LinuxWorld) -> Bool {
        guard case .way(let hop) = form else { return false }
        return hop.isGiven(dependency, in: namespace, world)
    }

    /// An interface that is not ours and not there, or not up.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        switch form {
        case .blackhole: return world.unmetCondition(namespace).map { [$0] } ?? []
        case .group: return []
        case .way(let hop):
            if world.declarations.interfaces[hop.interface] != nil { return [] }
            if let reason = world.unmetCondition(namespace) { return [reason] }
            guard let link = world.link(named: hop.interface, in: namespace) else {
                return ["\(hop.interface)\(namespace.suffix) is not there and not declared"]
            }
            return link.link.isUp
                ? [] : ["outgoing-interface-is-up: \(hop.interface)\(namespace.suffix) is down"]
        }
    }

    /// `fast via 10.0.0.2 dev eth0`
    public var summary: String {
        switch form {
        case .blackhole: return "\(name) blackhole\(namespace.suffix)"
        case .group(let members):
            let list = members.map { $0.weight == 1 ? $0.name : "\($0.name),\($0.weight)" }
            return "\(name) group \(list.joined(separator: "/"))"
        case .way(let hop):
            let gateway =
                switch hop.gateway {
                case .literal(let prefix): " via \(prefix.address)"
                case .allocated(let reference): " via alloc:\(reference.id)/GW"
                case nil: ""
                }
            return "\(name)\(gateway) dev \(hop.interface)\(namespace.suffix)"
        }
    }

    /// The names of what shares the traffic.
    var members: [String] {
        if case .group(let members) = form { members.map(\.name) } else { [] }
    }

    private var interface: String? {
        if case .way(let hop) = form { hop.interface } else { nil }
    }

    /// Reports about the interface, the object and the members concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        if let interface {
            world.declarations.enter(key, user: interface, in: namespace)
        } else if form == .blackhole {
            world.declarations.enter(key, in: namespace)
        }
        world.declarations.enter(key, nextHop: self)
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        if let interface {
            world.declarations.leave(key, user: interface, in: namespace)
        } else if form == .blackhole {
            world.declarations.leave(key, in: namespace)
        }
        world.declarations.leave(key, nextHop: self)
        // Another one may have the number now.
        world.declarations.addKeys(nextHop: id, to: &world.concerned)
    }

    // MARK: - In the kernel

    /// The namespace and the kernel's form; a reason when something it names is not there.
    private func wanted(in world: LinuxWorld) -> Result<(NamespaceState, NextHopObject), Obstacle> {
        let proto = world.ownership.proto
        switch form {
        case .blackhole:
            guard let state = world.byReference[namespace] else {
                return .failure(Obstacle(text: "namespace of \(name) is not there"))
            }
            return .success((state, NextHopObject(id: id, proto: proto, family: family, isBlackhole: true)))
        case .way(let hop):
            guard let link = world.link(named: hop.interface, in: namespace) else {
                return .failure(Obstacle(text: "link of \(hop.interface) is not there"))
            }
            guard let gateway = hop.resolved(in: world) else {
                return .failure(Obstacle(text: "the gateway of \(name) is not allocated"))
            }
            let onlink = hop.onlink || gateway.address.map { world.needsOnLink($0, over: link) } ?? false
            let object = NextHopObject(
                id: id, proto: proto, family: gateway.address?.family ?? family, gateway: gateway.address,
                linkIndex: link.link.index, onlink: onlink)
            return .success((link.namespace, object))
        case .group(let members): return group(of: members, in: world)
        }
    }

    private struct Obstacle: Error {
        let text: String
    }

    private func group(
        of members: [NextHopSpec.Member], in world: LinuxWorld
    ) -> Result<(NamespaceState, NextHopObject), Obstacle> {
        var state: NamespaceState?
        var list: [NextHopObject.Member] = []
        for member in members {
            guard let other = world.declarations.nextHop(member.name), let place = other.state(in: world),
                other.holds(in: place, world)
            else { return .failure(Obstacle(text: "nexthop: \(member.name) is not there")) }
            if let state, state !== place {
                return .failure(Obstacle(text: "nexthop: \(member.name) is in another namespace than the others"))
            }
            state = place
            list.append(.init(id: other.id, weight: member.weight))
        }
        guard let state else { return .failure(Obstacle(text: "\(name) has no members")) }
        return .success((state, NextHopObject(id: id, proto: world.ownership.proto, members: list)))
    }

    /// The namespace that it is in, or will be; nil: that is not there yet.
    func state(in world: LinuxWorld, depth: Int = 2) -> NamespaceState? {
        switch form {
        case .blackhole: return world.byReference[namespace]
        case .way(let hop): return world.link(named: hop.interface, in: namespace)?.namespace
        case .group(let members):
            // Groups of groups are refused when they are read.
            guard depth > 0, let first = members.first else { return nil }
            return world.declarations.nextHop(first.name)?.state(in: world, depth: depth - 1)
        }
    }

    /// Which of the declared ones of this number in a namespace may have it: the one that has it, or else what is there like
    /// it is declared, or else the first by name.
    private func holder(in state: NamespaceState, _ world: LinuxWorld) -> String {
        let rivals = world.declarations.nextHops(numbered: id).filter { $0.state(in: world) === state }
        if rivals.count < 2 { return name }
        let known = state.nextHops[id]
        if let holder = known?.holder, rivals.contains(where: { $0.name == holder }) { return holder }
        if let object = known?.object,
            let same = rivals.first(where: { $0.members.isEmpty && (try? $0.wanted(in: world).get())?.1 == object })
        {
            return same.name
        }
        return rivals.map(\.name).min() ?? name
    }

    /// Whether the object of its number is there, is ours, and belongs to no other declared one.
    func holds(in state: NamespaceState, _ world: LinuxWorld) -> Bool {
        guard let known = state.nextHops[id], NextHopClass.isOurs(known, world) else { return false }
        return holder(in: state, world) == name
    }

    /// The kernel's object is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let state = state(in: world), holds(in: state, world) else { return nil }
        state.nextHops[id]?.claim = Claim(pass: world.pass, claimant: claimant)
        state.nextHops[id]?.holder = name
        return Place(state, .nextHop(id))
    }

    /// Compares it with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let (state, object): (NamespaceState, NextHopObject)
        switch wanted(in: world) {
        case .failure(let obstacle): return Assessment(.waiting([obstacle.text]))
        case .success(let found): (state, object) = found
        }
        let holder = self.holder(in: state, world)
        if holder != name {
            return Assessment(
                .blocked("the nexthop \(holder) has the same number \(id): give one of them another id"))
        }
        if let known = state.nextHops[id], !NextHopClass.isOurs(known, world) {
            return Assessment(
                .blocked(
                    "a nexthop of that number (\(id)) is there and is not ours: remove it, or give ours another id"))
        }
        let have = state.nextHops[id]?.object
        if have == object { return .inPlace }
        if let reason = missingCarrier(in: state, object, world) { return Assessment(.waiting([reason])) }
        let operations = NextHopClass.operations(from: have, to: object, in: state)
        guard let have else { return Assessment(.create, operations: operations) }
        let difference = Difference("nexthop", old: have.text(state), new: object.text(state))
        return Assessment(.update, operations: operations, differences: [difference])
    }

    /// Why the kernel would not take it: it looks at the carrier. Of what is planned nobody knows it yet, but that a pair has one
    /// when both ends are up.
    private func missingCarrier(in state: NamespaceState, _ object: NextHopObject, _ world: LinuxWorld) -> String? {
        guard object.linkIndex != 0, let link = state.links[object.linkIndex] else { return nil }
        if !link.link.isUp { return "outgoing-interface-is-up: \(link.link.name) is down" }
        if let peer = world.peer(of: link) {
            return peer.link.isUp ? nil : "carrier: the other end of \(link.link.name) is down"
        }
        if state.isSimulated || link.link.index < 0 || link.link.flags & LinkFlags.lowerUp != 0 { return nil }
        return "carrier: \(link.link.name) has none"
    }
}

extension StaticRoute.Hop {
    /// That its interface is up, and what makes its gateway reachable.
    var dependencies: [Dependency<LinuxWorld>] {
        var result = [
            Dependency<LinuxWorld>(
                label: "outgoing-interface-is-up: \(interface)",
                target: .anyOf(
                    group: AdminState.upGroup(interface), unlessUndeclared: InterfaceKeys.key(interface),
                    matches: { _ in true }))
        ]
        switch gateway {
        case .literal(let gateway) where needsReach:
            result.append(
                Dependency(
                    label: reachLabel,
                    target: .anyOf(
                        group: InterfaceAddress.reachGroup(interface), unlessUndeclared: nil,
                        matches: { StaticRoute.reaches(gateway.address, through: $0) })))
        case .literal, nil: break
        case .allocated(let reference):
            result.append(Dependency(label: "gw_addr-allocated: \(reference.id)", target: .key(reference.key)))
        }
        return result
    }

    /// Whether the kernel itself can reach the gateway, by an address or a route that somebody else made.
    func isGiven(_ dependency: Dependency<LinuxWorld>, in namespace: NamespaceReference, _ world: LinuxWorld) -> Bool {
        guard needsReach, reachLabel == dependency.label, case .literal(let gateway) = gateway,
            let link = world.link(named: interface, in: namespace)
        else { return false }
        return world.reaches(
            gateway.address, over: link, declaredAs: world.declarations.interfaces[interface]?.value)
    }

    /// The gateway's address, and whether there is none; nil: it is not allocated yet.
    fileprivate func resolved(in world: LinuxWorld) -> (address: IPAddress?, isThere: Bool)? {
        switch gateway {
        case nil: return (nil, true)
        case .literal(let prefix): return (prefix.address, true)
        case .allocated(let reference):
            return world.declarations.allocations[reference.id]?.gateway.map { ($0.address, true) }
        }
    }
}
