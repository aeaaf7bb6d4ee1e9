internal import Concurrency

/// Something that is to be said of an object, for people who look at it.
public struct KubernetesNotice: Sendable, Hashable {
    /// Whether all is well.
    public var isWarning: Bool
    /// One word, such as `Applied`.
    public var reason: String
    /// What was done, one word, such as `Apply`.
    public var action: String
    /// The text, of which 1024 bytes are kept.
    public var note: String

    /// Makes a notice.
    public init(isWarning: Bool = false, reason: String, action: String, note: String) {
        self.isWarning = isWarning
        self.reason = reason
        self.action = action
        self.note = note
    }
}

extension KubernetesClient {
    /// Says something of an object, as an event (`events.k8s.io/v1`).
    ///
    /// - Parameters:
    ///   - controller: What says it, such as `pantheon.tech/nsm-agent`.
    ///   - instance: Which one of them, such as its pod.
    public func tell(
        _ notice: KubernetesNotice, of object: KubernetesObject, _ resource: KubernetesResource,
        controller: String, instance: String
    ) async throws(KubernetesError) {
        let namespace = object.namespace.isEmpty ? "default" : object.namespace
        let event = Self.event(
            notice, of: object, resource, controller: controller, instance: instance, at: .now, in: namespace)
        _ = try await create(.event, event, namespace: namespace)
    }

    static func event(
        _ notice: KubernetesNotice, of object: KubernetesObject, _ resource: KubernetesResource,
        controller: String, instance: String, at time: Timestamp, in namespace: String
    ) -> JSONValue {
        // The server takes 128 characters of an instance and 1024 bytes of a note.
        [
            "metadata": [
                // Names that the server makes up can't have a dot before their end.
                "name": .string("\(object.name.prefix(200)).\(String(UInt64(max(time.nanoseconds, 0)), radix: 16))"),
                "namespace": .string(namespace),
            ],
            "eventTime": .string(time.rfc3339(fractionDigits: 6)),
            "type": notice.isWarning ? "Warning" : "Normal",
            "reason": .string(String(notice.reason.prefix(128))),
            "action": .string(String(notice.action.prefix(128))),
            "note": .string(notice.note.prefix(bytes: 1024)),
            "reportingController": .string(controller),
            "reportingInstance": .string(String(instance.prefix(128))),
            "regarding": [
                "apiVersion": .string(resource.apiVersion), "kind": .string(resource.kind),
                "namespace": .string(object.namespace), "name": .string(object.name), "uid": .string(object.uid),
                "resourceVersion": .string(object.resourceVersion),
            ],
        ]
    }
}

extension String {
    /// As many whole characters as fit.
    func prefix(bytes limit: Int) -> String {
        if utf8.count <= limit { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, utf8[end] & 0xc0 == 0x80 { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
