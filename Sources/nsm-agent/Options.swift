internal import Agent
internal import ArgumentParser
internal import CLinux
internal import Glibc
internal import MeshTransport
internal import Northbound

/// Whose objects a command is about, and where.
struct OwnerOptions: ParsableArguments, Sendable {
    @Option(
        help:
            "Owner of what is made. Two labels on one host never touch each other's objects. (default: $MICROSERVICE_LABEL or 'default')"
    )
    var label: String?

    @Option(
        name: .customLong("protocol"),
        help: ArgumentHelp(
            "Protocol number that marks addresses, routes, neighbours and rules as ours, 1 to 255. (default: 78 for the label 'default', else one of 200 to 249)",
            valueName: "number"))
    var proto: UInt8?

    @Option(help: ArgumentHelp("Where named network namespaces are.", valueName: "directory"))
    var namespaceDirectory = "/run/netns"

    mutating func validate() throws {
        let name = resolvedLabel
        guard !name.isEmpty, name.utf8.count <= 64, !name.contains(where: { $0 == "/" || $0.isWhitespace }) else {
            throw ValidationError("the label '\(name)' must have 1 to 64 bytes without '/' and spaces")
        }
        // 0 to 4 are the kernel's own: unspecified, redirect, kernel, boot, static.
        if let proto, proto <= 4 {
            throw ValidationError("protocol \(proto) belongs to the kernel and ip(8); use one of 5 to 255")
        }
    }

    var resolvedLabel: String { label ?? environment("MICROSERVICE_LABEL") ?? "default" }

    var settings: AgentSettings {
        AgentSettings(label: resolvedLabel, proto: proto, namespaceDirectory: namespaceDirectory)
    }
}

/// How something is shown.
struct OutputOptions: ParsableArguments, Sendable {
    @Option(name: .shortAndLong, help: "How to show it: table, json or yaml.")
    var output = OutputFormat.table
}

/// How something is shown.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table
    case json
    case yaml
}

/// How to reach the agent.
struct SocketOptions: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "The agent's socket. (default: $NSM_AGENT_SOCKET or \(ControlSocket.defaultPath))", valueName: "path"))
    var socket: String?

    var path: String { socket ?? Self.usualPath }

    /// The socket of the agent unless a command names another one.
    static var usualPath: String { environment("NSM_AGENT_SOCKET") ?? ControlSocket.defaultPath }

    /// A client, or a failure that says what to do.
    func client() throws -> ControlClient {
        do throws(ControlSocket.Failure) {
            return try ControlClient(path: path)
        } catch {
            throw Failure(error.description, status: error.exitStatus)
        }
    }
}

/// Which agent is asked: the one of this host, or another one.
struct AgentOptions: ParsableArguments, Sendable {
    @OptionGroup var local: SocketOptions
    @Option(
        help: ArgumentHelp(
            "Where the gRPC API of an agent on another host is, such as tls://192.0.2.1:9111, instead of the socket of this one.",
            valueName: "url"))
    var agent: String?
    @Option(
        help: ArgumentHelp(
            "Authorities of that agent's certificate, PEM. (default: those of the system)", valueName: "file"))
    var agentCa: String?
    @Option(help: ArgumentHelp("The certificate that is shown to that agent, PEM.", valueName: "file"))
    var agentCert: String?
    @Option(help: ArgumentHelp("The key of --agent-cert, PEM.", valueName: "file"))
    var agentKey: String?

    mutating func validate() throws { _ = try remote() }

    /// Nil: the one of this host is meant.
    private func remote() throws -> RemoteAgent? {
        let namesFiles = agentCa != nil || agentCert != nil || agentKey != nil
        guard let agent else {
            if namesFiles {
                throw ValidationError("--agent-ca, --agent-cert and --agent-key need --agent tls://host:9111")
            }
            return nil
        }
        if local.socket != nil { throw ValidationError("--agent and --socket name two agents; give one of them") }
        guard (agentCert == nil) == (agentKey == nil) else {
            throw ValidationError("TLS needs both --agent-cert and --agent-key")
        }
        let isSecure = agent.hasPrefix("tls://")
        guard let address = SocketAddress(url: isSecure ? String(agent.dropFirst(6)) : agent),
            isSecure || agent.hasPrefix("tcp://") || agent.hasPrefix("unix:")
        else { throw ValidationError("--agent '\(agent)': tls://host:9111 is needed, or unix:///path") }
        if isSecure {
            guard case .tcp = address else { throw ValidationError("--agent '\(agent)': a host and a port are needed") }
            return RemoteAgent(
                address: address,
                tls: ClientTLSFiles(authorityFile: agentCa, certificateFile: agentCert, keyFile: agentKey))
        }
        if namesFiles { throw ValidationError("--agent '\(agent)': files for TLS need tls://") }
        guard address.isLocal else {
            throw ValidationError("--agent '\(agent)': beyond this host only tls:// is used, as others could answer")
        }
        return RemoteAgent(address: address, tls: nil)
    }

