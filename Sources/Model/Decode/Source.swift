internal import YAML

/// A parsed text and where its lines are in a file.
struct Source: Sendable {
    /// How positions in the text become positions in the file.
    enum Origin: Sendable {
        /// The text is the file.
        case file
        /// The text is a block inside the file: so many lines down and columns to the right.
        case block(lines: Int, columns: Int)
        /// The text is a scalar whose lines can't be told apart in the file.
        case scalar(line: Int, column: Int)
        /// The text is an object that a program wrote: places are fields, such as `spec.microservice`.
        case fields

        /// Tells one kind of origin from the others.
        var number: Int {
            switch self {
            case .file: 0
            case .block: 1
            case .scalar: 2
            case .fields: 3
            }
        }
    }

    var file: String
    var tree: YAMLTree
    var origin: Origin = .file

    /// Where a node is in the file.
    func position(of node: Int) -> SourcePosition {
        if case .fields = origin { return SourcePosition(file: fieldName(node), line: 0, column: 0) }
        return position(line: Int(tree[node].line), column: Int(tree[node].column))
    }

    /// `NAME: spec.microservice`: what stands for a field of an object.
    func fieldName(_ node: Int) -> String {
        let path = SecretText.hidden(in: tree.path(to: node))
        return path.isEmpty ? file : "\(file): \(path)"
    }

    /// Where a place of the text is in the file.
    func position(line: Int, column: Int) -> SourcePosition {
        switch origin {
        case .file: SourcePosition(file: file, line: line, column: column)
        case .block(let lines, let columns):
            SourcePosition(file: file, line: line + lines, column: column + columns)
        case .scalar(let line, let column): SourcePosition(file: file, line: line, column: column)
        case .fields: SourcePosition(file: file, line: 0, column: 0)
        }
    }

    /// The syntax errors, as mistakes of the file.
    var mistakes: [Mistake] {
        tree.mistakes.map { Mistake($0.text, at: position(line: $0.line, column: $0.column)) }
    }
}

/// `linux.interfaces.interface 'veth1'`: what messages about a value begin with.
enum Label {
    /// From the value.
    static func of(_ value: ModelValue) -> String {
        switch value {
        case .allocation(let message): join(value.model, slashed(message.networkName, message.interfaceName))
        case .route(let message) where !message.dstNetwork.isReference && IPText(message.dstNetwork).prefix == nil:
            join(value.model, slashed(message.dstNetwork, message.outgoingInterface))
        case .arp(let message): join(value.model, slashed(message.interface, message.ipAddress))
        case .interface, .route, .ruleChain, .client, .endpoint, .service, .namespace, .rule, .filterTable, .forwarding,
            .qdisc, .nextHop:
            join(value.model, value.name)
        }
    }

    /// From its text, when it can't be decoded.
    static func of(_ kind: ModelDescription.Kind, _ source: Source, _ node: Int) -> String {
        join(ModelRegistry.model(kind), name(of: kind, source, node))
    }

    /// The name that a value's text gives it, whatever else is wrong with it.
    static func name(of kind: ModelDescription.Kind, _ source: Source, _ node: Int) -> String {
        let message = Schema.modelMessages[kind.rawValue]
        func text(_ name: String) -> String {
            guard source.tree.kind(of: node) == .mapping else { return "" }
            for (key, value) in source.tree.pairs(of: node) {
                guard let field = Schema.plain.field(source.tree, key: key, in: message),
                    Schema.plain.names[field].original == name
                else { continue }
                return source.tree.kind(of: value).isScalar ? source.tree.string(of: value) : ""
            }
            return ""
        }
        let parts =
            switch kind {
            case .interface, .ruleChain, .client, .service, .namespace, .rule, .filterTable, .nextHop: [text("name")]
            case .arp: [text("interface"), text("ip_address")]
            case .forwarding: [text("interface"), text("mac")]
            case .qdisc: [text("interface")]
            case .route: [text("dst_network"), text("outgoing_interface")]
            case .allocation: [text("network_name"), text("interface_name")]
            case .endpoint: [text("network_service")]
            }
        return slashed(parts)
    }

    private static func slashed(_ parts: String...) -> String { slashed(parts) }

    private static func slashed(_ parts: [String]) -> String { parts.filter { !$0.isEmpty }.joined(separator: "/") }

    private static func join(_ model: ModelDescription, _ name: String) -> String {
        name.isEmpty ? model.name : "\(model.name) \(name.inQuotes)"
    }
}
