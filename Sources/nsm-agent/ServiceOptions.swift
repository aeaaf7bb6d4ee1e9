internal import ArgumentParser
internal import Glibc
internal import Logging
internal import NSM
internal import NSMServices

/// Where network services are found, and who asks for them.
struct ServiceOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "The manager of Network Service Mesh. (default: $NSM_CONNECT_TO or the node's standard socket)",
            valueName: "url"))
    var nsmManager: String?
    @Option(
        help: ArgumentHelp(
            "Our name in the mesh, unique among the clients of a manager. (default: $NSM_NAME, or the host's name, with the number of the network namespace unless that is the host's own, and with the label unless that is 'default')",
            valueName: "name"))
    var nsmName: String?
    @Option(
        help: ArgumentHelp(
            "Name servers that services give: off, file (into /etc/resolv.conf), print (log and status) or resolver (one of our own, in /etc/resolv.conf, asks each service for its own domains). (default: resolver with NSM_LOCAL_DNS_SERVER_ENABLED=true, else off)",
            valueName: "mode"))
    var nsmDns: NameServerOption?
    @Option(
        help: ArgumentHelp(
            "Where on the loopback the resolver of '--nsm-dns resolver' listens, unless a socket unit hands its sockets over. (default: $NSM_LOCAL_DNS_SERVER_ADDRESS or 127.0.0.1:53)",
            valueName: "address[:port]"))
    var dnsAddress: String?
    @Option(
        help: ArgumentHelp(
            "An IPAM server of vL3 networks that gives endpoints without prefixes one. Repeat it to get a prefix from each server. (default: $NSM_PREFIX_SERVER_URL; endpoints with vl3 ask the manager if none is named)",
            valueName: "url"))
    var prefixServer: [String] = []
    @Option(
        help: ArgumentHelp(
            "The SPIFFE id that IPAM servers must have over TCP; '*' stands for any characters. (default: $NSM_AGENT_PREFIX_SERVER_ID, or the managers of hosts' own authorities)",
            valueName: "id"))
    var prefixServerId: String?
    @Flag(help: "Talk to a manager on a Unix socket without TLS and tokens. Only for trials.")
    var nsmInsecure = false

    mutating func validate() throws {
        // Also finds mistakes in the environment before anything starts.
        _ = try settings(label: "")
    }

    /// The environment of stock clients, with what the command line says instead.
    ///
    /// - Parameter mesh: The mesh in this process, which is the one that is meant where nothing else is said.
    func settings(label: String, hosting mesh: MeshOptions? = nil) throws -> ServiceSettings {
        let name = MeshEnvironment.uniqueName
        let host = label.isEmpty || label == "default" ? name : "\(name)-\(label)"
        do throws(ServiceSettings.Mistake) {
            var settings = try ServiceSettings(environment: { environment($0) ?? mesh?.variables[$0] }, host: host)
            if let nsmManager { settings.manager = try ServiceSettings.address(nsmManager, "--nsm-manager") }
            if let nsmName { settings.name = nsmName }
            if let nsmDns { settings.nameServers = nsmDns.mode }
            if let dnsAddress {
                settings.resolverAddress = try ServiceSettings.resolverAddress(dnsAddress, "--dns-address")
            }
            if !prefixServer.isEmpty {
                settings.prefixServers = try ServiceSettings.prefixServers(prefixServer, "--prefix-server")
            }
            if let prefixServerId { settings.prefixServerID = prefixServerId }
            settings.isInsecure = nsmInsecure
            try settings.check()
            return settings
        } catch {
            throw ValidationError(error.description)
        }
    }
}

/// What is done with name servers.
enum NameServerOption: String, ExpressibleByArgument, CaseIterable {
    case off
    case file
    case print
    case resolver

    var mode: ServiceSettings.NameServerMode {
        switch self {
        case .off: .off
        case .file: .file
        case .print: .print
        case .resolver: .resolver
        }
    }
}

extension OtherVariables {
    /// Says in one line which variables of stock programs mean nothing here.
    static func tell(_ logger: Logger) {
        var all: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let words = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if words.count == 2 { all[String(words[0])] = String(words[1]) }
            next += 1
        }
        let names = ignored(all)
        if names.isEmpty { return }
        logger.warning(
            "variables of Network Service Mesh that have no effect here",
            metadata: ["variables": "\(names.joined(separator: ", "))"])
    }
}
