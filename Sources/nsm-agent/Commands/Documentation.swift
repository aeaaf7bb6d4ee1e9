internal import ArgumentParser
internal import LinuxKinds
internal import Model

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Explain models and fields of the configuration.",
        discussion:
            "For example 'explain linux.l3.route' or 'explain linux.l3.route.metric'. Alone it lists all models.")

    @Argument(help: ArgumentHelp("A model, with or without a field.", valueName: "model[.field…]"))
    var path: String?

    func run() throws {
        let text: String
        do {
            text = try Explain.text(for: path, names: HostNames.resolver)
        } catch {
            throw Failure("\(error)", status: ExitStatus.usage)
        }
        Show.text(text)
    }
}

struct SchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Write the JSON Schema of configuration files, for editors.")

    func run() throws {
        Show.text(JSONWriter.write(Schema.jsonSchema()))
    }
}
