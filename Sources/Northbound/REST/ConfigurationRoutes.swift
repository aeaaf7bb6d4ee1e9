internal import Hummingbird
internal import HTTPTypes
internal import Model
internal import Reconciler

/// `/configuration` and `/configuration/validate`: all that is declared, as one file.
struct ConfigurationRoutes: Sendable {
    let backend: any RESTBackend

    func configuration(_ call: RESTCall) async throws -> Response {
        let values = await backend.declaredValues()
        let tree = ConfigDocument.tree(of: values.map(\.value))
        var text = values.isEmpty ? "{}\n" : YAMLWriter.write(tree)
        if call.query.isSet("sources") { text = await sources(of: values.map(\.key)) + text }
        return .text(text, type: "application/yaml; charset=UTF-8")
    }

    /// Who declares what, as comments before the file: `# KEY: grpc 10.0.0.7; not: files a.yaml:3`.
    private func sources(of keys: [Key]) async -> String {
        zip(keys, await backend.sources(of: keys)).map { key, sources in
            let others = sources.dropFirst()
            let rest = others.isEmpty ? "" : "; not: \(others.joined(separator: ", "))"
            // Names of clients and files are not ours: they must not begin a line.
            let line = "# \(key): \(sources.first ?? "")\(rest)"
            return String(line.map { $0.isNewline ? " " : $0 }) + "\n"
        }.joined()
    }

    /// As the ancestor of this agent has it, these values are those of the source `grpc`.
    func change(_ call: RESTCall) async throws -> Response {
        let config = await backend.read(configuration: call.body)
        guard config.isValid else { throw RESTError(.string(Self.text(config))) }
        guard !config.items.isEmpty || call.query.has("replace") else {
            throw RESTError(.string("the body declares nothing; ?replace with 'linuxConfig: {}' withdraws everything"))
        }
        let change = ConfigurationRequest(
            source: SourceName.grpc, origin: call.peer.name, values: config.items.map(\.value), removed: [],
            replacesAll: call.query.has("replace"))
        let answer: ConfigurationAnswer
        do {
            answer = try await backend.change(change)
        } catch let refusal as ConfigurationRefusal {
            throw RESTError(.string("can't push data into vpp-agent: \(refusal.description)"))
        }
        if answer.failures.isEmpty { return .json(.object([])) }
        let listed = answer.failures.prefix(100).map { "\($0.key) (\($0.verb)): \($0.text)" }
        throw RESTError(.string("can't push data into vpp-agent: KeyErrors: [\(listed.joined(separator: ", "))]"))
    }

    func validate(_ call: RESTCall) async throws -> Response {
        let config = await backend.read(configuration: call.body)
        let mistakes = config.mistakes.map { ValueMistake($0) }
        guard !mistakes.contains(where: { $0 == nil }), config.omittedMistakes == 0 else {
            throw RESTError(.string(Self.text(config)))
        }
        let found = mistakes.compactMap(\.self) + config.invalidValues.map { ValueMistake($0) }
        if found.isEmpty { return .json(.object([])) }
        throw RESTError(.json(.array(found.map(\.json))), .badRequest)
    }

    private static func text(_ config: LoadedConfig) -> String {
        let more = config.omittedMistakes > 0 ? ["and \(config.omittedMistakes) more mistakes"] : []
        return (config.mistakes.map(\.description) + more).joined(separator: "\n") + "\n"
    }
}

/// What is wrong with a value that could be read.
private struct ValueMistake {
    private let model: ModelDescription?
    private let field: String
    private let text: String
    private let position: SourcePosition

    /// Nil: it is of the text as a whole, or of something that is no value.
    init?(_ mistake: Mistake) {
        // As sentences of values begin: linux.l3.route '10.0.0.0/8': dst_network …
        guard let space = mistake.text.firstIndex(of: " "),
            let model = ModelRegistry.model(named: String(mistake.text[..<space])),
            let colon = mistake.text.firstRange(of: "': ")
        else { return nil }
        self.model = model
        let rest = mistake.text[colon.upperBound...]
        let first = rest.prefix { $0 != " " }
        let isField = !first.isEmpty && first.utf8.allSatisfy(Self.isOfField)
        field = isField ? String(first) : ""
        text = String(rest)
        position = mistake.position
    }

    init(_ invalid: LoadedConfig.InvalidValue) {
        model = ModelRegistry.model(forKey: invalid.key)
        field = invalid.fields.first ?? ""
        text = invalid.text
        position = invalid.position
    }

    private static func isOfField(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"),
            UInt8(ascii: "."), UInt8(ascii: "["), UInt8(ascii: "]"):
            true
        default: false
        }
    }

    var json: JSON {
        let list = model.map { "\($0.group).\($0.list)*" } ?? ""
        return .object([
            ("path", .string(field.isEmpty ? list : "\(list).\(field)")), ("error", .string(text)),
            ("at", .string("\(position)")),
        ])
    }
}
