internal import Agent
internal import ArgumentParser
internal import Logging
internal import Mesh
internal import NSM

struct MeshBundle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bundle", abstract: "Print the authorities of this host, for another host's --trust-bundle.",
        discussion: """
            The output is PEM without any key. An authority that is not there yet is made, so this can be done before the \
            mesh runs for the first time. --state-dir and --trust-domain are those of 'nsm-agent mesh'. With SPIRE, \
            federate its trust domains instead.
            """)

    @ParentCommand var command: MeshCommand

    func run() throws {
        let mesh = command.mesh
        let logger = Logger(label: "nsm-agent") { label in
            StandardErrorLog(label: label, format: .text, level: .warning)
        }
        do {
            let authority = try HostAuthority(
                directory: mesh.stateDir, trustDomain: mesh.trustDomain, host: MeshEnvironment.hostName, logger: logger)
            let bundles = try authority.issue(authority.managerID()).bundles
            Show.text(bundles.pem(of: mesh.trustDomain))
        } catch {
            throw Failure("\(error)")
        }
    }
}
