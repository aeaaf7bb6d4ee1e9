internal import Model
internal import SwiftProtobuf

/// The descriptors of all that can be called, by file and by what is in them.
struct Descriptors: Sendable {
    /// A file and what it imports.
    struct File: Sendable {
        var descriptor: Google_Protobuf_FileDescriptorProto
        var bytes: [UInt8]
    }

    static let shared = Descriptors()

    private(set) var files: [String: File] = [:]
    /// Files by the full names of messages, enumerations, services, methods and extensions.
    private var symbols: [String: String] = [:]
    /// Files by the message they extend and the number.
    private var extensions: [String: [Int32: String]] = [:]

    private init() {
        // What does not decode is missing, which a test would notice.
        let bytes = Base64.decode(NorthboundDescriptors.all)
        let set = (try? Google_Protobuf_FileDescriptorSet(serializedBytes: bytes)) ?? .init()
        for file in set.file { add(file) }
        if let reflection = files["grpc/reflection/v1/reflection.proto"]?.descriptor { add(Self.alpha(reflection)) }
    }

    /// The file that describes a symbol.
    func file(containing symbol: String) -> String? {
        if let file = symbols[symbol] { return file }
        // A field, a value or a method is in the file of what it belongs to.
        guard let dot = symbol.lastIndex(of: ".") else { return nil }
        return symbols[String(symbol[..<dot])]
    }

    /// The file with an extension of a message.
    func file(extending message: String, number: Int32) -> String? { extensions[message]?[number] }

    /// Numbers of a message's extensions; nil: there is no such message.
    func extensionNumbers(of message: String) -> [Int32]? {
        guard symbols[message] != nil else { return nil }
        return extensions[message].map { $0.keys.sorted() } ?? []
    }

    /// A file with all that it imports, directly or not, itself first.
    func closure(of name: String) -> [File] {
        var names = [name]
        var seen: Set<String> = [name]
        var result: [File] = []
        var next = 0
        while next < names.count {
            defer { next += 1 }
            guard let file = files[names[next]] else { continue }
            result.append(file)
            for dependency in file.descriptor.dependency where seen.insert(dependency).inserted {
                names.append(dependency)
            }
        }
        return result
    }

    private mutating func add(_ file: Google_Protobuf_FileDescriptorProto) {
        guard let bytes: [UInt8] = try? file.serializedBytes() else { return }
        files[file.name] = File(descriptor: file, bytes: bytes)
        let scope = file.package.isEmpty ? "" : file.package + "."
        for message in file.messageType { add(message, scope, file.name) }
        for list in file.enumType { symbols[scope + list.name] = file.name }
        for service in file.service { symbols[scope + service.name] = file.name }
        for field in file.extension { add(field, scope, file.name) }
    }

    private mutating func add(_ message: Google_Protobuf_DescriptorProto, _ scope: String, _ file: String) {
        symbols[scope + message.name] = file
        let inner = scope + message.name + "."
        for nested in message.nestedType { add(nested, inner, file) }
        for list in message.enumType { symbols[inner + list.name] = file }
        for field in message.extension { add(field, inner, file) }
    }

    private mutating func add(_ field: Google_Protobuf_FieldDescriptorProto, _ scope: String, _ file: String) {
        symbols[scope + field.name] = file
        extensions[String(field.extendee.drop { $0 == "." }), default: [:]][field.number] = file
    }

    /// Reflection as it was called before it was finished: the same under another name.
    private static func alpha(_ file: Google_Protobuf_FileDescriptorProto) -> Google_Protobuf_FileDescriptorProto {
        func renamed(_ name: String) -> String {
            let old = ".\(file.package)."
            return name.hasPrefix(old) ? ".\(ReflectionFace.alphaPackage)." + name.dropFirst(old.count) : name
        }
        var alpha = file
        alpha.name = "grpc/reflection/v1alpha/reflection.proto"
        alpha.package = ReflectionFace.alphaPackage
        for message in alpha.messageType.indices {
            for field in alpha.messageType[message].field.indices
            where alpha.messageType[message].field[field].hasTypeName {
                let name = alpha.messageType[message].field[field].typeName
                alpha.messageType[message].field[field].typeName = renamed(name)
            }
        }
        for service in alpha.service.indices {
            for method in alpha.service[service].method.indices {
                let old = alpha.service[service].method[method]
                alpha.service[service].method[method].inputType = renamed(old.inputType)
                alpha.service[service].method[method].outputType = renamed(old.outputType)
            }
        }
        return alpha
    }
}
