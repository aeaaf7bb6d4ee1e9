extension ConfigSet {
    /// The kernel stacks devices at most this deep (`MAX_NEST_DEV`), so a longer walk can only be a circle.
    private static var deepest: Int { 8 }

    /// Looks again at all that what changed may have to do with.
    mutating func checkRelations() {
        if relations.isFirst {
            let (interfaces, clients, routes, nextHops) = everything()
            for ref in interfaces { checkInterface(ref) }
            for ref in clients { checkClient(ref) }
            for place in relations.policies.keys { checkPolicies(place) }
            for ref in nextHops { checkNextHop(ref) }
            checkRoutes(routes)
        } else {
            let (interfaces, clients) = concerned()
            for ref in interfaces { checkInterface(ref) }
            for ref in clients { checkClient(ref) }
            for place in relations.changedPolicies { checkPolicies(place) }
            let nextHops = concernedNextHops()
            for ref in nextHops { checkNextHop(ref) }
            checkRoutes(concernedRoutes(nextHops))
        }
        relations.forgetChanges()
    }

    private func everything() -> (interfaces: [Ref], clients: [Ref], routes: [Ref], nextHops: [Ref]) {
        var (interfaces, clients, routes, nextHops): ([Ref], [Ref], [Ref], [Ref]) = ([], [], [], [])
        for (number, member) in members {
            for (index, item) in member.text.items.enumerated() {
                let ref = Ref(text: number, item: Int32(index))
                switch item.specification {
                case .interface: interfaces.append(ref)
                case .client: clients.append(ref)
                case .route: routes.append(ref)
                case .nextHop: nextHops.append(ref)
                case .endpoint, .ruleChain, .neighbour, .allocation, .namespace, .rule, .filterTable, .forwarding,
                    .qdisc, .service, nil:
                    break
                }
            }
        }
        return (interfaces, clients, routes, nextHops)
    }

    private func concerned() -> (interfaces: Set<Ref>, clients: Set<Ref>) {
        var interfaces = relations.changedValues.union(relations.unresolved)
        for name in relations.changedNames { addReferrers(of: name, to: &interfaces) }
        for host in relations.changedHosts { addGroup(relations.hosts[host], to: &interfaces) }
        for share in relations.changedShares { addGroup(relations.shares[share], to: &interfaces) }
        for port in relations.changedPorts {
            addGroup(relations.ports[port], to: &interfaces)
            addGroup(relations.referrers[port], to: &interfaces)
        }
        var clients: Set<Ref> = []
        for name in relations.changedClients { clients.formUnion(relations.clients[name]?.all ?? []) }
        if !relations.clients.isEmpty {
            for host in relations.changedHosts where host.namespace == .own {
                clients.formUnion(relations.clients[host.name]?.all ?? [])
            }
        }
        return (interfaces, clients)
    }

    private func addGroup(_ refs: Refs?, to concerned: inout Set<Ref>) {
        // One alone is concerned when it changed itself, which is known.
        guard let refs else { return }
        concerned.formUnion(refs.all)
    }

    /// Those that refer to a name, and what stands on those.
    private func addReferrers(of name: String, to concerned: inout Set<Ref>) {
        var names: Set<String> = [name]
        for _ in 0...Self.deepest {
            var next: Set<String> = []
            for name in names {
                for ref in relations.referrers[name]?.all ?? [] {
                    concerned.insert(ref)
                    guard let interface = interface(ref), interface.checkedLink.parent == name else { continue }
                    next.insert(interface.name)
                }
            }
            if next.isEmpty { return }
            names = next
        }
    }

    private mutating func checkInterface(_ ref: Ref) {
        guard let interface = interface(ref) else { return }
        let (problems, isUnresolved) = result(ref, interface)
        relations.setProblems(of: ref, to: problems)
        if isUnresolved {
            relations.unresolved.insert(ref)
        } else if !relations.unresolved.isEmpty {
            relations.unresolved.remove(ref)
        }
    }

    /// In a function of its own, as the check holds on to all that is here.
    private func result(_ ref: Ref, _ interface: InterfaceSpec) -> (problems: Relations.Problems, isUnresolved: Bool) {
        var check = InterfaceCheck(set: self, ref: ref, interface: interface)
        check.run()
        return (check.problems, check.isUnresolved)
    }

    private mutating func checkClient(_ ref: Ref) {
        guard case .client(let client)? = item(ref).specification else { return }
        var problems = Relations.Problems()
        let name = client.interfaceName
        let path: [PathPart] = ["interface_name"]
        if let earlier = first(relations.clients[name]), earlier != ref {
            // One client declared twice is reported as such.
            if item(earlier).key != item(ref).key {
                let other = item(earlier).value.name.inQuotes
                problems.add(
                    Relations.Problem(
                        path: path, value: name,
                        text: "is the interface of client \(other) already (\(place(earlier)))", other: earlier))
            }
        } else if let (made, word) = made(name) {
            problems.add(
                Relations.Problem(
                    path: path, value: name,
                    text: "is the name of a \(word), which the agent makes itself (\(place(made))); "
                        + "choose another one", other: made))
        }
        relations.setProblems(of: ref, to: problems)
    }

    /// A chain of the kernel's has one policy: the first that is declared counts.
    private mutating func checkPolicies(_ place: Relations.PolicyPlace) {
        let refs = sorted(relations.policies[place])
        guard let first = refs.first, case .ruleChain(let winner)? = item(first).specification else { return }
        relations.setProblems(of: first, to: nil)
        for ref in refs.dropFirst() {
            guard case .ruleChain(let chain)? = item(ref).specification else { continue }
            var problems = Relations.Problems()
            if let policy = chain.policy, let other = winner.policy, policy != other {
                let problem = Relations.Problem(
                    path: ["default_policy"], value: policy.word,
                    text:
                        "contradicts rule chain \(winner.name.inQuotes), which wants \(other.word) for \(chain.chain.word) "
                        + "(\(self.place(first))); a chain of the kernel's has one policy", other: first)
                problems.add(problem)
            }
            relations.setProblems(of: ref, to: problems)
        }
    }

    /// What the agent makes itself under a name in its own namespace.
    private func made(_ name: String) -> (Ref, String)? {
        for ref in sorted(relations.hosts[Relations.HostName(namespace: .own, name: name)]) {
            if let made = interface(ref), made.type != .existing { return (ref, made.word) }
        }
        return nil
    }
}
