internal import Concurrency
internal import Glibc

/// What the variables say that programs of Network Service Mesh know: where the mesh is, and who this program is in it.
///
/// | variable | unless set |
/// |---|---|
/// | `NSM_CONNECT_TO` | ``defaultManagerURL`` |
/// | `NSM_NAME` | the host's name |
/// | `SPIFFE_ENDPOINT_SOCKET` | ``defaultWorkloadSocket`` |
/// | `NSM_AGENT_SVID_HINT` | the first identity |
/// | `NSM_DIAL_TIMEOUT`, `NSM_REQUEST_TIMEOUT` | `5s`, `15s` |
/// | `NSM_MAX_TOKEN_LIFETIME` | `10m` |
/// | `NSM_LIVENESS_CHECK_ENABLED`, `…_INTERVAL`, `…_TIMEOUT` | `true`, `5s`, `1s` |
/// | `NODE_NAME`, `POD_NAME`, `CLUSTER_NAME` | no label |
///
/// Times are written as Go does it: `300ms`, `1m30s`.
public struct MeshEnvironment: Sendable {
    /// Where the manager listens.
    public var manager: SocketAddress
    /// The program's name in paths; unique among the programs of a manager.
    public var name: String
    /// The SPIFFE Workload API: `unix:///path`, `unix:@name` or `tcp://address:port`.
    public var workloadSocket: String
    /// Which of several identities to take, by the hint that the Workload API gives; nil: the first.
    public var svidHint: String?
    /// The longest time for making a transport connection.
    public var dialTimeout: Duration
    /// The longest time for one request.
    public var requestTimeout: Duration
    /// How long tokens live that the program signs.
    public var tokenLifetime: Duration
    /// How the data path of connections is checked; nil: not at all.
    public var liveness: LivenessCheck?
    /// `nodeName`, `podName` and `clusterName`, as far as they are known.
    public var labels: [String: String] = [:]

    /// The socket of the Workload API that the mesh of a host without SPIRE serves.
    public static let defaultWorkloadSocket = "unix:///run/nsm-agent/workload.sock"

    /// Reads the variables.
    ///
    /// - Parameters:
    ///   - variable: Looks one up; nil when it is not set. The process's own unless given.
    ///   - host: The name when `NSM_NAME` gives none.
    /// - Throws: ``NSMError`` of the code `local`, with the variable that can't be used and what would be right.
    public init(
        _ variable: (String) -> String? = MeshEnvironment.ofProcess, host: String = MeshEnvironment.hostName
    ) throws(NSMError) {
        let url = variable("NSM_CONNECT_TO") ?? defaultManagerURL
        guard let address = SocketAddress(url: url) else {
            throw NSMError(.local, "NSM_CONNECT_TO is '\(url)'; a URL such as unix:///path is needed")
        }
        manager = address
        name = variable("NSM_NAME") ?? host
        workloadSocket = variable("SPIFFE_ENDPOINT_SOCKET") ?? Self.defaultWorkloadSocket
        do {
            _ = try WorkloadEndpoint(workloadSocket)
        } catch {
            throw NSMError(.local, "SPIFFE_ENDPOINT_SOCKET: \(error)")
        }
        svidHint = variable("NSM_AGENT_SVID_HINT").flatMap { $0.isEmpty ? nil : $0 }
        dialTimeout = try Self.duration("NSM_DIAL_TIMEOUT", variable) ?? .seconds(5)
        requestTimeout = try Self.duration("NSM_REQUEST_TIMEOUT", variable) ?? .seconds(15)
        tokenLifetime = try Self.duration("NSM_MAX_TOKEN_LIFETIME", variable) ?? .seconds(600)
        var check = LivenessCheck()
        check.interval = try Self.duration("NSM_LIVENESS_CHECK_INTERVAL", variable) ?? check.interval
        check.timeout = try Self.duration("NSM_LIVENESS_CHECK_TIMEOUT", variable) ?? check.timeout
        liveness = try Self.flag("NSM_LIVENESS_CHECK_ENABLED", variable) ?? true ? check : nil
        for (label, word) in [("nodeName", "NODE_NAME"), ("podName", "POD_NAME"), ("clusterName", "CLUSTER_NAME")] {
            labels[label] = variable(word)
        }
    }

    /// A variable of this process; nil when it is not set.
    public static func ofProcess(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    /// This host's name, as far as it can be part of an identity and of a path.
    public static var hostName: String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, 255) == 0 else { return "host" }
        let bytes = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        let name = String(decoding: bytes, as: UTF8.self).filter { character in
            character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
        }
        return name.isEmpty ? "host" : name
    }

    /// A name that no other program with the same default has on this host: the host's name, in a network namespace other than
    /// the host's own with the namespace's number.
    public static var uniqueName: String { uniqueName(host: hostName, process: "self") }

    /// - Parameter process: Whose namespace it is.
    package static func uniqueName(host: String, process: String) -> String {
        var space = stat()
        guard !isOfHost(process: process), stat("/proc/\(process)/ns/net", &space) == 0 else { return host }
        return "\(host)-\(space.st_ino)"
    }

    /// Whether this process is in the host's own network namespace, as far as can be determined.
    package static var isOfHost: Bool { isOfHost(process: "self") }

    private static func isOfHost(process: String) -> Bool {
        // These files are one namespace's, and everybody may look; the links in ns/ are for who may trace the process.
        func file(_ process: String) -> UInt64? {
            var status = stat()
            return stat("/proc/\(process)/net/dev", &status) == 0 ? UInt64(status.st_ino) : nil
        }
        guard let own = file(process), let first = file("1") else { return true }
        return own == first
    }

    private static func duration(_ name: String, _ variable: (String) -> String?) throws(NSMError) -> Duration? {
        guard let text = variable(name) else { return nil }
        guard let duration = GoDuration.parse(text), duration > .zero else {
            throw NSMError(.local, "\(name) is '\(text)'; a time such as 15s or 1m30s is needed")
        }
        return duration
    }

    /// Whether a variable says yes; nil: it is not set. Source: `strconv.ParseBool`, which reads the variables of stock clients.
    package static func flag(_ name: String, _ variable: (String) -> String?) throws(NSMError) -> Bool? {
        guard let text = variable(name) else { return nil }
        if ["1", "t", "T", "true", "TRUE", "True"].contains(text) { return true }
        if ["0", "f", "F", "false", "FALSE", "False"].contains(text) { return false }
        throw NSMError(.local, "\(name) is '\(text)'; true or false is needed")
    }
}
