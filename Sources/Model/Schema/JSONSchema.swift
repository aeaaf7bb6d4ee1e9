extension Schema {
    /// A JSON Schema (draft 2020-12) of a configuration file, for editors.
    ///
    /// It knows names, types and ranges, but no relations between values. Unlike ``ConfigLoader`` it takes no empty values.
    public static func jsonSchema() -> Tree {
        let schema = documented
        var needed: [Int] = []
        for model in ModelRegistry.all {
            if let message = schema.index(ofMessage: model.protoMessage) { schema.collect(message, into: &needed) }
        }
        var definitions: [(String, Tree)] = [
            ("Config", configSchema()), ("CNFConfiguration", resourceSchema()), ("List", listSchema()),
        ]
        for message in needed {
            definitions.append((schema.messages[message].fullName, schema.jsonSchema(of: message)))
        }
        return [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Configuration of nsm-agent",
            "anyOf": [
                ["$ref": "#/$defs/Config"], ["$ref": "#/$defs/CNFConfiguration"], ["$ref": "#/$defs/List"],
                ["type": "null"],
            ],
            "$defs": .mapping(definitions),
        ]
    }

    /// A message and those its fields hold, in the order they are met.
    private func collect(_ message: Int, into list: inout [Int]) {
        guard !list.contains(message) else { return }
        list.append(message)
        for field in messages[message].fields {
            switch fields[field].cardinality {
            case .single, .optional, .repeated:
                if case .message(let inner) = fields[field].type { collect(inner, into: &list) }
            case .list, .map: break
            }
        }
    }

    /// The groups of a file, with what is in them.
    private static func groupSchemas() -> [(String, Tree)] {
        var groups: [(String, [(String, Tree)])] = []
        for model in ModelRegistry.all {
            let items: Tree = ["$ref": .string("#/$defs/\(model.protoMessage)")]
            let list: Tree = ["type": ["array", "null"], "items": items]
            if !groups.contains(where: { $0.0 == model.group }) { groups.append((model.group, [])) }
            for index in groups.indices where groups[index].0 == model.group {
                groups[index].1.append((model.list, list))
                if model.otherList != model.list { groups[index].1.append((model.otherList, list)) }
            }
        }
        return groups.map { name, lists in
            (name, ["type": ["object", "null"], "properties": .mapping(lists), "additionalProperties": false])
        }
    }

    private static func configSchema() -> Tree {
        var properties: [(String, Tree)] = []
        for (name, group) in groupSchemas() {
            properties.append((name, group))
            if name == "linuxConfig" { properties.append(("linux_config", group)) }
            if name == "netallocConfig" { properties.append(("netalloc_config", group)) }
        }
        for name in ["vppConfig", "vpp_config"] {
            properties.append((name, ["description": "Skipped with a warning."]))
        }
        return ["type": "object", "properties": .mapping(properties), "additionalProperties": false]
    }

    private static func resourceSchema() -> Tree {
        let text: Tree = ["type": "string"]
        let item: Tree = [
            "type": "object",
            "properties": [
                "module": text, "type": text, "version": text, "name": text, "microservice": text,
                "data": ["type": "string", "description": "One message, as YAML text."],
            ],
            "required": ["module", "type", "data"], "additionalProperties": false,
        ]
        let spec: [(String, Tree)] = [("microservice", text), ("configItems", ["type": "array", "items": item])]
        return [
            "type": "object",
            "properties": [
                "apiVersion": ["const": "pantheon.tech/v1"], "kind": ["const": "CNFConfiguration"],
                "metadata": ["type": "object"], "status": ["type": "object"],
                "spec": [
                    "type": "object", "properties": .mapping(spec + groupSchemas()), "additionalProperties": false,
                ],
            ],
            "required": ["apiVersion", "kind", "spec"], "additionalProperties": false,
        ]
    }

    private static func listSchema() -> Tree {
        [
            "type": "object",
            "properties": [
                "apiVersion": ["type": "string"], "kind": ["enum": ["List", "CNFConfigurationList"]],
                "metadata": ["type": "object"],
                "items": ["type": "array", "items": ["$ref": "#/$defs/CNFConfiguration"]],
            ],
            "required": ["apiVersion", "kind", "items"],
        ]
    }

    private func jsonSchema(of message: Int) -> Tree {
        var properties: [(String, Tree)] = []
        for field in messages[message].fields {
            let schema = jsonSchema(ofField: field)
            properties.append((names[field].json, schema))
            if names[field].original != names[field].json { properties.append((names[field].original, schema)) }
        }
        var pairs: [(String, Tree)] = [("type", "object")]
        if !messages[message].comment.isEmpty { pairs.append(("description", .string(messages[message].comment))) }
        pairs.append(("properties", .mapping(properties)))
        pairs.append(("additionalProperties", false))
        let exclusive = exclusivePairs(message)
        if !exclusive.isEmpty { pairs.append(("allOf", .sequence(exclusive))) }
        return .mapping(pairs)
    }

    /// For every two members of a oneof: not both.
    func exclusivePairs(_ message: Int) -> [Tree] {
        let members = messages[message].fields.filter { fields[$0].oneof >= 0 }
        var rules: [Tree] = []
        for (index, first) in members.enumerated() {
            for second in members[(index + 1)...] where fields[first].oneof == fields[second].oneof {
                rules.append(["not": ["required": [.string(names[first].json), .string(names[second].json)]]])
            }
        }
        return rules
    }

    private func jsonSchema(ofField field: Int) -> Tree {
        let shape = fields[field]
        let comment = names[field].comment
        var pairs: [(String, Tree)] = comment.isEmpty ? [] : [("description", .string(comment))]
        switch shape.cardinality {
        case .single, .optional: pairs += jsonSchema(ofType: shape)
        case .repeated: pairs += [("type", "array"), ("items", .mapping(jsonSchema(ofType: shape)))]
        case .list: pairs += [("type", "array"), ("items", .mapping(jsonSchema(ofType: content(of: shape))))]
        case .map: pairs += [("type", "object"), ("additionalProperties", ["type": ["string", "integer"]])]
        }
        return .mapping(pairs)
    }

    private func jsonSchema(ofType shape: FieldSchema) -> [(String, Tree)] {
        switch shape.type {
        case .bool: return [("type", "boolean")]
        case .unsigned, .signed:
            return [("type", "integer"), ("minimum", .int(shape.minimum)), ("maximum", .uint(shape.maximum))]
        case .message(let inner): return [("$ref", .string("#/$defs/\(messages[inner].fullName)"))]
        case .enumeration(let index):
            let values = enums[index].offered
            let words = values.flatMap(\.spellings)
            return [("enum", .sequence(words.map { .string($0) } + values.map { .int(Int64($0.number)) }))]
        case .string:
            // A name or process number may be written as a number.
            guard shape.format != .any else { return [("type", ["string", "integer"])] }
            let reference = shape.allowsReference ? "alloc:.+|" : ""
            let length = shape.format.allowsLength ? "(/[0-9]{1,3})?" : ""
            return [("type", "string"), ("pattern", .string("^(\(reference)[0-9a-fA-F.:]*\(length))$"))]
        }
    }
}
