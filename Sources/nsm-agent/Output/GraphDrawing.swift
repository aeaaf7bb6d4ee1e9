internal import Northbound
internal import Reconciler

/// The dependency graph as text that other programs draw.
struct GraphDrawing {
    let graph: Nsmagent_Control_GraphResponse

    private var numbers: [String: Int] {
        Dictionary(graph.nodes.enumerated().map { ($1.key, $0) }) { first, _ in first }
    }

    /// Fill and border of a node.
    static func colours(_ state: ValueState) -> (fill: String, border: String) {
        switch state {
        case .configured, .obtained: ("#c8e6c9", "#2e7d32")
        case .pending, .discovered: ("#fff3c4", "#b7791f")
        case .retrying: ("#ffe0b2", "#e65100")
        case .failed, .missing: ("#ffcdd2", "#c62828")
        case .invalid, .unimplemented: ("#e1bee7", "#6a1b9a")
        case .nonexistent, .removed: ("#f5f5f5", "#9e9e9e")
        }
    }

    /// For graphviz. Dashed: part of; red: not met.
    var dot: String {
        var text = "digraph nsmagent {\n  rankdir=LR;\n"
        text += "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=10];\n"
        text += "  edge [arrowsize=0.7];\n"
        for (number, node) in graph.nodes.enumerated() {
            let state = ValueState(node.state)
            let (fill, border) = Self.colours(state)
            text += "  n\(number) [label=\"\(Self.dotText(label(node)))\\n\(Self.stateName(state))\","
            text += " tooltip=\"\(Self.dotText(node.key))\", fillcolor=\"\(fill)\", color=\"\(border)\"];\n"
        }
        let numbers = numbers
        for edge in graph.edges {
            guard let from = numbers[edge.from], let to = numbers[edge.to] else { continue }
            let style = edge.derived ? " [style=dashed, arrowhead=none]" : edge.unmet ? " [color=\"#c62828\"]" : ""
            text += "  n\(from) -> n\(to)\(style);\n"
        }
        return text + "}\n"
    }

    /// For Mermaid, as Markdown renderers know it.
    var mermaid: String {
        var text = "flowchart LR\n"
        var members: [ValueState: [Int]] = [:]
        for (number, node) in graph.nodes.enumerated() {
            let state = ValueState(node.state)
            members[state, default: []].append(number)
            text += "  n\(number)[\"\(Self.mermaidText(label(node)))<br/>\(Self.stateName(state))\"]\n"
        }
        let numbers = numbers
        for edge in graph.edges {
            guard let from = numbers[edge.from], let to = numbers[edge.to] else { continue }
            text += "  n\(from) \(edge.derived ? "-.-" : edge.unmet ? "--x" : "-->") n\(to)\n"
        }
        for state in ValueState.allCases {
            guard let numbers = members[state] else { continue }
            let (fill, border) = Self.colours(state)
            let name = state.name.lowercased()
            text += "  classDef \(name) fill:\(fill),stroke:\(border),color:#000\n"
            text += "  class \(numbers.map { "n\($0)" }.joined(separator: ",")) \(name)\n"
        }
        return text
    }

    private func label(_ node: Nsmagent_Control_GraphNode) -> String { node.label.isEmpty ? node.key : node.label }

    /// A node that is not a value has no state: another value waits for it.
    private static func stateName(_ state: ValueState) -> String { state == .nonexistent ? "" : state.name }

    static func dotText(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\"", "\\": result += "\\\(character)"
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
        return result
    }

    private static func mermaidText(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\"": result += "#quot;"
            case "<": result += "#lt;"
            case ">": result += "#gt;"
            case "#": result += "#35;"
            default: result.append(character)
            }
        }
        return result
    }
}
