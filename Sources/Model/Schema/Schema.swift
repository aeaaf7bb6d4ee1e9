internal import YAML

/// What a field holds.
enum FieldType: Equatable {
    case bool
    /// A whole number within `Schema.range(of:)`.
    case unsigned
    case signed
    case string
    /// A message: index into `Schema.messages`.
    case message(Int)
    /// A name out of a list: index into `Schema.enums`.
    case enumeration(Int)
}

/// How often a field occurs.
enum Cardinality {
    case single
    /// Present or absent, also when it has its default value.
    case optional
    case repeated
    /// A list that may also be absent: a message with nothing but a repeated field.
    case list
    /// Keys of text with values of text; the type is that of the entries.
    case map
}

/// What the text of a field must look like; the values of `ligato.LigatoOptions.Type`.
enum TextFormat: UInt8 {
    case any = 0
    case address
    case addressV4
    case addressV6
    case prefix
    case prefixV4
    case prefixV6
    case addressOrPrefix
    case addressOrPrefixV4
    case addressOrPrefixV6

    /// The family asked for, if one is.
    var isV4Only: Bool { self == .addressV4 || self == .prefixV4 || self == .addressOrPrefixV4 }
    /// The family asked for, if one is.
    var isV6Only: Bool { self == .addressV6 || self == .prefixV6 || self == .addressOrPrefixV6 }
    /// Whether a prefix length is allowed.
    var allowsLength: Bool { rawValue >= TextFormat.prefix.rawValue }
}

/// One field of a message. Plain data: names are kept apart, see `Schema.names`.
struct FieldSchema {
    var number: Int
    var type: FieldType
    var cardinality: Cardinality
    /// Index of the group of which only one member may be set; -1 for none.
    var oneof: Int
    var format: TextFormat
    /// Whether `alloc:NETWORK` may stand for an address.
    var allowsReference: Bool
    var minimum: Int64
    var maximum: UInt64
    /// Whether the range comes from the .proto file, not from the type.
    var hasRange: Bool
    /// Whose names may stand for its numbers.
    var vocabulary: NameResolver.Vocabulary?

    /// What is said of a number beyond a range.
    static func outOfRange(_ minimum: some BinaryInteger, _ maximum: some BinaryInteger) -> String {
        "is out of range (\(minimum)–\(maximum))"
    }
}

/// One message: a slice of the field list and of the table that finds fields by name.
struct MessageSchema {
    /// Name with its package.
    var fullName: String
    var comment: String
    /// Names of its oneof groups.
    var oneofs: [String]
    var fields: Range<Int> = 0..<0
    var slots: Range<Int> = 0..<0
    var isMapEntry = false
    /// Whether it stands for the list in its only field.
    var isList = false

    /// Name without its package.
    var name: String { String(fullName.split(separator: ".").last ?? "") }
}

/// One enumeration.
struct EnumSchema {
    struct Value {
        var name: String
        var number: Int32
        var comment: String
        /// What others call it, where that is not a valid name in the .proto file.
        var word: String?

        /// What people say.
        var usual: String { word ?? name }

        /// Whether somebody who writes a file would want it: not what stands for nothing, nor what only VPP has.
        var isOffered: Bool { !name.hasPrefix("UNDEFINED") && name != "TAP_TO_VPP" }

        /// What files may say.
        var spellings: [String] { word.map { [name, $0] } ?? [name] }
    }

    var fullName: String
    var comment: String
    var values: [Value]

    /// Name without its package.
    var name: String { String(fullName.split(separator: ".").last ?? "") }

    /// The values that are offered to people.
    var offered: [Value] { values.filter(\.isOffered) }

    /// The name of a number.
    func name(of number: UInt64) -> String? {
        values.first { $0.number == Int32(truncatingIfNeeded: number) }?.name
    }
}

