internal import ArgumentParser
internal import Mesh
internal import NetworkTypes

/// Who may do what with the mesh of this host.
struct RightsOptions: ParsableArguments, Sendable {
    @Flag(help: "Serve all users of this host. Otherwise root is served, and who is allowed.")
    var open = false
    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "A user or group that is served beside root. Can be given more than once.", valueName: "uid:N|gid:N"))
    var allow: [String] = []
    @Option(
        name: .customLong("offer"), parsing: .singleValue,
        help: ArgumentHelp(
            "Who may offer a service: root, any, uid:N, gid:N or a pattern of SPIFFE ids, several with commas between; * stands for all services. Without it the first to offer it, and root; with SPIRE everybody. Can be given more than once.",
            valueName: "service=who"))
    var offers: [String] = []
    @Option(
        name: .customLong("manager"), parsing: .singleValue,
        help: ArgumentHelp(
            "A pattern of the SPIFFE ids of managers, forwarders and registries, such as spiffe://example.org/*/nsmgr. They act for others. Without it the managers of other hosts' own authorities. Can be given more than once.",
            valueName: "pattern"))
    var managers: [String] = []
    @Option(
        name: .customLong("tunnel-from"), parsing: .singleValue,
        help: ArgumentHelp(
            "Where tunnels of other managers may start or end, beside the address that they connect from. Can be given more than once.",
            valueName: "prefix"))
    var tunnelSources: [String] = []
    @Flag(
        help:
            "Connections may end in the mesh's own network namespace as in any other: also those of users other than root, with default routes, rules for all packets and changed sysctls."
    )
    var hostNetwork = false

    mutating func validate() throws { _ = try rights() }

    /// What the options say together.
    func rights() throws -> MeshRights {
        var rights = MeshRights()
        rights.isOpen = open
        rights.usesHostNetwork = hostNetwork
        rights.allowed = try allow.map { text in
            switch PeerPattern(text) {
            case .user?, .group?: break
            case .any?, .root?, .id?, nil: throw ValidationError("--allow '\(text)': uid:1000 or gid:100 is needed")
            }
            return try Self.pattern(text, "--allow")
        }
        rights.managers = try Self.ids(managers)
        rights.tunnelSources = try Self.prefixes(tunnelSources)
        for text in offers {
            let words = text.split(separator: "=", maxSplits: 1).map(String.init)
            guard words.count == 2 else {
                throw ValidationError(
                    "--offer '\(text)': a service and who may offer it are needed, such as db=uid:1000")
            }
            rights.offers[words[0], default: []] += try words[1].split(separator: ",").map {
                try Self.pattern(String($0), "--offer")
            }
        }
        return rights
    }

    /// The patterns of `--manager`.
    static func ids(_ texts: [String]) throws -> [String] {
        for text in texts {
            guard case .id? = PeerPattern(text) else {
                throw ValidationError("--manager '\(text)': a SPIFFE id such as spiffe://example.org/*/nsmgr is needed")
            }
        }
        return texts
    }

    /// The prefixes of `--tunnel-from`.
    static func prefixes(_ texts: [String]) throws -> [IPPrefix] {
        try texts.map { text in
            guard let prefix = IPPrefix(text) else {
                throw ValidationError("--tunnel-from '\(text)' is not a prefix such as 192.0.2.0/24")
            }
            return prefix
        }
    }

    private static func pattern(_ text: String, _ option: String) throws -> PeerPattern {
        guard let pattern = PeerPattern(text) else {
            throw ValidationError("\(option) '\(text)': root, any, uid:1000, gid:100 or spiffe://… is needed")
        }
        return pattern
    }
}
