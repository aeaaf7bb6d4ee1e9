/// Turns a serialized google.protobuf.FileDescriptorSet into the arrays of a ``Schema``.
///
/// Field numbers are those of google/protobuf/descriptor.proto.
struct DescriptorReader {
    /// Fields that may hold a reference to an IP allocation instead of an address.
    private static let referenceFields: Set<String> = [
        "ligato.linux.interfaces.Interface.ip_addresses", "ligato.linux.l3.ARPEntry.ip_address",
        "ligato.linux.l3.Route.dst_network", "ligato.linux.l3.Route.gw_addr",
    ]

    /// Fields whose numbers have names on a host.
    private static let vocabularies: [String: NameResolver.Vocabulary] = [
        "ligato.linux.interfaces.VrfDevLink.routing_table": .table, "ligato.linux.l3.Route.table": .table,
        "nsmagent.linux.Rule.table": .table, "ligato.linux.l3.Route.scope": .scope,
        "ligato.linux.l3.Route.type": .routeType, "nsmagent.linux.Rule.action": .routeType,
    ]

    /// Messages that are lists, so that an empty list differs from none.
    private static let listMessages: Set<String> = ["upnp.PrefixList"]

    private(set) var messages: [MessageSchema] = []
    private(set) var enums: [EnumSchema] = []
    private(set) var fields: [FieldSchema] = []
    private(set) var names: [Schema.Names] = []
    /// The type a field names, until all messages are known.
    private var typeNames: [String] = []
    private var comments: [[Int]: String] = [:]
    private let set: Wire

    init(_ bytes: [UInt8]) { set = Wire(bytes) }

    mutating func read() {
        var files = set
        while let file = files.next() { readFile(files.message(file)) }
        resolveTypes()
    }

    private mutating func readFile(_ file: Wire) {
        var package = ""
        comments = [:]
        // Comments come last in a file but belong to what stands before them.
        var walk = file
        while let field = walk.next() {
            if field.number == 2 { package = walk.text(field) }
            if field.number == 9 { readComments(walk.message(field)) }
        }
        walk = file
        var (messageCount, enumCount) = (0, 0)
        while let field = walk.next() {
            if field.number == 4 {
                readMessage(walk.message(field), scope: package, path: [4, messageCount])
                messageCount += 1
            } else if field.number == 5 {
                readEnum(walk.message(field), scope: package, path: [5, enumCount])
                enumCount += 1
            }
        }
    }

    private mutating func readComments(_ info: Wire) {
        var locations = info
        while let location = locations.next() {
            var (path, comment): ([Int], String) = ([], "")
            var parts = locations.message(location)
            while let part = parts.next() {
                if part.number == 1 {
                    var numbers = parts.message(part)
                    while let number = numbers.varint() { path.append(Int(truncatingIfNeeded: number)) }
                }
                if part.number == 3 { comment = parts.text(part) }
            }
            guard !comment.isEmpty else { continue }
            let lines = comment.split(separator: "\n").map { $0.drop(while: { $0 == " " }) }
            comments[path] = lines.joined(separator: " ")
        }
    }

    private mutating func readMessage(_ message: Wire, scope: String, path: [Int]) {
        var walk = message
        var schema = MessageSchema(fullName: "", comment: comments[path] ?? "", oneofs: [])
        var parts: [Wire] = []
        while let field = walk.next() {
            switch field.number {
            case 1: schema.fullName = scope.isEmpty ? walk.text(field) : "\(scope).\(walk.text(field))"
            case 2: parts.append(walk.message(field))
            case 7: schema.isMapEntry = isMapEntry(walk.message(field))
            case 8:
                var oneof = walk.message(field)
                if let name = oneof.next() { schema.oneofs.append(oneof.text(name)) }
            default: break
            }
        }
        let first = fields.count
        for (index, part) in parts.enumerated() { readField(part, of: schema, path: path + [2, index]) }
        schema.fields = first..<fields.count
        schema.isList = Self.listMessages.contains(schema.fullName)
        messages.append(schema)
        var (nestedCount, enumCount) = (0, 0)
        walk = message
        while let field = walk.next() {
            if field.number == 3 {
                readMessage(walk.message(field), scope: schema.fullName, path: path + [3, nestedCount])
                nestedCount += 1
            } else if field.number == 4 {
                readEnum(walk.message(field), scope: schema.fullName, path: path + [4, enumCount])
                enumCount += 1
            }
        }
    }

    private func isMapEntry(_ options: Wire) -> Bool {
        var walk = options
        var result = false
        while let option = walk.next() { if option.number == 7 { result = option.value != 0 } }
        return result
    }

