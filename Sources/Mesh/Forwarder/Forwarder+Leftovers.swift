internal import Glibc
public import Netlink
internal import NetworkTypes

extension Forwarder {
    /// The group that this forwarder's links had before version 1, when the range was that of agents. Only together with an
    /// alias of a connection it says whose a link is.
    private var formerGroup: UInt32 { Marks.Group.agent.of(group) }

    /// Whether the mark says that this forwarder made a link.
    func isMarked(_ link: Link) -> Bool {
        link.group == group || link.group == formerGroup && Self.connectionID(ofAlias: link.alias) != nil
    }

    /// Removes the links that an earlier process made and that no connection has now.
    ///
    /// To be called when everybody who has a connection must have asked for it again. Namespaces that nothing leads to any
    /// more are not found; the kernel removes those with what is in them.
    ///
    /// - Parameter namespaces: Where to look; those with a name or a process unless given.
    /// - Returns: the ids of the connections whose links were removed.
    @discardableResult
    public func removeLeftovers(in namespaces: [NetworkNamespace]? = nil) -> Set<String> {
        var removed: Set<String> = []
        kept = [:]
        for namespace in namespaces ?? Self.namespacesOfHost() {
            defer { forgetSocket(namespace) }
            guard let links = try? socket(namespace).dump(.links) else { continue }
            var sight = Sight(namespace: namespace, ownership: Self.ownership(of: "", group: group))
            for case .link(let link) in links where isMarked(link) && !isInUse(link, namespace) {
                sight.links.append(link)
                sight.nobodys.insert(link.index)
            }
            if sight.links.isEmpty { continue }
            sight.hasRules = true
            guard let outcome = try? discard(sight), outcome.failure == nil else { continue }
            removed.formUnion(sight.links.compactMap { Self.connectionID(ofAlias: $0.alias) })
        }
        measures?.noteCleaning(removed: removed.count)
        return removed
    }

    /// The name of the interface that an earlier process made at the endpoint of a connection; nil when there is none.
    /// An endpoint that generates names keeps its interface only if it gets this name.
    ///
    /// The first call looks at all namespaces with a name or a process.
    func keptName(of id: String) -> String? {
        if let kept { return kept[id] }
        var names: [String: String] = [:]
        // Who has a user namespace of his own can mark what he likes: of two names neither is believed.
        var ambiguous: Set<String> = []
        for namespace in Self.namespacesOfHost() {
            defer { forgetSocket(namespace) }
            guard let links = try? socket(namespace).dump(.links) else { continue }
            for case .link(let link) in links where isMarked(link) {
                guard let id = Self.connectionID(ofAlias: link.alias), link.alias != Self.alias(id, .client) else {
                    continue
                }
                if let other = names.updateValue(link.name, forKey: id), other != link.name { ambiguous.insert(id) }
            }
        }
        for id in ambiguous { names[id] = nil }
        kept = names
        return names[id]
    }

    /// Each namespace that has a name in the usual place or a process, once.
    private static func namespacesOfHost() -> [NetworkNamespace] {
        let directory = NetworkNamespace.standardDirectory
        let named = ((try? NetworkNamespace.list()) ?? []).map { "\(directory)/\($0)" }
        // Most processes share a namespace: it is opened only once.
        var seen: Set<NetworkNamespace.Identity> = []
        return (named + NetworkNamespace.pathsOfProcesses).compactMap { path in
            guard let identity = NetworkNamespace.identity(path: path), seen.insert(identity).inserted else {
                return nil
            }
            return try? NetworkNamespace(path: path)
        }
    }
}
