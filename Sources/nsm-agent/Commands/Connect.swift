internal import Agent
internal import ArgumentParser
internal import Glibc
internal import Model
internal import NSM
internal import NSMServices

struct Connect: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "connect",
        abstract: "Connect this network namespace to network services, as an init container does.",
        discussion: """
            Asks the mesh for each service, one after the other, and waits until its interface is there. With --once it then \
            exits, and the connections stay: the agent of the main container keeps them when it asks by the same ids, which \
            it does with the same services in NSM_NETWORK_SERVICES, or with a client in its files that has the name of --name. \
            Otherwise they end with their tokens (NSM_MAX_TOKEN_LIFETIME, 10 minutes). Without --once the command keeps the \
            connections until SIGTERM or Ctrl-C, and then closes them.

            Exit status: 1 if a service is not connected in time, 69 if the mesh can't be reached.
            """)

    @Argument(
        help: ArgumentHelp(
            "Services, such as db, db/nsm-db?app=web or kernel://db/nsm-db. (default: $NSM_NETWORK_SERVICES)",
            valueName: "service[/interface]"))
    var wanted: [String] = []
    @Flag(help: "Exit when all are connected, and leave the connections in place.")
    var once = false
    @Option(help: ArgumentHelp("How long all of it may take.", valueName: "time"))
    var timeout = Span(milliseconds: 60_000)
    @Option(
        help: ArgumentHelp(
            "Name of the client: the end of its connection's id. (default: its place, from 0)", valueName: "name"))
    var name: String?
    @Option(help: "Label of the agent that keeps the connection. (default: $MICROSERVICE_LABEL or 'default')")
    var label: String?
    @OptionGroup var log: LogOptions
    @OptionGroup(title: "Network services") var services: ServiceOptions

    mutating func validate() throws {
        if name != nil, wanted.count != 1 { throw ValidationError("--name is for one service; name it") }
        if name?.isEmpty == true { throw ValidationError("--name: a name is needed") }
        _ = try clients(ServiceSettings(environment: { _ in nil }, host: "host"))
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let logger = log.logger
        OtherVariables.tell(logger)
        let settings = try services.settings(label: label ?? environment("MICROSERVICE_LABEL") ?? "default")
        let clients = try clients(settings)
        guard !clients.isEmpty else {
            throw Failure(
                "name a service, such as 'nsm-agent connect db --once', or set NSM_NETWORK_SERVICES",
                status: ExitStatus.usage)
        }
        do {
            try await ServiceConnector(settings, clients: clients, logger: logger).run(
                within: .milliseconds(timeout.milliseconds),
                connected: { client, connection in
                    let addresses = connection.context.ipContext.srcIpAddrs.joined(separator: ", ")
                    Show.line(
                        "\(client.networkService) is connected: \(connection.mechanism.interfaceName)"
                            + (addresses.isEmpty ? "" : " with \(addresses)"))
                }, until: once ? nil : terminationSignal)
        } catch let error as ServiceConnector.Failure {
            throw Failure(
                error.description, status: error.isUnreachable ? ExitStatus.unavailable : ExitStatus.failure)
        } catch let error as NSMError {
            throw Failure("a connection was not closed, and ends with its tokens: \(error)")
        }
    }

    /// What is asked for: the services of the command line, or those of the environment.
    private func clients(_ settings: ServiceSettings) throws -> [Upnp_NetworkServiceClient] {
        if wanted.isEmpty { return settings.clients }
        do throws(ServiceSettings.Mistake) {
            var clients: [Upnp_NetworkServiceClient] = []
            for text in wanted {
                clients.append(try ServiceSettings.client(text, name: name ?? "\(clients.count)"))
            }
            if Set(clients.map(\.interfaceName)).count == clients.count { return clients }
        } catch {
            throw ValidationError(error.description)
        }
        throw ValidationError("two services have the same interface; give each its own")
    }
}
