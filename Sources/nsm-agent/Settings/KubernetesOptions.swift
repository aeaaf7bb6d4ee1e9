internal import ArgumentParser
internal import Glibc
internal import KubernetesClient
internal import Northbound

/// Which resources of a Kubernetes API server declare values.
struct KubernetesOptions: ParsableArguments, Sendable {
    @Flag(help: "Take values from CNFConfiguration resources, by the pod's service account or a kubeconfig.")
    var kubernetes = false
    @Option(
        help: ArgumentHelp(
            "The namespace of the resources. (default: that of the pod, or of the kubeconfig's context)",
            valueName: "name"))
    var kubernetesNamespace: String?
    @Option(
        help: ArgumentHelp("Which resources are looked at, by their labels, such as 'tier=edge'.", valueName: "labels"))
    var kubernetesSelector = ""
    @Option(
        help: ArgumentHelp(
            "The one resource that is looked at, which needs rights for no other one. (default: all that are selected)",
            valueName: "name"))
    var kubernetesName: String?
    @Option(
        help: ArgumentHelp(
            "The microservice whose items are taken. (default: --label, $MICROSERVICE_LABEL or the pod's name)",
            valueName: "name"))
    var kubernetesMicroservice: String?
    @Option(
        help: ArgumentHelp(
            "The name of the pod, which stands in the status of resources. (default: $POD_NAME or the host's name)",
            valueName: "name"))
    var kubernetesPod: String?
    @Option(
        help: ArgumentHelp(
            "Where the server is and who the agent is to it. (default: $KUBECONFIG, or the pod's service account)",
            valueName: "file"))
    var kubernetesKubeconfig: String?
    @Option(help: ArgumentHelp("The context of the kubeconfig. (default: its current one)", valueName: "name"))
    var kubernetesContext: String?

    /// Each option by itself: that is how a file of settings is checked.
    mutating func validate() throws {
        for (name, text) in [
            ("namespace", kubernetesNamespace), ("name", kubernetesName), ("microservice", kubernetesMicroservice),
            ("pod", kubernetesPod),
        ] {
            guard let text else { continue }
            guard !text.isEmpty, text.utf8.count <= 253, !text.contains(where: { $0 == "/" || $0.isWhitespace }) else {
                throw ValidationError(
                    "--kubernetes-\(name) '\(text)': 1 to 253 bytes without '/' and spaces are needed")
            }
        }
    }

    private var isAnyGiven: Bool {
        kubernetesNamespace != nil || kubernetesName != nil || !kubernetesSelector.isEmpty
            || kubernetesMicroservice != nil
            || kubernetesPod != nil || kubernetesKubeconfig != nil || kubernetesContext != nil
    }

    /// Nil: no resources are looked at.
    ///
    /// - Parameter label: What the operator calls the agent; nil: nothing in particular.
    func settings(label: String?) throws -> KubernetesSettings? {
        guard kubernetes else {
            if isAnyGiven { throw Failure("the options of Kubernetes need --kubernetes", status: ExitStatus.invalid) }
            return nil
        }
        let client: KubernetesConfiguration
        do throws(KubernetesError) {
            if let file = kubernetesKubeconfig {
                client = try .kubeconfig([file], context: kubernetesContext)
            } else {
                client = try .standard(context: kubernetesContext)
            }
        } catch {
            throw Failure("Kubernetes: \(error)", status: ExitStatus.invalid)
        }
        let named = kubernetesPod ?? environment("POD_NAME")
        let pod = named ?? Self.hostName
        var settings = KubernetesSettings(
            client: client, label: kubernetesMicroservice ?? label ?? pod, namespace: kubernetesNamespace,
            selector: kubernetesSelector, instance: instance(pod, isNamed: named != nil, client))
        settings.name = kubernetesName
        return settings
    }

    /// The name of the agent in resources. One without a slash is taken for that of a pod beside the resources, which has to
    /// be there.
    private func instance(_ pod: String, isNamed: Bool, _ client: KubernetesConfiguration) -> String {
        guard case .tokenFile = client.credentials, kubernetesKubeconfig == nil, environment("KUBECONFIG") == nil else {
            return isNamed ? pod : "host/\(pod)"
        }
        let isBeside = kubernetesNamespace == nil || kubernetesNamespace == client.namespace
        return isBeside ? pod : "\(client.namespace)/\(pod)"
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "nsm-agent" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
