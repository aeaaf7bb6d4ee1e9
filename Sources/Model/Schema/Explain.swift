/// Documentation of the models, taken from the comments of the .proto files.
public enum Explain {
    /// A path that leads nowhere.
    public struct UnknownPath: Error, CustomStringConvertible, Sendable {
        /// What is unknown, and what is near to it.
        public let description: String
    }

    private static let schema = Schema.documented

    /// Text about what a path names: `linux.l3.route`, `linux.l3.route.metric`, `linuxConfig.routes.nextHops`,
    /// or a message by its name. Without a path: about all models.
    ///
    /// - Parameter names: names of this host that may stand for numbers.
    public static func text(for path: String?, names: NameResolver = .none) throws -> String {
        guard let path, !path.isEmpty else { return overview }
        if ModelRegistry.all.contains(where: { $0.group == path }) { return group(path) }
        if ["cnfconfiguration", "cnfconfigurations", "cnfc"].contains(path.lowercased()) { return resource }
        let (start, rest) = try resolve(path)
        return try text(message: start.message, model: start.model, path: start.name, rest[...], names)
    }

    /// A file to start from, with values of the model that a path begins with.
    public static func example(for path: String) throws -> String {
        guard let model = try resolve(path).0.model else {
            throw UnknownPath(description: "\(path.inQuotes) is not a model; 'explain' alone lists them")
        }
        return Examples.text(model.kind)
    }

    /// What a path can be that begins so: models, and the fields of the model or field that it names.
    public static func paths(_ prefix: String) -> [String] {
        let names = ModelRegistry.all.flatMap { model in
            [model.name, model.group] + model.name.split(separator: ".").suffix(1).map { String($0) }
                + [shortNames[model.kind]].compactMap { $0 }
        }
        guard let dot = prefix.lastIndex(of: "."), let (start, rest) = try? resolve(String(prefix[..<dot])) else {
            return names + ["CNFConfiguration"]
        }
        var message = start.message
        for name in rest {
            guard let field = schema.field(named: name, in: message),
                case .message(let inner) = schema.fields[field].type
            else { return names }
            message = inner
        }
        return names + schema.messages[message].fields.map { "\(prefix[...dot])\(schema.names[$0].json)" }
    }

    private struct Start {
        var message: Int
        var model: ModelDescription?
        var name: String
    }

    /// Finds the message a path begins with, and the fields that follow.
    private static func resolve(_ path: String) throws -> (Start, [String]) {
        for model in ModelRegistry.all {
            let names = [
                model.name, "\(model.group).\(model.list)", "\(model.group).\(model.otherList)", model.list,
                String(model.name.split(separator: ".").last ?? ""), shortNames[model.kind] ?? model.name,
            ]
            for name in names where path == name || path.hasPrefix(name + ".") {
                let rest = path.dropFirst(name.count + 1).split(separator: ".").map(String.init)
                let message = schema.index(ofMessage: model.protoMessage) ?? 0
                return (Start(message: message, model: model, name: name), rest)
            }
        }
        let parts = path.split(separator: ".").map(String.init)
        if let message = schema.index(ofMessage: path) {
            return (Start(message: message, model: nil, name: schema.messages[message].name), [])
        }
        if let first = parts.first, let message = schema.messages.firstIndex(where: { $0.name == first && isShown($0) })
        {
            return (Start(message: message, model: nil, name: first), Array(parts.dropFirst()))
        }
        let names = ModelRegistry.all.flatMap { model in
            [model.name, "\(model.group).\(model.list)", model.group, model.list]
                + model.name.split(separator: ".").suffix(1).map { String($0) }
        }
        let hint = Suggestion.phrase(for: path, among: names)
        throw UnknownPath(
            description:
                "there is no model or message \(path.inQuotes)\(hint.isEmpty ? "; 'explain' alone lists them" : hint)")
    }

    /// What ip(8) calls what models have another word for.
    private static let shortNames: [ModelDescription.Kind: String] = [
        .arp: "neighbour", .filterTable: "ruleset", .allocation: "allocation",
    ]

    private static func isShown(_ message: MessageSchema) -> Bool {
        !message.isMapEntry && message.fullName.hasPrefix("ligato.linux.") || message.fullName.hasPrefix("upnp.")
            || message.fullName.hasPrefix("nsmagent.") || message.fullName.hasPrefix("ligato.netalloc.")
    }

