/// Variables of programs of Network Service Mesh that mean nothing here.
public enum OtherVariables {
    /// Those that this program reads.
    private static let known: Set<String> = [
        "NSM_CONNECT_TO", "NSM_NAME", "NSM_DIAL_TIMEOUT", "NSM_REQUEST_TIMEOUT", "NSM_MAX_TOKEN_LIFETIME",
        "NSM_LIVENESS_CHECK_ENABLED", "NSM_LIVENESS_CHECK_INTERVAL", "NSM_LIVENESS_CHECK_TIMEOUT",
        "NSM_NETWORK_SERVICES", "NSM_AWARENESS_GROUPS", "NSM_PBR_CONFIG_PATH", "NSM_LABELS", "NSM_LOG_LEVEL",
        "NSM_LOCAL_DNS_SERVER_ENABLED", "NSM_LOCAL_DNS_SERVER_ADDRESS", "NSM_PREFIX_SERVER_URL",
    ]

    /// What to use instead of some of them.
    private static let instead: [(prefix: String, advice: String)] = [
        ("NSM_SERVICE_NAMES", "a NetworkServiceEndpoint_list in a file"),
        ("NSM_CIDR_PREFIX", "'prefixes' of an endpoint"),
        ("NSM_LISTEN_ON", "--listen and --listen-remote"),
        ("NSM_REGISTRY_URL", "--registry"),
    ]

    /// The names of variables that begin with `NSM_` and mean nothing here, each with what to use instead where there is
    /// something. Those of this program itself and those that Kubernetes sets for a Service are left out.
    ///
    /// - Parameter environment: All variables.
    public static func ignored(_ environment: [String: String]) -> [String] {
        environment.filter { isIgnored($0.key, $0.value) }.keys.sorted().map { name in
            let advice = instead.first { name.hasPrefix($0.prefix) }?.advice
            return advice.map { "\(name) (use \($0))" } ?? name
        }
    }

    private static func isIgnored(_ name: String, _ value: String) -> Bool {
        guard name.hasPrefix("NSM_"), !known.contains(name), name != "NSM_AGENT", !name.hasPrefix("NSM_AGENT_") else {
            return false
        }
        // Kernel interfaces are what this program makes.
        if name == "NSM_MECHANISM" { return value.lowercased() != "kernel" && !value.isEmpty }
        // Source: Kubernetes, "Environment variables" of Service: {NAME}_SERVICE_HOST, {NAME}_PORT_80_TCP_ADDR, …
        let isOfService =
            name.hasSuffix("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.contains("_PORT_")
            || name.hasSuffix("_PORT")
        return !isOfService
    }
}
