public import Model
internal import Netlink
public import Reconciler

extension LinuxWorld {
    /// Takes in what is declared, so that values find each other by name. Returns them as the reconciler wants them.
    ///
    /// Call it with everything that is declared, whenever that changes, before the next plan.
    public func declare(_ items: [(key: Key, value: ModelValue)]) -> [(key: Key, desired: Desired<LinuxWorld>)] {
        interfaces.removeAll(keepingCapacity: true)
        allocations.removeAll(keepingCapacity: true)
        aliasNamespaces.removeAll(keepingCapacity: true)
        vethEnds.removeAll()
        subjects.removeAll()
        settingNamespaces.removeAll()
        var result: [(key: Key, desired: Desired<LinuxWorld>)] = []
        result.reserveCapacity(items.count)
        // Whoever watches is told again and again, mostly the same; who does not is told once.
        let before = declared
        declared = [:]
        if watcher != nil { declared.reserveCapacity(items.count) }
        for (key, value) in items {
            let desired: Desired<LinuxWorld>
            if let known = before[key], known.value == value {
                desired = known.desired
            } else {
                desired = otherKinds(key, value) ?? LinuxRegistry.desired(value, ownership: ownership)
            }
            if watcher != nil { declared[key] = (value, desired) }
            if case .value(let value) = desired { register(value) }
            result.append((key, desired))
        }
        // Routes and neighbours name interfaces, so those have to be known first.
        for (key, desired) in result {
            if case .value(let value) = desired { noteSubjects(of: value, key: key) }
        }
        return result
    }

    private func register(_ value: any Value<LinuxWorld>) {
        if let interface = value as? Interface {
            interfaces[interface.name] = interface
            aliasNamespaces[interface.alias] = interface.namespace
            if !interface.sysctls.isEmpty { settingNamespaces.insert(interface.namespace) }
            if case .veth = interface.kind { vethEnds[interface.namespace, default: 0] += 1 }
        } else if let allocation = value as? Allocation {
            allocations[allocation.id] = allocation
        }
    }

    /// Notes which keys have to do with which links, so that an event finds the values to look at.
    private func noteSubjects(of value: any Value<LinuxWorld>, key: Key) {
        switch value {
        case let interface as Interface:
            var keys = [key]
            for part in interface.derived {
                keys.append(part.key)
                if let membership = part.value as? Membership { note([part.key], on: membership.member, in: .own) }
            }
            note(keys, at: interface.hostName, in: interface.namespace)
        case let route as StaticRoute:
            for hop in route.hops { note([key], on: hop.interface, in: route.namespace) }
            if route.hops.isEmpty { note([key], at: "", in: route.namespace) }
        case let neighbour as PermanentNeighbour:
            note([key], on: neighbour.interface, in: neighbour.namespace)
        case let rule as PolicyRule:
            note([key], at: "", in: rule.namespace)
        case let namespace as NamedNamespace:
            note([key], at: "", in: .named(namespace.name))
        default: break
        }
    }

    /// `name` is a declared interface, or else a link of that kernel name in `namespace`.
    private func note(_ keys: [Key], on name: String, in namespace: NamespaceReference) {
        if let interface = interfaces[name] {
            note(keys, at: interface.hostName, in: interface.namespace)
        } else {
            note(keys, at: name, in: namespace)
        }
    }

    private func note(_ keys: [Key], at hostName: String, in namespace: NamespaceReference) {
        subjects[namespace, default: [:]][hostName, default: []] += keys
    }
}
