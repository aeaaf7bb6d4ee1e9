internal import Netlink
internal import Reconciler

/// Policy rules with our protocol number; those of others as far as they stand for a wanted one.
enum RuleClass: KernelClass {
    static func dump(
        _ state: NamespaceState, _ socket: RouteSocket, _ world: LinuxWorld, into dump: inout NamespaceDump
    ) throws(KernelError) {
        dump.rules = try socket.rules()
    }

    static func takeIn(
        _ dump: NamespaceDump, _ state: NamespaceState, former: NamespaceState.Contents, _ world: LinuxWorld
    ) {
        for rule in dump.rules {
            if rule.proto == world.ownership.proto {
                state.rules[rule] = former.rules[rule] ?? Claim()
            } else {
                noteForeign(rule, in: state, world)
            }
        }
    }

    // MARK: - Changes

    /// A rule is there.
    static func put(_ rule: Rule, in state: NamespaceState, _ world: LinuxWorld) {
        guard rule.proto == world.ownership.proto else {
            noteForeign(rule, in: state, world)
            return
        }
        switch world.cause {
        case .planned:
            world.journals.remember(rule: rule, in: state)
            state.rules[rule] = world.plannedClaim
        case .told:
            if state.rules[rule] != nil { return }
            state.rules[rule] = Claim()
            world.concern(rule, in: state)
        }
    }

    /// A rule is gone.
    static func remove(_ rule: Rule, in state: NamespaceState, _ world: LinuxWorld) {
        if rule.proto != world.ownership.proto {
            // It may have stood for one that is wanted.
            if state.foreignRules.remove(rule.asOurs(world)) != nil { world.concern(rule.asOurs(world), in: state) }
            return
        }
        world.journals.remember(rule: rule, in: state)
        if state.rules.removeValue(forKey: rule) != nil { world.concern(rule, in: state) }
    }

    private static func noteForeign(_ rule: Rule, in state: NamespaceState, _ world: LinuxWorld) {
        // Rules that are always there (`RTPROT_KERNEL`) have no owner. A dump is read without them.
        if rule.proto != 2 { state.foreignRules.insert(rule.asOurs(world)) }
    }

    // MARK: - Leftovers

    static func appendLeftovers(_ turn: Turn, in states: [NamespaceState], to list: inout Leftovers) {
        if turn != .last { return }
        for state in states where !list.goes(state) {
            for rule in state.rules.keys { append(rule, in: state, to: &list) }
        }
    }

    static func appendLeftovers(_ turn: Turn, at places: [Place], to list: inout Leftovers) {
        if turn != .last { return }
        for place in places {
            if case .rule(let rule) = place.object, let state = list.world.states[place.namespace], !list.goes(state) {
                append(rule, in: state, to: &list)
            }
        }
    }

    private static func append(_ rule: Rule, in state: NamespaceState, to list: inout Leftovers) {
        guard let claim = state.rules[rule], !list.world.isClaimed(claim) else { return }
        let place = state.reference.suffix
        list.add(
            Place(state, .rule(rule)), key: RuleKeys.prefix + "\(rule.priority)\(place)",
            "rule \(rule.priority)\(place)", .deleteRule(rule), in: state)
    }

    // MARK: - The way back

    static func restore(_ step: Restoration.Step, _ restoration: inout Restoration) {
        if step != .mend { return }
        for (state, part) in restoration.parts {
            for (rule, wasThere) in part.rules where wasThere != (state.rules[rule] != nil) {
                restoration.add(.request(wasThere ? .addRule(rule) : .deleteRule(rule)), in: state.id)
            }
        }
    }
}

extension Rule {
    /// The same rule, as if we had made it.
    fileprivate func asOurs(_ world: LinuxWorld) -> Rule {
        var rule = self
        rule.proto = world.ownership.proto
        return rule
    }
}