    private static func text(
        message: Int, model: ModelDescription?, path: String, _ rest: ArraySlice<String>, _ resolver: NameResolver
    ) throws -> String {
        guard let name = rest.first else { return describe(message: message, model: model, path: path) }
        guard let field = schema.field(named: name, in: message) else {
            let names = schema.messages[message].fields.map { schema.names[$0].json }
            let hint = Suggestion.phrase(for: name, among: names)
            throw UnknownPath(
                description: "unknown field \(name.inQuotes) in \(schema.messages[message].name)"
                    + (hint.isEmpty ? "; it has \(names.joined(separator: ", "))" : hint))
        }
        let path = "\(path).\(schema.names[field].json)"
        if case .message(let inner) = schema.fields[field].type, hasFields(schema.fields[field].cardinality) {
            if rest.count > 1 { return try text(message: inner, model: nil, path: path, rest.dropFirst(), resolver) }
            return describe(field: field, path: path, resolver) + "\n" + fieldList(inner)
        }
        guard rest.count == 1 else { throw UnknownPath(description: "\(path) has no fields") }
        return describe(field: field, path: path, resolver)
    }

    private static func hasFields(_ cardinality: Cardinality) -> Bool {
        switch cardinality {
        case .single, .optional, .repeated: true
        case .list, .map: false
        }
    }
}

extension Explain {
    private static let resource = """
        CNFConfiguration  (pantheon.tech/v1, short name cnfc)
            A Kubernetes resource with configuration for one or more microservices. 'nsm-agent schema --crd' writes its definition.

        FIELDS
          spec.microservice
              The agent's label that the configuration is for, such as the name of a pod.
          spec.linuxConfig, spec.netallocConfig, spec.cnfConfig
              What stands under these words in a configuration file.
          spec.configItems
              Single values as text:
                module, type   such as linux.interfaces and interface
                microservice   instead of that of spec
                data           the value, as a YAML text
          status.conditions
              Accepted: it was understood. Applied: it was handed on. Ready: all its values are configured.
          status.agents
              What each agent says of its values.

        """

    private static var overview: String {
        var text = "Models: what can be written in a configuration file.\n\n"
        let width = ModelRegistry.all.map(\.name.count).max() ?? 0
        for model in ModelRegistry.all {
            let message = schema.index(ofMessage: model.protoMessage).map { schema.messages[$0].comment } ?? ""
            text += "  \(pad(model.name, width))  \(firstSentence(message))\n"
            text += "  \(pad("", width))  \(model.group).\(model.list)\n"
        }
        return text
            + "\nMore: nsm-agent explain MODEL[.FIELD…], also by a short name such as route, and explain MODEL --example\n"
    }

    private static func group(_ name: String) -> String {
        var text = "\(name): a group of a configuration file\n\nLISTS\n"
        for model in ModelRegistry.all where model.group == name {
            let message = schema.index(ofMessage: model.protoMessage).map { schema.messages[$0].comment } ?? ""
            text += "  \(model.list)  (\(model.name))\n      \(firstSentence(message))\n"
        }
        return text
    }

    private static func describe(message: Int, model: ModelDescription?, path: String) -> String {
        var text = "\(path)\n"
        if !schema.messages[message].comment.isEmpty { text += wrap(schema.messages[message].comment, indent: 4) }
        if let model {
            text +=
                "\n    in files  \(model.group).\(model.list)\n    key       \(model.keyPrefix)\(keyEnd(model.kind))\n"
            text += "    message   \(model.protoMessage)\n"
        }
        return text + "\n" + fieldList(message)
    }

    /// What follows the prefix in a key.
    private static func keyEnd(_ kind: ModelDescription.Kind) -> String {
        switch kind {
        case .interface, .ruleChain, .client, .service, .namespace, .rule, .filterTable, .nextHop: "NAME"
        case .arp: "INTERFACE/ADDRESS"
        case .forwarding: "INTERFACE/MAC[/vlan/VLAN][/dst[/ADDRESS[/port/PORT][/vni/VNI]]][/namespace/TYPE/REFERENCE]"
        case .qdisc: "INTERFACE/root[/namespace/TYPE/REFERENCE], or ingress in the place of root"
        case .route: "NETWORK/LENGTH/INTERFACE[/table/TABLE][/namespace/TYPE/REFERENCE][/metric/METRIC]"
        case .allocation: "network/NETWORK/interface/INTERFACE"
        case .endpoint: "NETWORK_SERVICE"
        }
    }

