internal import Agent
internal import Northbound
internal import Reconciler

/// The network as a picture that graphviz draws: a box for each namespace, interfaces with their addresses, bridges with their
/// ports, a pair as one line.
struct TopologyDrawing {
    private struct Interface {
        var key: String
        var value: Nsmagent_Control_Value
        var addresses: [String] = []
    }

    private var interfaces: [String: Interface] = [:]
    /// Connections to network services, and what is offered.
    private var services: [Nsmagent_Control_Value] = []
    /// Memberships with what they are a part of, and what values need.
    private var memberships: [String: String] = [:]
    private var needs: [String: [String]] = [:]

    init(_ status: Nsmagent_Control_StatusResponse, _ graph: Nsmagent_Control_GraphResponse) {
        for value in status.values {
            if value.kind == "membership" { memberships[value.status.key] = value.baseKey }
            if value.kind == "interface" {
                interfaces[value.status.key] = Interface(key: value.status.key, value: value)
            }
            if value.kind.hasPrefix("NSM ") { services.append(value) }
        }
        for value in status.values where value.kind == "address" {
            let text = value.summary.split(separator: " ").first.map { String($0) } ?? value.summary
            interfaces[value.baseKey]?.addresses.append(text)
        }
        for edge in graph.edges where !edge.derived { needs[edge.from, default: []].append(edge.to) }
    }

    /// For graphviz.
    var dot: String {
        var text = "graph nsmagent {\n  graph [fontname=\"Helvetica\", rankdir=LR, compound=true, nodesep=0.3];\n"
        text +=
            "  node [shape=box, style=filled, fontname=\"Helvetica\", fontsize=10];\n  edge [fontname=\"Helvetica\", fontsize=9];\n"
        let all = interfaces.values.sorted { $0.key < $1.key }
        let numbers = Dictionary(uniqueKeysWithValues: all.enumerated().map { ($1.key, $0) })
        let namespaces = Dictionary(grouping: all) { $0.value.namespace }
        for (number, name) in namespaces.keys.sorted().enumerated() {
            let title = name.isEmpty ? "the agent's own namespace" : name
            text +=
                "  subgraph cluster\(number) {\n    label=\"\(GraphDrawing.dotText(title))\"; style=\"rounded\"; color=\"#607d8b\";\n"
            for interface in namespaces[name] ?? [] {
                text += "    n\(numbers[interface.key] ?? 0) \(node(interface));\n"
            }
            text += "  }\n"
        }
        for (number, service) in services.enumerated() {
            text += "  s\(number) [shape=oval, \(Self.style(ValueState(service.status.state)))"
            text += ", label=\"\(GraphDrawing.dotText(service.kind + "\n" + service.summary))\"];\n"
        }
        for line in lines(numbers) { text += "  \(line);\n" }
        return text + Self.legend + "}\n"
    }

    private func node(_ interface: Interface) -> String {
        let state = ValueState(interface.value.status.state)
        var words = [interface.value.summary]
        let end = " in \(interface.value.namespace)"
        if words[0].hasSuffix(end) { words[0].removeLast(end.count) }
        words += interface.addresses
        if !HostNetwork.isGood(state) { words.append(state.name) }
        let shape = interface.value.summary.hasPrefix("bridge ") ? "shape=box3d, " : ""
        return "[\(shape)\(Self.style(state)), label=\"\(GraphDrawing.dotText(words.joined(separator: "\n")))\"]"
    }

    /// Pairs, what stands on what, and what is a port of what, each once.
    private func lines(_ numbers: [String: Int]) -> [String] {
        var lines: Set<String> = []
        for (key, number) in numbers {
            for other in needs[key] ?? [] {
                guard let target = numbers[other], target != number else { continue }
                let isPair = (needs[other] ?? []).contains(key)
                if isPair, target < number { continue }
                lines.insert("n\(number) -- n\(target)" + (isPair ? " [penwidth=2]" : " [style=dashed, label=\"on\"]"))
            }
        }
        // A membership is a part of one of both, and needs the other one.
        for (part, base) in memberships {
            guard let number = numbers[base] else { continue }
            for other in needs[part] ?? [] {
                guard let target = numbers[other], target != number else { continue }
                lines.insert("n\(number) -- n\(target) [label=\"port\"]")
            }
        }
        return lines.sorted()
    }

    private static func style(_ state: ValueState) -> String {
        let (fill, border) = GraphDrawing.colours(state)
        let line =
            switch state {
            case .configured, .obtained: "filled"
            case .pending, .discovered: "filled,dashed"
            case .retrying, .failed, .missing, .invalid, .unimplemented: "filled,bold"
            case .nonexistent, .removed: "filled,dotted"
            }
        return "style=\"\(line)\", fillcolor=\"\(fill)\", color=\"\(border)\""
    }

    /// What colours and lines mean.
    private static var legend: String {
        let states: [ValueState] = [.configured, .pending, .retrying, .failed]
        var text = "  subgraph clusterLegend {\n    label=\"legend\"; style=\"rounded,dotted\"; fontsize=9;\n"
        for (number, state) in states.enumerated() {
            text += "    l\(number) [\(style(state)), fontsize=8, label=\"\(state.name)\"];\n"
        }
        return text + "    l0 -- l1 [style=invis]; l1 -- l2 [style=invis]; l2 -- l3 [style=invis];\n  }\n"
    }
}
