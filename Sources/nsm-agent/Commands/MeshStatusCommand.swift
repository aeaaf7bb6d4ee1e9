internal import ArgumentParser
internal import Mesh
internal import Model

struct MeshStatusCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show services, endpoints, connections and other hosts of the mesh.",
        discussion: """
            Each connection is shown with both ends, the network namespaces they are in, its age, and what the end on this \
            host received and sent (the client's end when both are here). A restart of the mesh starts the age again; links \
            and their counters stay. Only root may ask. Exit status 1 if a connection's endpoint is down, if another host \
            can't be reached, or if nothing has that name.
            """)

    @Argument(
        help: ArgumentHelp(
            "Only what belongs to this service, endpoint, client, interface, network namespace or host.",
            valueName: "name"))
    var name = ""
    @Option(
        help: ArgumentHelp(
            "The mesh's status socket. (default: \(MeshStatusClient.defaultPath))", valueName: "path"))
    var socket: String?
    @OptionGroup var output: OutputOptions
    @ParentCommand var command: MeshCommand

    func run() async throws {
        let report: MeshReport
        do {
            let client = try MeshStatusClient(path: socket ?? command.mesh.statusSocket)
            report = MeshReport(try await client.status(), name: name)
        } catch let error as MeshStatusClient.Failure {
            throw Failure(error.description, status: error.exitStatus)
        }
        if report.isEmpty, !name.isEmpty {
            throw Failure("the mesh has nothing with the name '\(name)'; 'nsm-agent mesh status' shows all")
        }
        Show.tree(report.tree, as: output.output) { report.text($0) }
        if !report.isGood { throw Failure.said(status: ExitStatus.failure) }
    }
}

extension MeshStatusClient.Failure {
    fileprivate var exitStatus: Int32 {
        switch self {
        case .noMesh, .noAnswer: ExitStatus.unavailable
        case .forbidden: ExitStatus.forbidden
        }
    }
}
