extension Schema {
    /// The definition of CNFConfiguration for an API server of Kubernetes: apiextensions v1 with a structural schema.
    ///
    /// Texts of items are only checked by who reads them. Structured items are checked by the API server, too, as far as a schema
    /// can: names, types and ranges. What it does not know it drops, so fields have both of their names in there.
    public static func resourceDefinition() -> String {
        "# DO NOT EDIT. Made by scripts/generate: nsm-agent schema --crd\n" + YAMLWriter.write(definitionTree())
    }

    private static func definitionTree() -> Tree {
        [
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": ["name": "cnfconfigurations.pantheon.tech"],
            "spec": [
                "group": "pantheon.tech",
                "scope": "Namespaced",
                "names": [
                    "kind": "CNFConfiguration", "listKind": "CNFConfigurationList", "plural": "cnfconfigurations",
                    "singular": "cnfconfiguration", "shortNames": ["cnfc"], "categories": ["cnf"],
                ],
                "versions": [resourceVersion()],
            ],
        ]
    }

    private static func resourceVersion() -> Tree {
        [
            "name": "v1", "served": true, "storage": true,
            "subresources": ["status": [:]],
            "additionalPrinterColumns": [
                column("Microservice", ".spec.microservice"),
                column("Ready", #".status.conditions[?(@.type=="Ready")].status"#),
                column("Applied", #".status.conditions[?(@.type=="Applied")].status"#),
                column("Message", ".status.message"),
                column("Age", ".metadata.creationTimestamp", type: "date"),
            ],
            "schema": [
                "openAPIV3Schema": [
                    "type": "object",
                    "description": .string(
                        "Network configuration of one or more microservices, for the agents that have their labels."),
                    "required": ["spec"],
                    "properties": [
                        "apiVersion": ["type": "string"], "kind": ["type": "string"], "metadata": ["type": "object"],
                        "spec": resourceSpec(), "status": resourceStatus(),
                    ],
                ]
            ],
        ]
    }

    private static func column(_ name: String, _ path: String, type: String = "string") -> Tree {
        ["name": .string(name), "type": .string(type), "jsonPath": .string(path)]
    }

    private static func text(_ description: String) -> Tree {
        ["type": "string", "description": .string(description)]
    }

    private static func number(_ description: String, format: String = "int32") -> Tree {
        ["type": "integer", "format": .string(format), "description": .string(description)]
    }

    private static func resourceSpec() -> Tree {
        var properties: [(String, Tree)] = [
            ("microservice", text("The microservice that items are for which name none: the label of its agent.")),
            ("configItems", resourceItems()),
        ]
        for group in ["linuxConfig", "netallocConfig", "cnfConfig"] {
            properties.append((group, documented.structural(group: group)))
        }
        return [
            "type": "object", "description": "What is to be configured.", "properties": .mapping(properties),
        ]
    }

    private static func resourceItems() -> Tree {
        [
            "type": "array",
            "description": "Items as texts, each of them one value of a model.",
            "items": [
                "type": "object", "required": ["module", "type", "data"],
                "properties": [
                    "module": text("Module of the model, such as linux.interfaces."),
                    "type": text("Type of the model within its module, such as interface."),
                    "version": text("Version of the model, such as v2. Absent: the one there is."),
                    "name": text("Name of a value whose model is not known."),
                    "microservice": text("The microservice that this item is for. Absent: that of the resource."),
                    "data": text("The value, as YAML."),
                ],
            ],
        ]
    }

    private static func resourceStatus() -> Tree {
        [
            "type": "object", "description": "What became of it.",
            "properties": [
                "observedGeneration": number("The generation that the conditions are about.", format: "int64"),
                "controller": text(
                    "Who sets the conditions: cnf-crd, or nsm-agent where agents read the resource themselves."),
                "status": text("Success or Failure, for readers that know no conditions."),
                "message": text("What is wrong, or missing yet."),
                // Earlier controllers wrote a meta/v1 Status. Not all of it is known to be used, but it must be taken. Were unknown
                // fields kept instead, servers of 1.20 would merge no list in here.
                "apiVersion": ["type": "string"], "kind": ["type": "string"], "reason": ["type": "string"],
                "code": ["type": "integer", "format": "int32"],
                "metadata": ["type": "object", "x-kubernetes-preserve-unknown-fields": true],
                "details": ["type": "object", "x-kubernetes-preserve-unknown-fields": true],
                "conditions": resourceConditions(),
                "agents": resourceAgents(),
            ],
        ]
    }

    private static func resourceConditions() -> Tree {
        [
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
            "description": .string(
                "Accepted: it was understood. Applied: it was handed to those who configure it. Ready: all of it is configured."
            ),
            "items": [
                "type": "object", "required": ["type", "status"],
                "properties": [
                    "type": text("Accepted, Applied or Ready."),
                    "status": [
                        "type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it is so.",
                    ],
                    "reason": text("Why, in one word."),
                    "message": text("Why, for people."),
                    "observedGeneration": number("The generation that this is about.", format: "int64"),
                    "lastTransitionTime": [
                        "type": "string", "format": "date-time", "description": "When status last changed.",
                    ],
                ],
            ],
        ]
    }

    private static func resourceAgents() -> Tree {
        [
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "description": "What each agent says of the values that it has from this resource.",
            "items": [
                "type": "object", "required": ["name"],
                "properties": [
                    "name": text("The agent's pod; its microservice where it is known through etcd."),
                    "microservice": text("The label of the agent."),
                    "observedGeneration": number("The generation that it speaks of.", format: "int64"),
                    "time": ["type": "string", "format": "date-time", "description": "When it said so."],
                    "values": number("How many values it has."),
                    "configured": number("How many of them are configured."),
                    "pending": number("How many wait for something."),
                    "failed": number("How many could not be configured."),
                    "errors": [
                        "type": "array", "items": ["type": "string"],
                        "description": "The first things that went wrong.",
                    ],
                ],
            ],
        ]
    }
}

// MARK: - Values

extension Schema {
    private func structural(group: String) -> Tree {
        var lists: [(String, Tree)] = []
        for model in ModelRegistry.all where model.group == group {
            guard let message = index(ofMessage: model.protoMessage) else { continue }
            let list: Tree = [
                "type": "array", "description": .string(messages[message].comment), "items": structural(message),
            ]
            lists.append((model.list, list))
            if model.otherList != model.list { lists.append((model.otherList, alias(list, of: model.list))) }
        }
        return [
            "type": "object", "description": .string("Values as in the group \(group) of a configuration file."),
            "properties": .mapping(lists),
        ]
    }

    private func structural(_ message: Int) -> Tree {
        var properties: [(String, Tree)] = []
        for field in messages[message].fields {
            let schema = structural(field: field)
            properties.append((names[field].json, schema))
            if names[field].original != names[field].json {
                properties.append((names[field].original, alias(schema, of: names[field].json)))
            }
        }
        var pairs: [(String, Tree)] = [("type", "object"), ("properties", .mapping(properties))]
        let exclusive = exclusivePairs(message)
        if !exclusive.isEmpty { pairs.append(("allOf", .sequence(exclusive))) }
        return .mapping(pairs)
    }

    private func structural(field: Int) -> Tree {
        let shape = fields[field]
        var comment = names[field].comment
        if comment.isEmpty, case .message(let inner) = shape.type { comment = messages[inner].comment }
        var pairs: [(String, Tree)] = comment.isEmpty ? [] : [("description", .string(comment))]
        switch shape.cardinality {
        case .single, .optional: pairs = structural(type: shape, described: pairs)
        case .repeated:
            pairs += [("type", "array"), ("items", .mapping(structural(type: shape, described: [])))]
        case .list:
            pairs += [("type", "array"), ("items", .mapping(structural(type: content(of: shape), described: [])))]
        case .map:
            pairs += [("type", "object"), ("additionalProperties", ["type": "string"])]
        }
        return .mapping(pairs)
    }

    private func structural(type shape: FieldSchema, described pairs: [(String, Tree)]) -> [(String, Tree)] {
        switch shape.type {
        case .bool: return pairs + [("type", "boolean")]
        case .unsigned, .signed:
            // Names that a host has for numbers are not taken: with x-kubernetes-int-or-string anywhere in it, a server of 1.20 makes
            // no types of the whole schema, and merges no list then.
            let bounds: [(String, Tree)] = [("minimum", .int(shape.minimum)), ("maximum", .uint(shape.maximum))]
            return pairs + [("type", "integer"), ("format", "int64")] + bounds
        case .message(let inner):
            guard case .mapping(let schema) = structural(inner) else { return pairs }
            return pairs + schema
        case .enumeration(let index):
            let words = enums[index].values.flatMap(\.spellings)
            return pairs + [("type", "string"), ("enum", .sequence(words.map { .string($0) }))]
        case .string:
            guard shape.format != .any else { return pairs + [("type", "string")] }
            let reference = shape.allowsReference ? "alloc:.+|" : ""
            let length = shape.format.allowsLength ? "(/[0-9]{1,3})?" : ""
            let pattern = "^(\(reference)[0-9a-fA-F.:]*\(length))$"
            return pairs + [("type", "string"), ("pattern", .string(pattern))]
        }
    }

    /// The schema of a field under its other name.
    private func alias(_ schema: Tree, of name: String) -> Tree {
        guard case .mapping(var pairs) = schema else { return schema }
        pairs.removeAll { $0.0 == "description" }
        return .mapping([("description", .string("The same as \(name)."))] + pairs)
    }
}
