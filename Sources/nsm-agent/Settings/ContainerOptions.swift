internal import ArgumentParser
internal import Containers

/// Where containers are looked for that values name.
struct ContainerOptions: ParsableArguments, Sendable {
    @Option(
        name: .customLong("containers-docker"), parsing: .singleValue,
        help: ArgumentHelp(
            "The Unix socket of a Docker whose containers values may name, or of what speaks its API. Can be given more than once. (default: $DOCKER_HOST, else /run/docker.sock beside the usual ones of CRI)",
            valueName: "path"))
    var docker: [String] = []
    @Option(
        name: .customLong("containers-cri"), parsing: .singleValue,
        help: ArgumentHelp(
            "The same of containerd or CRI-O. (default: $CONTAINER_RUNTIME_ENDPOINT, else those in /run)",
            valueName: "path"))
    var cri: [String] = []
    @Flag(
        name: .customLong("containers-newest"),
        help: "Of several containers with one MICROSERVICE_LABEL the newest counts, not the one that was first.")
    var newest = false

    mutating func validate() throws {
        for text in docker { _ = try Self.path(text, "--containers-docker") }
        for text in cri { _ = try Self.path(text, "--containers-cri") }
    }

    private static func path(_ text: String, _ option: String) throws -> String {
        let path = text.hasPrefix("unix://") ? String(text.dropFirst(7)) : text
        // sun_path, unix(7).
        guard path.hasPrefix("/"), path.utf8.count <= 107 else {
            throw ValidationError("\(option) '\(text)': the path of a Unix socket is needed, of at most 107 bytes")
        }
        return path
    }

    /// Sockets by name; where none is named those of the environment; and else the usual ones.
    func settings() throws -> ContainerSettings {
        var named = docker.map { (ContainerSettings.Speech.docker, $0, "--containers-docker") }
        named += cri.map { (.cri, $0, "--containers-cri") }
        if named.isEmpty {
            // Others than Unix sockets tell of other hosts' processes.
            if let text = environment("DOCKER_HOST"), text.hasPrefix("unix://") {
                named.append((.docker, text, "$DOCKER_HOST"))
            }
            if let text = environment("CONTAINER_RUNTIME_ENDPOINT"), text.hasPrefix("unix://") {
                named.append((.cri, text, "$CONTAINER_RUNTIME_ENDPOINT"))
            }
        }
        if named.isEmpty { return ContainerSettings(prefersNewest: newest) }
        return ContainerSettings(
            engines: try named.map { .init($0.0, try Self.path($0.1, $0.2)) }, prefersNewest: newest)
    }
}
