internal import Hummingbird
internal import HTTPTypes
internal import Model
internal import NIOCore
internal import Reconciler

/// `/configuration` and `/configuration/validate`: all that is declared, as one file.
struct ConfigurationRoutes: Sendable {
    let backend: any RESTBackend
    let limit: Int

    func configuration(_ call: RESTCall) async throws -> Response {
        let values = await backend.declaredValues()
        let tree = ConfigDocument.tree(of: values.map(\.value))
        let text = values.isEmpty ? "{}\n" : YAMLWriter.write(tree)
        return .text(text, type: "application/yaml; charset=UTF-8")
    }

    /// As the ancestor of this agent has it, these values are those of the source `grpc`.
    func change(_ call: RESTCall) async throws -> Response {
        let config = await backend.read(configuration: try await body(call))
        guard config.isValid else { throw RESTError(.string(Self.text(config))) }
        guard !config.items.isEmpty || call.query.has("replace") else {
            throw RESTError(.string("the body declares nothing; ?replace with 'linuxConfig: {}' withdraws everything"))
        }
        let change = ConfigurationRequest(
            source: "grpc", origin: call.peer.name, values: config.items.map(\.value), removed: [],
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
        let config = await backend.read(configuration: try await body(call))
        guard config.isValid else { throw RESTError(.string(Self.text(config))) }
        if config.invalidValues.isEmpty { return .json(.object([])) }
        let values = Dictionary(config.items.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        throw RESTError(.json(.array(config.invalidValues.flatMap { Self.mistakes($0, values[$0.key]) })), .badRequest)
    }

    private static func mistakes(_ invalid: LoadedConfig.InvalidValue, _ value: ModelValue?) -> [JSON] {
        let fields = invalid.fields.isEmpty ? [""] : invalid.fields
        return fields.map { field in
            let model = value?.model
            let list = model.map { "\($0.group).\($0.list)*" } ?? invalid.key
            return .fields([
                ("path", .string(field.isEmpty ? list : "\(list).\(field)")), ("error", .string(invalid.text)),
                ("error_config_part", value.map { .string(YAMLWriter.write(ConfigDocument.tree(of: $0))) }),
                ("at", .string("\(invalid.position)")),
            ])
        }
    }

    private static func text(_ config: LoadedConfig) -> String {
        let more = config.omittedMistakes > 0 ? ["and \(config.omittedMistakes) more mistakes"] : []
        return (config.mistakes.map(\.description) + more).joined(separator: "\n") + "\n"
    }

    private func body(_ call: RESTCall) async throws -> [UInt8] {
        let tooLong = RESTError("the body is longer than \(limit) bytes", .contentTooLarge)
        if let text = call.request.headers[.contentLength], let length = Int(text), length > limit { throw tooLong }
        do {
            return Array(buffer: try await call.request.body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
            throw tooLong
        }
    }
}