    private static func fieldList(_ message: Int) -> String {
        var text = "FIELDS\n"
        for field in schema.messages[message].fields {
            text += "  \(spelling(field))  <\(typeText(field))>\n"
            if !schema.names[field].comment.isEmpty { text += wrap(schema.names[field].comment, indent: 6) }
        }
        for (index, oneof) in schema.messages[message].oneofs.enumerated() {
            let members = schema.messages[message].fields.filter { schema.fields[$0].oneof == index }
            // An optional field is a group of its own in the descriptor, without members here.
            if members.isEmpty { continue }
            let names = members.map { schema.names[$0].json }.joined(separator: ", ")
            text += "\n" + wrap("Only one of the group '\(oneof)' can be set: \(names).", indent: 2)
        }
        return text
    }

    private static func describe(field: Int, path: String, _ resolver: NameResolver) -> String {
        let shape = schema.fields[field]
        var text = "\(path)  <\(typeText(field))>\n"
        if !schema.names[field].comment.isEmpty { text += wrap(schema.names[field].comment, indent: 4) }
        text += "\n    names    \(spelling(field))\n"
        if case .unsigned = shape.type { text += "    range    \(shape.minimum)–\(shape.maximum)\n" }
        if let vocabulary = shape.vocabulary {
            let known = resolver.names(in: vocabulary).filter { resolver.number(of: $0, in: vocabulary) != nil }
            let list = known.isEmpty ? "" : ": \(known.joined(separator: ", "))"
            text += "    in files \(vocabulary.word)s by their names on this host as well\(list)\n"
        }
        if let example = formatText(schema.content(of: shape)) { text += "    format   \(example)\n" }
        if shape.cardinality == .single { text += defaultText(shape.type).map { "    default  \($0)\n" } ?? "" }
        guard case .enumeration(let index) = shape.type else { return text }
        text += "\nVALUES\n"
        for value in schema.enums[index].offered {
            text += "  \(value.spellings.joined(separator: ", ")) (\(value.number))\n"
            if !value.comment.isEmpty { text += wrap(value.comment, indent: 6) }
        }
        return text
    }

    private static func spelling(_ field: Int) -> String {
        let names = schema.names[field]
        return names.json == names.original ? names.json : "\(names.json), \(names.original)"
    }

    private static func typeText(_ field: Int) -> String {
        let shape = schema.fields[field]
        return switch shape.cardinality {
        case .single: word(shape)
        case .optional: "\(word(shape)), optional"
        case .repeated: "list of \(word(shape))"
        case .list: "list of \(word(schema.content(of: shape))), optional"
        case .map: "mapping of names to text"
        }
    }

    private static func word(_ shape: FieldSchema) -> String {
        switch shape.type {
        case .bool: "bool"
        case .unsigned: shape.hasRange ? "number \(shape.minimum)–\(shape.maximum)" : "number"
        case .signed: "number"
        case .string: shape.format == .any ? "text" : shape.format.allowsLength ? "IP prefix" : "IP address"
        case .message(let index): schema.messages[index].name
        case .enumeration(let index): schema.enums[index].offered.map(\.usual).joined(separator: " | ")
        }
    }

    private static func formatText(_ shape: FieldSchema) -> String? {
        let reference = shape.allowsReference ? ", or a reference alloc:NETWORK[/INTERFACE][/GW]" : ""
        switch shape.format {
        case .any: return nil
        case .address, .addressV4, .addressV6: return "an IP address\(reference)"
        case .prefix, .prefixV4, .prefixV6, .addressOrPrefix, .addressOrPrefixV4, .addressOrPrefixV6:
            return "an IP address with or without prefix length\(reference)"
        }
    }

    private static func defaultText(_ type: FieldType) -> String? {
        switch type {
        case .bool: "false"
        case .unsigned, .signed: "0"
        case .string: "empty"
        case .message: nil
        case .enumeration(let index): schema.enums[index].offered.first { $0.number == 0 }?.usual
        }
    }

    private static func firstSentence(_ text: String) -> String {
        text.split(separator: ".").first.map { "\($0)." } ?? ""
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Breaks text at spaces into lines of at most 100 characters.
    private static func wrap(_ text: String, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        var line = margin
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            if line.count + word.count + 1 > 100, line.count > indent {
                lines.append(line)
                line = margin
            }
            line += line.count == indent ? "\(word)" : " \(word)"
        }
        lines.append(line)
        return lines.joined(separator: "\n") + "\n"
    }
}
