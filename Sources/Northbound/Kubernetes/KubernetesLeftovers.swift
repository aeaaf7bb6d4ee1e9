internal import Concurrency
internal import KubernetesClient
internal import Logging

/// Drops from the status of resources what agents said whose pods are gone.
///
/// Nobody else would where no controller runs: what they said last would stand there for ever, and count. Who may not look at pods
/// drops nothing.
struct KubernetesLeftovers: Sendable {
    /// When it looks for the first time: until then all resources are read.
    static let firstWait = Duration.seconds(5)
    /// How often it looks afterwards.
    static let interval = Duration.seconds(60)
    /// The most pods that are looked for at a time: a client that may write a status can name any.
    private static let mostLooks = 64

    let settings: KubernetesSettings
    let client: KubernetesClient
    let logger: Logger

    /// Looks at the agents that stand in resources.
    ///
    /// - Returns: Whether it may look at pods.
    func drop(from objects: [KubernetesObject]) async -> Bool {
        var areGone: [String: Bool] = [:]
        for object in objects {
            let status = object["status"]
            // A controller does that by itself.
            guard (status?["controller"]?.string ?? KubernetesConditions.controller) == KubernetesConditions.controller
            else { continue }
            let names = (status?["agents"]?.array ?? []).map { $0["name"]?.string ?? "" }
            for (index, name) in names.enumerated().reversed() where name != settings.instance && Self.isPod(name) {
                if areGone[name] == nil {
                    if areGone.count >= Self.mostLooks { return true }
                    guard let isGone = await isGone(name) else { return false }
                    areGone[name] = isGone
                }
                if areGone[name] == true { await drop(name, at: index, from: object) }
            }
        }
        return true
    }

    /// Agents that are in other namespaces, or in no pod, have a slash in their names.
    private static func isPod(_ name: String) -> Bool { !name.isEmpty && !name.contains("/") }

    /// Nil: it may not be known.
    private func isGone(_ pod: String) async -> Bool? {
        do throws(KubernetesError) {
            _ = try await client.get(.pod, pod, namespace: settings.namespace)
            return false
        } catch {
            return error.isNotFound ? true : error.isForbidden ? nil : false
        }
    }

    private func drop(_ name: String, at index: Int, from object: KubernetesObject) async {
        let path = "/status/agents/\(index)"
        let steps: JSONValue = [
            ["op": "test", "path": .string("\(path)/name"), "value": .string(name)],
            ["op": "remove", "path": .string(path)],
        ]
        do throws(KubernetesError) {
            _ = try await client.patch(
                .cnfConfiguration, object.name, namespace: settings.namespace, part: "status", .steps(steps))
            logger.info("an agent is gone", metadata: ["resource": "\(object.name)", "agent": "\(name)"])
        } catch {
            // Somebody else changed the list meanwhile; it is looked at again.
            logger.debug(
                "the entry of an agent that is gone stays", metadata: ["agent": "\(name)", "error": "\(error)"])
        }
    }
}
