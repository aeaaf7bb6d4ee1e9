internal import Glibc

extension KubernetesConfiguration {
    /// Where a pod finds its service account.
    public static let serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Whether the process runs in a pod that may talk to its API server.
    public static var isInCluster: Bool {
        variable("KUBERNETES_SERVICE_HOST") != nil && access("\(serviceAccount)/token", R_OK) == 0
    }

    /// The API server of the cluster that the process runs in, with the pod's service account. Token and authorities are read
    /// again when they change.
    ///
    /// - Parameter folder: Where the service account is.
    /// - Throws: ``KubernetesError`` when this is no pod, or has no service account.
    public static func inCluster(
        _ folder: String = serviceAccount
    ) throws(KubernetesError) -> KubernetesConfiguration {
        guard let host = variable("KUBERNETES_SERVICE_HOST") else {
            throw KubernetesError(
                .badConfiguration, "this is not a pod: $KUBERNETES_SERVICE_HOST is not set; give a kubeconfig")
        }
        let port = variable("KUBERNETES_SERVICE_PORT") ?? "443"
        guard let server = ServerAddress("https://\(host.contains(":") ? "[\(host)]" : host):\(port)") else {
            throw KubernetesError(
                .badConfiguration,
                "$KUBERNETES_SERVICE_HOST '\(host)' and $KUBERNETES_SERVICE_PORT '\(port)' are no address")
        }
        // To see at once that it is not mounted.
        _ = try SmallFile.read("\(folder)/token")
        let namespace = (try? SmallFile.read("\(folder)/namespace")).map { String(decoding: $0, as: UTF8.self) }
        return KubernetesConfiguration(
            server: server, tls: TLS(authorities: .file("\(folder)/ca.crt")),
            credentials: .tokenFile("\(folder)/token"),
            namespace: namespace.flatMap { $0.split(whereSeparator: \.isWhitespace).first }.map(String.init)
                ?? "default")
    }

    /// The usual search: `$KUBECONFIG`, then the pod's service account, then `~/.kube/config`.
    ///
    /// - Parameter context: The context of the kubeconfig; nil: its current one.
    public static func standard(context: String? = nil) throws(KubernetesError) -> KubernetesConfiguration {
        if let paths = variable("KUBECONFIG") {
            return try kubeconfig(paths.split(separator: ":").map(String.init), context: context)
        }
        if isInCluster, context == nil { return try inCluster() }
        if let home = variable("HOME"), access("\(home)/.kube/config", F_OK) == 0 {
            return try kubeconfig(["\(home)/.kube/config"], context: context)
        }
        return try inCluster()
    }

    private static func variable(_ name: String) -> String? {
        guard let text = getenv(name).map({ String(cString: $0) }), !text.isEmpty else { return nil }
        return text
    }
}
