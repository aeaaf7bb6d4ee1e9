internal import Concurrency
internal import LinuxKinds
internal import Netlink
internal import NetworkTypes
internal import Reconciler

/// The one way in which a forwarder changes the kernel.
extension Forwarder {
    /// What became of a connection.
    struct Outcome {
        /// The links that are there.
        let indexes: [Segment: Int32]
        /// Why it is not as it was wanted; then it is as it was before.
        let failure: ForwarderError?
    }

    /// As which the namespace is known whose network tunnels go through.
    private static let hostLabel = "host"
    private static let source = "connection"

    /// Makes what is in sight as the values say. What is in sight and ours and in no value goes.
    ///
    /// - Throws: ``ForwarderError`` when the kernel can't be read; then nothing was changed.
    func reconcile(
        _ values: [Attachment.Declared], _ sights: [Sight], tunnel: Bool = false, isNew: Bool = false
    ) throws(ForwarderError) -> Outcome {
        guard let ownership = sights.first?.ownership else { return Outcome(indexes: [:], failure: nil) }
        let world = LinuxWorld(ownership: ownership)
        for sight in sights { try enter(sight, world) }
        if tunnel {
            try enterHost(world)
            world.startTunnels(in: Self.hostLabel)
        }
        let reconciler = Reconciler(world: world, retry: .never, historyLimit: 1, now: { .now })
        reconciler.change(source: Self.source, values)
        let transaction = reconciler.reconcile(reason: .apply, revertOnFailure: !values.isEmpty)
        let failure = try failure(reconciler, transaction, sights)
        if failure != nil, isNew, transaction?.reverted != true {
            reconciler.change(source: Self.source, values.map { ($0.key, nil) })
            reconciler.reconcile(reason: .apply)
        }
        var indexes: [Segment: Int32] = [:]
        for segment in Segment.allCases { indexes[segment] = world.index(of: segment.rawValue) }
        return Outcome(indexes: indexes, failure: failure)
    }

    private func enter(_ sight: Sight, _ world: LinuxWorld) throws(ForwarderError) {
        do throws(KernelError) {
            var isFirst = true
            let socket = try socket(sight.namespace)
            try world.enter(sight.namespace, as: sight.labels, socket: socket) { socket throws(KernelError) in
                defer { isFirst = false }
                return try sight.read(socket, isFirst: isFirst)
            }
        } catch {
            throw refused(sight.ends.first.map { "interface \($0.name)" } ?? "links", sight.namespace, error)
        }
    }

    private func enterHost(_ world: LinuxWorld) throws(ForwarderError) {
        let host = try hostNamespace()
        do throws(KernelError) {
            try world.enter(host, as: [Self.hostLabel], socket: socket(host)) { _ in NamespaceDump() }
        } catch {
            throw refused("the tunnel's namespace", host, error)
        }
    }

    /// What went wrong, in the kernel's words if it was asked.
    private func failure(
        _ reconciler: Reconciler<LinuxWorld>, _ transaction: Transaction?, _ sights: [Sight]
    ) throws(ForwarderError) -> ForwarderError? {
        let failed = transaction?.entries.first { !$0.error.isEmpty }
        let isGood = reconciler.stateCounts().keys.allSatisfy { $0 == .configured }
        if failed == nil, isGood { return nil }
        if let refusal = reconciler.world.refusal {
            let sight = sights.first { !refusal.labels.isDisjoint(with: $0.labels) }
            let namespace = if let sight { sight.namespace } else { try hostNamespace() }
            let what = refusal.request.map { Self.text($0, sight?.ends.first?.name) } ?? "a setting"
            return ForwarderError(what, namespace, refusal.error)
        }
        if let failed { return ForwarderError(failed.summary, in: sights.first?.namespace, failed.error) }
        let other = reconciler.status().first { $0.state != .configured }
        return ForwarderError(
            other?.summary ?? "connection", in: sights.first?.namespace,
            other.map { $0.error.isEmpty ? $0.details.joined(separator: ", ") : $0.error } ?? "it is not complete")
    }

    private static func text(_ request: Request, _ interface: String?) -> String {
        let place = interface.map { " on interface \($0)" } ?? ""
        switch request {
        case .createLink(let attributes, _):
            if let vxlan = attributes.kind?[VXLANAttributes.self] {
                return "link \(attributes.name ?? "") with VNI \(vxlan.vni) to \(vxlan.remote.map { "\($0)" } ?? "")"
            }
            return "veth pair \(attributes.name ?? "") – \(attributes.peer?.name ?? "")"
        case .setLink: return "state, alias, MAC and MTU\(place)"
        case .addAddress(let address, _): return "address \(address.local)\(place)"
        case .deleteAddress(let address): return "removal of the address \(address.local)\(place)"
        case .addRoute(let route, _), .appendRoute(let route): return "route to \(route.destination)\(place)"
        case .deleteRoute(let route): return "removal of the route to \(route.destination)\(place)"
        case .addNeighbour(let neighbour, _): return "neighbour \(neighbour.destination)\(place)"
        case .deleteNeighbour(let neighbour): return "removal of the neighbour \(neighbour.destination)\(place)"
        case .addForwarding(let entry): return "forwarding entry \(entry.mac)\(place)"
        case .deleteForwarding(let entry): return "removal of the forwarding entry \(entry.mac)\(place)"
        case .addVLANs(let vlans, _, _): return "VLANs \(vlans.text)\(place)"
        case .deleteVLANs(let vlans, _, _): return "removal of the VLANs \(vlans.text)\(place)"
        case .addQdisc(let qdisc), .changeQdisc(let qdisc): return "qdisc \(qdisc.kind.name)\(place)"
        case .addNextHop(let hop, _): return "nexthop \(hop.id)\(place)"
        case .deleteNextHop(let hop): return "removal of the nexthop \(hop.id)\(place)"
        case .addFilter: return "limit of what arrives\(place)"
        case .deleteFilter: return "removal of the limit of what arrives\(place)"
        case .deleteQdisc(let qdisc): return "removal of the qdisc \(qdisc.kind.name)\(place)"
        case .addRule(let rule): return "policy rule from \(rule.from.map { "\($0)" } ?? "all")\(place)"
        case .deleteRule(let rule):
            return "removal of the policy rule from \(rule.from.map { "\($0)" } ?? "all")\(place)"
        case .addAltNames, .deleteAltNames: return "alternative names\(place)"
        case .deleteLink, .deleteLinkGroup: return "removal\(place)"
        case .restore: return "what others had\(place)"
        }
    }
}