    /// A client, or a failure that says what to do.
    func client() throws -> ControlClient {
        guard let remote = try remote() else { return try local.client() }
        do throws(ControlClient.Failure) {
            return try ControlClient(remote)
        } catch {
            throw Failure(error.description, status: ExitStatus.usage)
        }
    }
}

extension ControlSocket.Failure {
    var exitStatus: Int32 {
        switch self {
        case .noAgent: ExitStatus.unavailable
        case .forbidden: ExitStatus.forbidden
        case .refused(_, _, let code): code == EACCES || code == EPERM ? ExitStatus.forbidden : ExitStatus.failure
        case .pathTooLong: ExitStatus.usage
        case .inUse, .notASocket: ExitStatus.failure
        }
    }
}

/// A span of time on the command line: `10`, `10s`, `500ms`, `2m`.
struct Span: ExpressibleByArgument, CustomStringConvertible {
    let milliseconds: Int64

    init(milliseconds: Int64) { self.milliseconds = milliseconds }

    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }

    init?(argument: String) {
        let units: [(String, Double)] = [("ms", 1), ("s", 1000), ("m", 60_000), ("", 1000)]
        for (unit, factor) in units where argument.hasSuffix(unit) {
            guard let number = Double(argument.dropLast(unit.count)), number >= 0, number * factor < 1e12 else {
                return nil
            }
            milliseconds = Int64((number * factor).rounded())
            return
        }
        return nil
    }

    var duration: Duration { .milliseconds(milliseconds) }
    var description: String { milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms" }
    var defaultValueDescription: String { description }
}

/// How often the daemon looks at what no event tells of: a span of time of at least 100 ms, or `off`.
struct AuditInterval: ExpressibleByArgument, CustomStringConvertible {
    /// nil: never.
    let milliseconds: Int64?

    init(milliseconds: Int64?) { self.milliseconds = milliseconds }

    init?(argument: String) {
        if argument == "off" {
            milliseconds = nil
            return
        }
        guard let span = Span(argument: argument), span.milliseconds >= 100 else { return nil }
        milliseconds = span.milliseconds
    }

    var nanoseconds: Int64? { milliseconds.map { $0 * 1_000_000 } }
    var description: String { milliseconds.map { Span(milliseconds: $0).description } ?? "off" }
    var defaultValueDescription: String { description }
}

/// The capabilities a command needs.
enum Privileges {
    /// Whether all that a plan is about can be looked at.
    static var canLook: Bool { cl_has_capability(CL_CAP_NET_ADMIN) == 1 && cl_has_capability(CL_CAP_SYS_ADMIN) == 1 }

    /// Checks for the right to change the network, or only to look into namespaces.
    static func require(changing: Bool) throws {
        // In a pod's own namespace CAP_NET_ADMIN is enough; values in others then wait and say what is missing.
        if cl_has_capability(CL_CAP_NET_ADMIN) == 1 { return }
        if !changing, cl_has_capability(CL_CAP_SYS_ADMIN) == 1 { return }
        let what =
            changing
            ? "changing networks needs CAP_NET_ADMIN, and CAP_SYS_ADMIN for namespaces other than its own"
            : "looking into network namespaces needs CAP_SYS_ADMIN"
        throw Failure(
            "\(what); run this as root, or in a service with these capabilities", status: ExitStatus.forbidden)
    }
}

/// A variable of the environment that is not empty.
func environment(_ name: String) -> String? {
    guard let value = getenv(name).map({ String(cString: $0) }), !value.isEmpty else { return nil }
    return value
}
