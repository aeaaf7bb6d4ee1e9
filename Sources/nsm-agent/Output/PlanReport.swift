internal import LinuxKinds
internal import Model
internal import Reconciler

/// A plan for people and programs.
struct PlanReport {
    typealias Step = Plan<LinuxOperation>.Step
    typealias Waiting = Plan<LinuxOperation>.Waiting

    /// A declared value with what happens to it and to what is derived from it.
    private struct Group {
        var key: Key
        var summary: String
        var step: Step?
        var parts: [Step] = []
    }

    private let plan: Plan<LinuxOperation>
    private let kinds: [Key: String]
    private let bases: [Key: Key]
    private let groups: [Group]

    /// - Parameter values: the values that are declared, for what belongs together.
    init(_ plan: Plan<LinuxOperation>, values: [ValueStatus]) {
        self.plan = plan
        let known = Dictionary(values.map { ($0.key, $0) }) { first, _ in first }
        var bases: [Key: Key] = [:]
        var groups: [Group] = []
        var places: [Key: Int] = [:]
        for step in plan.steps {
            let base = known[step.key]?.baseKey
            let key = base ?? step.key
            bases[step.key] = base
            let place = places[key] ?? groups.count
            if place == groups.count {
                groups.append(Group(key: key, summary: known[key]?.summary ?? step.summary))
                places[key] = place
            }
            if base != nil {
                groups[place].parts.append(step)
            } else if groups[place].step == nil {
                groups[place].step = step
            } else {
                groups.append(Group(key: key, summary: step.summary, step: step))
            }
        }
        kinds = known.mapValues(\.kind)
        self.bases = bases
        self.groups = groups
    }

    /// Whether something would be done.
    var hasChanges: Bool { !plan.isEmpty }

    // MARK: - For people

    func text(_ terminal: Terminal) -> String {
        var text = ""
        for group in groups {
            if let step = group.step {
                text += line(step, indent: "", terminal)
            } else {
                text += terminal.paint("  \(name(group.summary, key: group.key))", .dim) + "\n"
            }
            for part in group.parts { text += line(part, indent: "    ", terminal) }
        }
        for loss in plan.losses { text += terminal.paint("! \(loss)", .red) + "\n" }
        text += list("Pending:", plan.waiting, .yellow, terminal)
        text += list("Not possible:", plan.blocked, .red, terminal)
        if !text.isEmpty { text += "\n" }
        return text + summary + "\n"
    }

    /// `Plan: 5 to create, 1 to change, …`
    var summary: String {
        if plan.isEmpty, plan.waiting.isEmpty, plan.blocked.isEmpty {
            return "Nothing to do: \(Text.count(plan.inPlace, "value")) in place."
        }
        var parts = [
            "\(count(.create)) to create", "\(count(.update)) to change", "\(count(.recreate)) to recreate",
            "\(count(.delete)) to delete", "\(plan.inPlace) in place",
        ]
        if !plan.waiting.isEmpty { parts.append("\(plan.waiting.count) pending") }
        if !plan.blocked.isEmpty { parts.append("\(plan.blocked.count) not possible") }
        return "Plan: \(parts.joined(separator: ", "))."
    }

    private func count(_ verb: Plan<LinuxOperation>.Verb) -> Int { plan.steps.count { $0.verb == verb } }

    private func line(_ step: Step, indent: String, _ terminal: Terminal) -> String {
        let colour: Terminal.Colour =
            switch step.verb {
            case .create: .green
            case .update: .yellow
            case .recreate: .magenta
            case .delete: .red
            }
        let line = indent + terminal.paint("\(step.verb.sign) \(name(step.summary, key: step.key))", colour)
        let lines = step.differences.filter(\.isLine).map { difference in
            indent + "      "
                + terminal.paint(difference.description, difference.new.isEmpty ? .red : .green) + "\n"
        }
        return self.line(line, step, indent: indent, terminal) + lines.joined()
    }

    /// A line with what differs in single attributes.
    private func line(_ start: String, _ step: Step, indent: String, _ terminal: Terminal) -> String {
        var line = start
        let differences = step.differences.filter { !$0.isLine }.map(\.description).joined(separator: ", ")
        guard !differences.isEmpty else { return line + "\n" }
        line += "  "
        guard let width = terminal.width else { return line + differences + "\n" }
        let used = indent.count + 4 + name(step.summary, key: step.key).count
        if used + differences.count <= width { return line + differences + "\n" }
        let margin = indent + "      "
        for part in Text.wrap(differences, width: max(width - margin.count, 20)) { line += "\n" + margin + part }
        return line + "\n"
    }

    private func list(_ title: String, _ items: [Waiting], _ colour: Terminal.Colour, _ terminal: Terminal) -> String {
        if items.isEmpty { return "" }
        var text = "\n\(title)\n"
        for item in items {
            let reasons = item.reasons.joined(separator: ", ")
            text += "  \(terminal.paint(name(item.summary, key: item.key), colour))"
            text += reasons.isEmpty ? "\n" : ": \(reasons)\n"
        }
        return text
    }

    /// `interface veth1: veth h0 in host0`: the kind, the name where that is another, and the summary.
    private func name(_ summary: String, key: Key) -> String {
        let model = ModelRegistry.all.first { key.hasPrefix($0.keyPrefix) }
        guard let kind = kinds[key] ?? model?.kind.word else { return summary.isEmpty ? key : summary }
        if summary.isEmpty { return "\(kind) \(key)" }
        if let model, model.kind == .interface { return "\(kind) \(key.dropFirst(model.keyPrefix.count)): \(summary)" }
        return summary.hasPrefix(kind) ? summary : "\(kind) \(summary)"
    }

    // MARK: - For programs

    var tree: Tree {
        let steps = plan.steps.map { step -> Tree in
            var pairs: [(String, Tree)] = [
                ("action", .string(step.verb.rawValue)), ("key", .string(step.key)), ("summary", .string(step.summary)),
            ]
            if let base = bases[step.key] { pairs.append(("partOf", .string(base))) }
            if !step.differences.isEmpty {
                pairs.append(
                    (
                        "differences",
                        .sequence(
                            step.differences.map {
                                ["attribute": .string($0.attribute), "old": .string($0.old), "new": .string($0.new)]
                            })
                    ))
            }
            return .mapping(pairs)
        }
        return [
            "steps": .sequence(steps), "losses": .texts(plan.losses), "pending": Self.tree(plan.waiting),
            "notPossible": Self.tree(plan.blocked),
            "summary": [
                "create": .count(count(.create)), "change": .count(count(.update)),
                "recreate": .count(count(.recreate)), "delete": .count(count(.delete)),
                "inPlace": .count(plan.inPlace), "pending": .count(plan.waiting.count),
                "notPossible": .count(plan.blocked.count),
            ],
        ]
    }

    private static func tree(_ items: [Waiting]) -> Tree {
        .sequence(
            items.map {
                ["key": .string($0.key), "summary": .string($0.summary), "reasons": .texts($0.reasons)]
            })
    }
}

extension ModelDescription.Kind {
    /// The word for what the configuration no longer says.
    fileprivate var word: String {
        switch self {
        case .interface: "interface"
        case .arp: "neighbour"
        case .route: "route"
        case .ruleChain: "rule chain"
        case .allocation: "allocation"
        case .client: "NSM client"
        case .endpoint: "NSM endpoint"
        case .service: "NSM service"
        case .namespace: "namespace"
        case .rule: "rule"
        case .filterTable: "nftables"
        case .forwarding: "forwarding entry"
        case .nextHop: "nexthop"
        case .qdisc: "qdisc"
        }
    }
}
