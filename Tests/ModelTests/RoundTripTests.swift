@testable import Model
import TestSupport
import Testing

/// Makes random messages that the decoder accepts, from nothing but the schema.
private struct MessageMaker {
    var generator: SeededGenerator
    private let schema = Schema.plain
    private static let texts = [
        "a", "veth1", "1234", "true", "~", "", "a: b", "x y", "é", "-1", "0x1f", "null", "10.0.0.1", "a/b", "on",
    ]

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    mutating func wire(_ message: Int) -> [UInt8] {
        var out: [UInt8] = []
        var taken = Set<Int>()
        for field in schema.messages[message].fields where generator.chance(60) {
            let shape = schema.fields[field]
            if shape.oneof >= 0, !taken.insert(shape.oneof).inserted { continue }
            switch shape.cardinality {
            case .single, .optional: append(shape, &out)
            case .repeated: for _ in 0..<generator.below(4) { append(shape, &out) }
            case .list:
                var list: [UInt8] = []
                for _ in 0..<generator.below(3) { append(schema.content(of: shape), &list) }
                append(bytes: list, number: shape.number, &out)
            case .map: appendEntries(shape, &out)
            }
        }
        return out
    }

    private mutating func appendEntries(_ shape: FieldSchema, _ out: inout [UInt8]) {
        for index in 0..<generator.below(4) {
            var entry: [UInt8] = []
            append(text: "k\(index)", number: 1, &entry)
            append(text: generator.pick(Self.texts), number: 2, &entry)
            append(bytes: entry, number: shape.number, &out)
        }
    }

    private func append(text: String, number: Int, _ out: inout [UInt8]) {
        append(bytes: Array(text.utf8), number: number, &out)
    }

    private func append(bytes: [UInt8], number: Int, _ out: inout [UInt8]) {
        Wire.append(UInt64(number) << 3 | 2, to: &out)
        Wire.append(UInt64(bytes.count), to: &out)
        out += bytes
    }

    private mutating func append(_ shape: FieldSchema, _ out: inout [UInt8]) {
        switch shape.type {
        case .message(let inner): append(bytes: wire(inner), number: shape.number, &out)
        case .string: append(text: text(shape), number: shape.number, &out)
        case .bool: append(number: generator.chance(50) ? 1 : 0, shape, &out)
        case .unsigned, .signed:
            append(number: UInt64.random(in: UInt64(shape.minimum)...shape.maximum, using: &generator), shape, &out)
        case .enumeration(let index):
            append(number: UInt64(generator.pick(schema.enums[index].values).number), shape, &out)
        }
    }

    private func append(number: UInt64, _ shape: FieldSchema, _ out: inout [UInt8]) {
        Wire.append(UInt64(shape.number) << 3, to: &out)
        Wire.append(number, to: &out)
    }

    private mutating func text(_ shape: FieldSchema) -> String {
        guard shape.format != .any else { return generator.pick(Self.texts) }
        if shape.allowsReference, generator.chance(20) { return "alloc:net/x" }
        let isV4 = generator.chance(50)
        let address = isV4 ? "10.\(generator.below(256)).0.1" : "fd00::\(String(generator.below(65536), radix: 16))"
        return shape.format.allowsLength && generator.chance(70)
            ? "\(address)/\(generator.below(isV4 ? 33 : 129))" : address
    }
}

@Suite struct RoundTripTests {
    @Test("any message survives being written and read, as YAML and as JSON", arguments: ModelDescription.Kind.allCases)
    func anyMessage(kind: ModelDescription.Kind) throws {
        var maker = MessageMaker(seed: UInt64(kind.rawValue) + 1)
        for _ in 0..<200 {
            let value = try ModelValue(kind, serializedBytes: maker.wire(Schema.modelMessages[kind.rawValue]))
            let tree = ConfigDocument.tree(of: value)
            for text in [YAMLWriter.write(tree), JSONWriter.write(tree)] {
                var decoder = MessageDecoder(source: Source(file: "t", tree: .init(parsing: text)))
                let root = try #require(decoder.source.tree.documents.first)
                #expect(decoder.decode(kind, root) == value, "\(text)\n\(decoder.mistakes)")
            }
        }
    }

    @Test(
        "a written configuration reads back as the same values",
        arguments: ["upstream.yaml", "own.yaml", "config.json"])
    func documents(name: String) {
        let config = loadCorpus(name)
        let values = config.items.map(\.value)
        let tree = ConfigDocument.tree(of: values)
        for text in [YAMLWriter.write(tree), JSONWriter.write(tree)] {
            let again = load(text)
            #expect(again.mistakes.map(\.description) == [])
            #expect(Set(again.items.map(\.value)) == Set(values))
            #expect(Set(again.items.map(\.key)) == Set(config.items.map(\.key)))
        }
    }

    @Test("output uses camelCase and leaves out defaults")
    func style() {
        let config = load(interfaces("{name: a, type: TAP, host_if_name: x, mtu: 0, tuntap: {mode: 0, owner: 0}}"))
        #expect(
            YAMLWriter.write(ConfigDocument.tree(of: config.items.map(\.value))) == """
                linuxConfig:
                  interfaces:
                    - name: a
                      type: TAP
                      hostIfName: x
                      tuntap:
                        owner: 0

                """)
    }

    @Test("the schema knows every message that is written")
    func schema() {
        #expect(
            Schema.modelMessages.map { Schema.plain.messages[$0].fullName } == ModelRegistry.all.map(\.protoMessage))
        #expect(ModelRegistry.all.map(\.kind) == ModelDescription.Kind.allCases)
        for message in Schema.plain.messages {
            #expect(message.fields.count <= 64, "decoding counts on one word of bits per message")
        }
    }
}