    private mutating func readField(_ field: Wire, of message: MessageSchema, path: [Int]) {
        var schema = FieldSchema(
            number: 0, type: .string, cardinality: .single, oneof: -1, format: .any, allowsReference: false, minimum: 0,
            maximum: 0, hasRange: false)
        var name = Schema.Names(original: "", json: "", comment: comments[path] ?? "")
        var typeName = ""
        var walk = field
        var type: UInt64 = 0
        var options: Wire?
        while let part = walk.next() {
            switch part.number {
            case 1: name.original = walk.text(part)
            case 3: schema.number = Int(part.value)
            case 4: if part.value == 3 { schema.cardinality = .repeated }
            case 5: type = part.value
            case 6: typeName = String(walk.text(part).dropFirst())
            case 8: options = walk.message(part)
            case 9: schema.oneof = Int(part.value)
            case 10: name.json = walk.text(part)
            case 17: if part.value != 0 { schema.cardinality = .optional }
            default: break
            }
        }
        // What the language calls optional is a oneof of one member in the descriptor.
        if schema.cardinality == .optional { schema.oneof = -1 }
        setType(type, of: &schema)
        if let options { readOptions(options, into: &schema) }
        let fullName = "\(message.fullName).\(name.original)"
        schema.allowsReference = Self.referenceFields.contains(fullName)
        schema.vocabulary = Self.vocabularies[fullName]
        fields.append(schema)
        names.append(name)
        typeNames.append(typeName)
    }

    private func setType(_ type: UInt64, of schema: inout FieldSchema) {
        switch type {
        case 8: schema.type = .bool
        case 13: (schema.type, schema.maximum) = (.unsigned, UInt64(UInt32.max))
        case 4: (schema.type, schema.maximum) = (.unsigned, .max)
        case 5: (schema.type, schema.minimum, schema.maximum) = (.signed, Int64(Int32.min), UInt64(Int32.max))
        case 3: (schema.type, schema.minimum, schema.maximum) = (.signed, .min, UInt64(Int64.max))
        case 11: schema.type = .message(-1)
        case 14: schema.type = .enumeration(-1)
        default: schema.type = .string
        }
    }

    /// Reads `ligato.ligato_options`, extension 2000 of google.protobuf.FieldOptions.
    private func readOptions(_ options: Wire, into schema: inout FieldSchema) {
        var walk = options
        while let option = walk.next() {
            guard option.number == 2000 else { continue }
            var hints = walk.message(option)
            while let hint = hints.next() {
                if hint.number == 1 { schema.format = TextFormat(rawValue: UInt8(hint.value & 0xff)) ?? .any }
                guard hint.number == 2 else { continue }
                (schema.minimum, schema.maximum, schema.hasRange) = (0, 0, true)
                var range = hints.message(hint)
                while let bound = range.next() {
                    if bound.number == 1 { schema.minimum = Int64(bitPattern: bound.value) }
                    if bound.number == 2 { schema.maximum = bound.value }
                }
            }
        }
    }

    private mutating func readEnum(_ source: Wire, scope: String, path: [Int]) {
        var schema = EnumSchema(fullName: "", comment: comments[path] ?? "", values: [])
        var walk = source
        while let part = walk.next() {
            if part.number == 1 { schema.fullName = scope.isEmpty ? walk.text(part) : "\(scope).\(walk.text(part))" }
            guard part.number == 2 else { continue }
            var value = EnumSchema.Value(name: "", number: 0, comment: comments[path + [2, schema.values.count]] ?? "")
            var fields = walk.message(part)
            while let field = fields.next() {
                if field.number == 1 { value.name = fields.text(field) }
                if field.number == 2 { value.number = Int32(truncatingIfNeeded: field.value) }
                if field.number == 3 { value.word = readWord(fields.message(field)) }
            }
            schema.values.append(value)
        }
        enums.append(schema)
    }

    /// Reads `nsmagent.word`, extension 2001 of google.protobuf.EnumValueOptions.
    private func readWord(_ options: Wire) -> String? {
        var walk = options
        while let option = walk.next() { if option.number == 2001 { return walk.text(option) } }
        return nil
    }

    private mutating func resolveTypes() {
        var messageIndex: [String: Int] = [:]
        var enumIndex: [String: Int] = [:]
        for (index, message) in messages.enumerated() { messageIndex[message.fullName] = index }
        for (index, value) in enums.enumerated() { enumIndex[value.fullName] = index }
        for index in fields.indices {
            switch fields[index].type {
            case .message:
                let target = messageIndex[typeNames[index]] ?? 0
                fields[index].type = .message(target)
                if messages[target].isMapEntry { fields[index].cardinality = .map }
                if messages[target].isList { fields[index].cardinality = .list }
            case .enumeration:
                fields[index].type = .enumeration(enumIndex[typeNames[index]] ?? 0)
            case .bool, .unsigned, .signed, .string: break
            }
        }
    }
}
