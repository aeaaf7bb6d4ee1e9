internal import ArgumentParser
internal import LinuxKinds
internal import Model

struct ExplainCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Explain models and fields of the configuration, or one value of a running daemon.",
        discussion: """
            For example 'explain route', 'explain linux.l3.route.metric' or 'explain CNFConfiguration'. Alone it lists all models. \
            With --example it writes a file to start from. With a key, as \
            'status' shows it: who wants the value, where it stands, what it waits for and what was done with it last.
            """)

    @Argument(
        help: ArgumentHelp("A model, with or without a field, or a key.", valueName: "model[.field…]|key"),
        completion: Completions.modelsAndKeys)
    var path: String?
    @Flag(help: "Write a file with an example of the model.")
    var example = false
    @OptionGroup var socket: AgentOptions

    func run() async throws {
        guard let path else { return }
        let client = try socket.client()
        let story = try await client.answer { try await ValueStory(path, client: $0) }
        Show.text(story.text(Terminal.output))
    }

    /// Documentation is in the program; keys have a slash, as no model has.
    func isDoneAtOnce() throws -> Bool {
        if let path, path.contains("/") { return false }
        let text: String
        do {
            if example {
                guard let path else { throw Failure("--example needs a model", status: ExitStatus.usage) }
                text = try Explain.example(for: path)
            } else {
                text = try Explain.text(for: path, names: HostNames.resolver)
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure("\(error)", status: ExitStatus.usage)
        }
        Show.text(text)
        return true
    }
}

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Write the JSON Schema of configuration files, for editors.")

    @Flag(help: "Write the definition of CNFConfiguration instead, for an API server of Kubernetes.")
    var crd = false

    func run() throws {
        if crd {
            Show.text(Schema.resourceDefinition())
        } else {
            Show.text(JSONWriter.write(Schema.jsonSchema()))
        }
    }
}
