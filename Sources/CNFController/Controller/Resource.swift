internal import Concurrency
internal import KubernetesClient
internal import Model

/// A resource as the controller knows it.
struct Resource: Sendable {
    var object: KubernetesObject
    /// What came of reading it.
    var verdict: Verdict
    /// Its values by their keys in etcd; only when it is accepted.
    var values: [String: [UInt8]]
    /// Writing or telling failed, and when it is tried again.
    var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
    /// Why values can't be written now.
    var failure: String?

    var name: ResourceName { ResourceName(namespace: object.namespace, name: object.name) }

    var age: ResourceAge {
        ResourceAge(created: object["metadata"]?["creationTimestamp"]?.string ?? "", name: name)
    }

    var hasFinalizer: Bool { object.finalizers.contains(ControllerSettings.finalizer) }

    /// Whether the finalizer is to be put on it.
    var needsMark: Bool { verdict == .accepted && !hasFinalizer && !object.isDeleting }

    /// The largest number of mistakes to report.
    private static let mostMistakes = 5

    init(_ object: KubernetesObject, _ settings: ControllerSettings) {
        self.object = object
        values = [:]
        // The status is not for readers of the configuration, and may be large.
        let wanted: JSONValue = .fields([
            ("apiVersion", object["apiVersion"] ?? "pantheon.tech/v1"), ("kind", "CNFConfiguration"),
            ("spec", object["spec"]),
        ])
        let content = wanted.bytes.withUnsafeBytes {
            ResourceContent(object: $0, name: object.path, keepsUnknownModels: settings.keepsUnknownModels)
        }
        // It may be large, and is of no more use.
        self.object["spec"] = nil
        let count = content.mistakes.count + content.omittedMistakes
        guard count == 0 else {
            let prefix = "\(object.path): "
            let texts = content.mistakes.prefix(Self.mostMistakes).map { mistake in
                // The reader looks at the resource already.
                mistake.description.hasPrefix(prefix)
                    ? String(mistake.description.dropFirst(prefix.count)) : mistake.description
            }
            verdict = .invalid(texts, count: count)
            return
        }
        verdict = .accepted
        for item in content.items {
            guard settings.allowed.allows(object.namespace, item.microservice) else {
                verdict = .notAllowed(
                    "resources of namespace '\(object.namespace)' may not write for microservice '\(item.microservice)': "
                        + "cnf-crd has no --allow \(object.namespace)=\(item.microservice)")
                values = [:]
                return
            }
            guard Self.isLabel(item.microservice) else {
                verdict = .invalid(["microservice '\(item.microservice)' can't be a part of a key"], count: 1)
                values = [:]
                return
            }
            values["\(settings.root)\(item.microservice)/\(item.key)"] = item.json
        }
    }

    /// A label is one part of a key; with a slash it would write where another one reads. Keys are bytes: what joins with the
    /// letter before it would take the slash for its own.
    private static func isLabel(_ text: String) -> Bool {
        text != "." && text != ".." && !text.isEmpty
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "/") }
    }
}
