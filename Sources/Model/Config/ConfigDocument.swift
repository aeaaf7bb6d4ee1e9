internal import SwiftProtobuf

/// Writes values as a configuration file.
public enum ConfigDocument {
    /// The order in which a reader wants to see the lists.
    private static let order: [ModelDescription.Kind] = [
        .namespace, .interface, .arp, .forwarding, .qdisc, .nextHop, .route, .rule, .ruleChain, .filterTable,
        .allocation,
        .client,
        .endpoint, .service,
    ]

    /// The document that ``ConfigLoader`` reads back as the same values. Values keep their order within a list.
    ///
    /// - Parameter names: Names to write instead of numbers. Only the host that knows them reads them back.
    public static func tree(of values: [ModelValue], names: NameResolver = .none) -> Tree {
        var lists = [[Tree]](repeating: [], count: ModelDescription.Kind.allCases.count)
        for value in values { lists[value.kind.rawValue].append(tree(of: value, names: names)) }
        var groups: [(String, [(String, Tree)])] = []
        for kind in order where !lists[kind.rawValue].isEmpty {
            let model = ModelRegistry.model(kind)
            let list = (model.list, Tree.sequence(lists[kind.rawValue]))
            if let index = groups.firstIndex(where: { $0.0 == model.group }) {
                groups[index].1.append(list)
            } else {
                groups.append((model.group, [list]))
            }
        }
        return .mapping(groups.map { ($0.0, .mapping($0.1)) })
    }

    /// The same; of no values a document that says that nothing is wanted, as one that is empty says nothing.
    public static func whole(of values: [ModelValue]) -> Tree {
        values.isEmpty ? .mapping([("linuxConfig", .mapping([]))]) : tree(of: values)
    }

    /// The fields of one value: names in camelCase, enumerations by name, what has its default left out.
    public static func tree(of value: ModelValue, names: NameResolver = .none) -> Tree {
        tree(of: value, ValueWriting(names: names))
    }

    /// The fields of one value with the names of the .proto file, as values are stored for others.
    static func storedTree(of value: ModelValue) -> Tree { tree(of: value, ValueWriting(usesOriginalNames: true)) }

    private static func tree(of value: ModelValue, _ writing: ValueWriting) -> Tree {
        do {
            let bytes: [UInt8] = try value.message.serializedBytes()
            return Schema.plain.tree(of: Schema.modelMessages[value.kind.rawValue], Wire(bytes), writing)
        } catch {
            // Only text that is not Unicode fails, and Swift's strings can't hold that.
            return .mapping([])
        }
    }
}

/// How a message is written.
private struct ValueWriting {
    /// Names to write instead of numbers.
    var names = NameResolver.none
    /// Whether fields have the names of the .proto file instead of those of JSON.
    var usesOriginalNames = false
}

extension Schema {
    /// A message's wire form as a tree.
    fileprivate func tree(of message: Int, _ wire: Wire, _ writing: ValueWriting) -> Tree {
        let range = messages[message].fields
        var values = [[Tree]](repeating: [], count: range.count)
        var walk = wire
        while let part = walk.next() {
            guard let field = range.first(where: { fields[$0].number == part.number }) else { continue }
            let index = field - range.lowerBound
            if case .bytes = part.content, isNumber(fields[field].type) {
                var packed = walk.message(part)
                while let number = packed.varint() { values[index].append(scalar(fields[field].type, number)) }
            } else {
                values[index].append(value(fields[field], part, walk, writing))
            }
        }
        var pairs: [(String, Tree)] = []
        for field in range where !values[field - range.lowerBound].isEmpty {
            let list = values[field - range.lowerBound]
            let name = writing.usesOriginalNames ? names[field].original : names[field].json
            switch fields[field].cardinality {
            case .single, .optional: pairs.append((name, list[list.count - 1]))
            case .repeated: pairs.append((name, .sequence(list)))
            case .list: pairs.append((name, content(of: list[list.count - 1])))
            case .map: pairs.append((name, mapping(list)))
            }
        }
        return .mapping(pairs)
    }

    /// The list in a message that holds nothing else.
    private func content(of message: Tree) -> Tree {
        guard case .mapping(let pairs) = message, let list = pairs.first else { return .sequence([]) }
        return list.1
    }

    private func isNumber(_ type: FieldType) -> Bool {
        switch type {
        case .bool, .unsigned, .signed, .enumeration: true
        case .string, .message: false
        }
    }

    private func value(_ field: FieldSchema, _ part: Wire.Field, _ walk: Wire, _ writing: ValueWriting) -> Tree {
        switch field.type {
        case .message(let inner): return tree(of: inner, walk.message(part), writing)
        case .string: return .string(walk.text(part))
        case .unsigned:
            if let vocabulary = field.vocabulary, let number = Int64(exactly: part.value),
                let name = writing.names.name(of: number, in: vocabulary)
            {
                return .string(name)
            }
            return scalar(field.type, part.value)
        case .bool, .signed, .enumeration: return scalar(field.type, part.value)
        }
    }

    private func scalar(_ type: FieldType, _ number: UInt64) -> Tree {
        switch type {
        case .bool: .bool(number != 0)
        case .signed: .int(Int64(bitPattern: number))
        case .enumeration(let index):
            enums[index].name(of: number).map { .string($0) } ?? .int(Int64(bitPattern: number))
        case .unsigned, .string, .message: .uint(number)
        }
    }

    /// The entries of a map, sorted by key: their order on the wire means nothing.
    private func mapping(_ entries: [Tree]) -> Tree {
        var pairs: [(String, Tree)] = entries.map { entry in
            guard case .string(let key)? = entry["key"] else { return ("", entry["value"] ?? "") }
            return (key, entry["value"] ?? "")
        }
        pairs.sort { $0.0 < $1.0 }
        return .mapping(pairs)
    }
}
