public import KubernetesClient

/// For when the controller is taken out of use.
public enum Finalizers {
    /// Takes the controller's finalizer off all resources, so that they can be deleted without it. What it wrote to etcd stays there.
    ///
    /// - Parameter namespace: Nil: those of all namespaces.
    /// - Returns: How many resources had it.
    /// - Throws: ``KubernetesError``.
    public static func remove(_ client: KubernetesClient, namespace: String?) async throws(KubernetesError) -> Int {
        var count = 0
        for object in try await client.list(.cnfConfiguration, namespace: namespace).objects {
            guard let index = object.finalizers.firstIndex(of: ControllerSettings.finalizer) else { continue }
            // Only this one, and only if it is still there: others may be added meanwhile.
            let path = "/metadata/finalizers/\(index)"
            let steps: JSONValue = [
                ["op": "test", "path": .string(path), "value": .string(ControllerSettings.finalizer)],
                ["op": "remove", "path": .string(path)],
            ]
            do {
                _ = try await client.patch(
                    .cnfConfiguration, object.name, namespace: object.namespace, .steps(steps))
                count += 1
            } catch {
                guard error.isNotFound else { throw error }
            }
        }
        return count
    }
}