/// The shape of all messages, made from their descriptors: what checks, documentation and editors need to know.
///
/// Flat arrays with a hash table per message: reading a file looks up every key in here.
public struct Schema: Sendable {
    /// The two names of a field, and its documentation.
    struct Names {
        /// As in the .proto file: `peer_if_name`.
        var original: String
        /// As in JSON: `peerIfName`.
        var json: String
        var comment: String
    }

    private(set) var messages: [MessageSchema] = []
    private(set) var enums: [EnumSchema] = []
    private(set) var fields: [FieldSchema] = []
    private(set) var names: [Names] = []
    /// Open-addressing tables: hash of a name to field index; -1 is free.
    private var slots: [Slot] = []
    private var nameBytes: [UInt8] = []

    private struct Slot {
        var hash: UInt32
        var field: Int32
        var start: Int32
        var count: Int32
    }

    /// Without comments; what reading files needs.
    static let plain = Schema(descriptors: Base64.decode(EmbeddedDescriptors.plain))
    /// With comments; what documentation needs.
    static let documented = Schema(descriptors: Base64.decode(EmbeddedDescriptors.documented))
    /// The message of every model, by kind.
    static let modelMessages: [Int] = ModelRegistry.all.map { plain.index(ofMessage: $0.protoMessage) ?? 0 }

    /// Reads a serialized google.protobuf.FileDescriptorSet.
    init(descriptors: [UInt8]) {
        var reader = DescriptorReader(descriptors)
        reader.read()
        messages = reader.messages
        enums = reader.enums
        fields = reader.fields
        names = reader.names
        for index in messages.indices { addTable(for: index) }
    }

    /// The message with this full name.
    func index(ofMessage name: String) -> Int? { messages.firstIndex { $0.fullName == name } }

    /// What an element of a field is: for a list in a message of its own, the field in there.
    func content(of field: FieldSchema) -> FieldSchema {
        guard field.cardinality == .list, case .message(let message) = field.type else { return field }
        return fields[messages[message].fields.lowerBound]
    }

    private mutating func addTable(for message: Int) {
        let range = messages[message].fields
        var size = 4
        while size < range.count * 4 { size *= 2 }
        let start = slots.count
        slots += repeatElement(Slot(hash: 0, field: -1, start: 0, count: 0), count: size)
        messages[message].slots = start..<start + size
        for field in range {
            insert(names[field].original, field, start, size)
            if names[field].json != names[field].original { insert(names[field].json, field, start, size) }
        }
    }

    private mutating func insert(_ name: String, _ field: Int, _ start: Int, _ size: Int) {
        let bytes = Array(name.utf8)
        let hash = bytes.withUnsafeBytes { YAMLTree.hash($0) }
        var slot = Int(hash) & (size - 1)
        while slots[start + slot].field >= 0 { slot = (slot + 1) & (size - 1) }
        slots[start + slot] = Slot(
            hash: hash, field: Int32(field), start: Int32(nameBytes.count), count: Int32(bytes.count))
        nameBytes += bytes
    }

    /// The field of a message that a key of a tree names, by either of its names.
    func field(_ tree: YAMLTree, key: Int, in message: Int) -> Int? {
        let hash = tree.hash(ofKey: key)
        let range = messages[message].slots
        let mask = range.count - 1
        var slot = Int(hash) & mask
        while true {
            let entry = slots[range.lowerBound + slot]
            if entry.field < 0 { return nil }
            if entry.hash == hash, isName(entry, tree, key) { return Int(entry.field) }
            slot = (slot + 1) & mask
        }
    }

    private func isName(_ entry: Slot, _ tree: YAMLTree, _ key: Int) -> Bool {
        tree.withBytes(of: key) { bytes in
            guard bytes.count == Int(entry.count) else { return false }
            for index in 0..<bytes.count where bytes[index] != nameBytes[Int(entry.start) + index] { return false }
            return true
        }
    }

    /// The field of a message with this name, in either spelling.
    func field(named name: String, in message: Int) -> Int? {
        messages[message].fields.first { names[$0].original == name || names[$0].json == name }
    }
}
