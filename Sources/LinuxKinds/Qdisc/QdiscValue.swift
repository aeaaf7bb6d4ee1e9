internal import Model
internal import Netlink
internal import NetworkTypes
public import Reconciler

enum QdiscKeys {
    static let prefix = ModelRegistry.model(.qdisc).keyPrefix
}

/// How packets queue at an interface: its root qdisc; or how fast they may arrive.
public struct QdiscValue: Value {
    /// The word for it in plans and status.
    public static let kind = "qdisc"
    /// After interfaces.
    public static let rank = 7

    let interface: String
    let namespace: NamespaceReference
    let what: What

    /// What the interface has.
    enum What: Hashable, Sendable {
        case root(Qdisc.Kind)
        case police(TrafficFilter.Police)
    }

    /// Takes a checked qdisc.
    init(_ spec: QdiscSpec) {
        interface = spec.interface
        namespace = NamespaceReference(spec.namespace)
        what = What(spec.kind)
    }

    /// The interface, if it is ours to make.
    public var dependencies: [Dependency<LinuxWorld>] {
        [Dependency(label: "interface-exists", target: .keyIfDeclared(InterfaceKeys.key(interface)))]
    }

    /// `tbf at eth0`
    public var summary: String {
        switch what {
        case .root(let kind): "\(kind.name) at \(interface)"
        case .police: "police at \(interface)"
        }
    }

    /// An interface that is not ours and is not there.
    public func unmetConditions(in world: LinuxWorld) -> [String] {
        if world.declarations.interfaces[interface] != nil { return [] }
        if let reason = world.unmetCondition(namespace) { return [reason] }
        if world.link(named: interface, in: namespace) != nil { return [] }
        return ["interface-exists: \(interface)\(namespace.suffix) is not there and not declared"]
    }

    /// Reports about the interface concern it.
    public func declare(in world: LinuxWorld, key: Key) {
        world.declarations.enter(key, user: interface, in: namespace)
        world.declarations.qdiscCount += 1
    }

    /// They do so no more.
    public func withdraw(in world: LinuxWorld, key: Key) {
        world.declarations.leave(key, user: interface, in: namespace)
        world.declarations.qdiscCount -= 1
    }

    /// The kernel's qdisc is ours.
    public func claim(in world: LinuxWorld, by claimant: Claimant) -> Place? {
        guard let link = world.link(named: interface, in: namespace) else { return nil }
        guard case .root = what else { return PoliceClass.claim(link, world, by: claimant) }
        guard link.qdisc?.handle == world.ownership.qdiscHandle else { return nil }
        link.qdiscClaim = Claim(pass: world.pass, claimant: claimant)
        return Place(link.namespace, .qdisc(link.link.index))
    }

    /// Compares it with the kernel's.
    public func assess(in world: LinuxWorld) -> Assessment<LinuxOperation> {
        guard let link = world.link(named: interface, in: namespace) else {
            return Assessment(.waiting(["link of \(interface) is not there"]))
        }
        switch what {
        case .root(let kind): return assess(kind, of: link, in: world)
        case .police(let police): return PoliceClass.assess(police, of: link, in: world)
        }
    }

    private func assess(_ kind: Qdisc.Kind, of link: LinkState, in world: LinuxWorld) -> Assessment<LinuxOperation> {
        let wanted = Qdisc(linkIndex: link.link.index, handle: world.ownership.qdiscHandle, kind: kind)
        guard let have = link.qdisc else {
            let operations = QdiscClass.operations(from: nil, to: wanted, on: link)
            return Assessment(.create, operations: operations)
        }
        if have.handle != wanted.handle {
            let (name, place) = (link.link.name, link.namespace.reference.suffix)
            return Assessment(
                .blocked(
                    "the root qdisc \(have.kind.name) \(have.handleText) of \(name)\(place) is not ours; remove it "
                        + "(tc qdisc del dev \(name) root), or don't declare one"))
        }
        let operations = QdiscClass.operations(from: have, to: wanted, on: link)
        if operations.isEmpty { return .inPlace }
        return Assessment(.update, operations: operations, differences: wanted.differences(from: have))
    }
}

extension Qdisc {
    /// `1:`, as tc(8) writes it.
    var handleText: String { String(handle >> 16, radix: 16) + ":" }

    /// What becomes of another one, in words of tc(8).
    fileprivate func differences(from old: Qdisc) -> [Difference] {
        if kind.name != old.kind.name { return [Difference("kind", old: old.kind.name, new: kind.name)] }
        let (before, after) = (old.kind.settings, kind.settings)
        let changed = zip(before, after).filter { $0.value != $1.value && !$1.value.isEmpty }
            .map { Difference($0.name, old: $0.value, new: $1.value) }
        // Something that can't be declared.
        return changed.isEmpty ? [Difference("settings", old: "others", new: "none")] : changed
    }
}

extension QdiscValue.What {
    /// Takes what was declared.
    fileprivate init(_ kind: QdiscSpec.Kind) {
        switch kind {
        case .police(let police): self = .police(.init(rate: police.rate, burst: police.burst))
        case .tokenBucket(let bucket):
            self = .root(.tokenBucket(.init(rate: bucket.rate, burst: bucket.burst, limit: bucket.limit)))
        case .fairQueue(let queue):
            self = .root(
                .fairQueue(
                    .init(
                        limit: queue.limit, flows: queue.flows, quantum: queue.quantum, target: queue.target,
                        interval: queue.interval, marks: queue.marks, memory: queue.memory)))
        case .emulation(let line):
            self = .root(
                .emulation(
                    .init(
                        delay: line.delay, jitter: line.jitter, loss: line.loss, duplicate: line.duplicate,
                        corrupt: line.corrupt, reorder: line.reorder, limit: line.limit, rate: line.rate)))
        }
    }
}

extension Qdisc.Kind {
    /// The settings by name, in an order that is the same for all of a kind.
    fileprivate var settings: [(name: String, value: String)] {
        guard let kind = QdiscSpec.Kind(self) else { return [] }
        return kind.settings
    }
}

extension QdiscSpec.Kind {
    /// What the kernel has, as it can be declared; nil: it can't.
    init?(_ kind: Qdisc.Kind) {
        switch kind {
        case .tokenBucket(let bucket):
            self = .tokenBucket(.init(rate: bucket.rate, burst: bucket.burst, limit: bucket.limit))
        case .fairQueue(let queue):
            self = .fairQueue(
                .init(
                    limit: queue.limit, flows: queue.flows, quantum: queue.quantum, target: queue.target,
                    interval: queue.interval, marks: queue.marks, memory: queue.memory))
        case .emulation(let line):
            self = .emulation(
                .init(
                    delay: line.delay, jitter: line.jitter, loss: line.loss, duplicate: line.duplicate,
                    corrupt: line.corrupt, reorder: line.reorder, limit: line.limit, rate: line.rate))
        case .other: return nil
        }
    }
}
