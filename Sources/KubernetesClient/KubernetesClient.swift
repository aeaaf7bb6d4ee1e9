internal import Concurrency
public import Logging

/// A client of the Kubernetes API, for JSON.
///
/// Everything is bounded: how long an answer may take and be, how many objects a list may have, how often something is tried again.
/// What the server has no time for is asked again when it says so.
public final class KubernetesClient: Sendable {
    /// Where the server is, and what bounds everything.
    public let configuration: KubernetesConfiguration
    let transport: HTTPTransport
    let logger: Logger

    /// Makes a client that has not connected yet.
    public init(_ configuration: KubernetesConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        transport = HTTPTransport(configuration)
        for warning in configuration.warnings { logger.warning("Kubernetes", metadata: ["warning": "\(warning)"]) }
    }

    /// Ends connections that are not in use.
    public func close() { transport.close() }

    // MARK: - Single objects

    /// An object as it is.
    ///
    /// - Parameter namespace: Nil: that of the configuration.
    public func get(
        _ resource: KubernetesResource, _ name: String, namespace: String? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        try await object(HTTPRequest(path: path(resource, namespace, name)))
    }

    /// Makes an object; its name, or what it is to begin with, stands in its metadata.
    public func create(
        _ resource: KubernetesResource, _ object: JSONValue, namespace: String? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        try await self.object(
            HTTPRequest(method: .post, path: path(resource, namespace), body: Self.typed(object, resource).bytes))
    }

    /// Replaces an object that is still as it was read: its resource version says so.
    ///
    /// - Parameter part: A part of it that is written by itself, such as `status`.
    public func update(
        _ resource: KubernetesResource, _ object: KubernetesObject, part: String? = nil
    ) async throws(KubernetesError) -> KubernetesObject {
        let path = path(resource, object.namespace.isEmpty ? nil : object.namespace, object.name, part)
        return try await self.object(
            HTTPRequest(method: .put, path: path, body: Self.typed(object.json, resource).bytes))
    }

    /// Changes an object.
    ///
    /// - Parameter part: A part of it that is written by itself, such as `status`.
    public func patch(
        _ resource: KubernetesResource, _ name: String, namespace: String? = nil, part: String? = nil,
        _ patch: KubernetesPatch
    ) async throws(KubernetesError) -> KubernetesObject {
        var request = HTTPRequest(method: .patch, path: path(resource, namespace, name, part))
        switch patch {
        case .merge(let change):
            request.contentType = "application/merge-patch+json"
            request.body = change.bytes
        case .steps(let steps):
            request.contentType = "application/json-patch+json"
            request.body = steps.bytes
        case .apply(let wish, let manager, let isForced):
            // JSON is YAML.
            request.contentType = "application/apply-patch+yaml"
            request.query = [("fieldManager", manager), ("force", isForced ? "true" : "false")]
            request.body = Self.typed(wish, resource).bytes
        }
        return try await object(request)
    }

    /// Deletes an object.
    ///
    /// - Parameters:
    ///   - uid: The one that is meant; nil: whichever has this name.
    ///   - resourceVersion: As it must be; nil: however it is.
    /// - Throws: ``KubernetesError/isConflict`` when it is another one.
    public func delete(
        _ resource: KubernetesResource, _ name: String, namespace: String? = nil, uid: String? = nil,
        resourceVersion: String? = nil
    ) async throws(KubernetesError) {
        var options: JSONValue = ["kind": "DeleteOptions", "apiVersion": "v1"]
        if uid != nil || resourceVersion != nil {
            options["preconditions"] = .fields([
                ("uid", uid.map(JSONValue.string)), ("resourceVersion", resourceVersion.map(JSONValue.string)),
            ])
        }
        _ = try await perform(
            HTTPRequest(method: .delete, path: path(resource, namespace, name), body: options.bytes))
    }

    // MARK: - Lists

    /// All objects, page by page.
    ///
    /// - Parameters:
    ///   - namespace: Nil: those of all namespaces.
    ///   - labels: A selector, such as `app=web,tier!=db`; empty: all.
    ///   - fields: A selector by fields; empty: all.
    public func list(
        _ resource: KubernetesResource, namespace: String?, labels: String = "", fields: String = ""
    ) async throws(KubernetesError) -> KubernetesList {
        var selection = Selection(resource, namespace, labels, fields)
        var size = configuration.limits.pageSize
        var restarts = 0
        var bytes = 0
        var list = KubernetesList(resourceVersion: "", objects: [])
        while true {
            let page: (json: JSONValue, bytes: Int)
            do throws(KubernetesError) {
                page = try await json(selection.page(size))
            } catch {
                if error.code == .tooLarge, size > 1 {
                    size = max(size / 8, 1)
                } else if error.isExpired, selection.next != nil, restarts < configuration.limits.retries {
                    // What comes behind was kept for some minutes only.
                    restarts += 1
                    selection.next = nil
                    (list.objects, bytes) = ([], 0)
                } else {
                    throw error
                }
                continue
            }
            guard let items = page.json["items"]?.array ?? (page.json["items"] == .null ? [] : nil),
                let metadata = page.json["metadata"]
            else { throw KubernetesError(.malformed, "the server's answer is not a list of \(resource)") }
            bytes += page.bytes
            try checkSize(of: resource, count: list.objects.count + items.count, bytes: bytes)
            list.objects += items.map { KubernetesObject($0) }
            list.resourceVersion = metadata["resourceVersion"]?.string ?? ""
            guard let next = metadata["continue"]?.string, !next.isEmpty else { return list }
            guard !items.isEmpty else {
                throw KubernetesError(.malformed, "the server's list of \(resource) goes on for ever")
            }
            selection.next = next
        }
    }

    private func checkSize(of resource: KubernetesResource, count: Int, bytes: Int) throws(KubernetesError) {
        let limits = configuration.limits
        guard count <= limits.listCount else {
            throw KubernetesError(
                .tooLarge, "there are more than \(limits.listCount) \(resource); narrow them by namespace or labels")
        }
        guard bytes <= limits.listBytes else {
            throw KubernetesError(
                .tooLarge,
                "the \(resource) are more than \(limits.listBytes) bytes; narrow them by namespace or labels")
        }
    }

    // MARK: - Requests

    private func path(
        _ resource: KubernetesResource, _ namespace: String?, _ name: String? = nil, _ part: String? = nil
    ) -> String {
        resource.path(namespace: namespace ?? configuration.namespace, name: name, part: part)
    }

    private static func typed(_ object: JSONValue, _ resource: KubernetesResource) -> JSONValue {
        var object = object
        if object["apiVersion"] == nil { object["apiVersion"] = .string(resource.apiVersion) }
        if object["kind"] == nil { object["kind"] = .string(resource.kind) }
        return object
    }

    private func object(_ request: HTTPRequest) async throws(KubernetesError) -> KubernetesObject {
        KubernetesObject(try await json(request).json)
    }

    private func json(_ request: HTTPRequest) async throws(KubernetesError) -> (json: JSONValue, bytes: Int) {
        let answer = try await perform(request)
        do throws(JSONValue.Mistake) {
            return (try JSONValue(parsing: answer.body), answer.body.count)
        } catch {
            throw KubernetesError(.malformed, "the server's answer is not JSON: \(error)")
        }
    }

    /// Sends a request, again when the server had no time for it.
    private func perform(_ request: HTTPRequest) async throws(KubernetesError) -> HTTPAnswer {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(5))
        var tries = 0
        while true {
            let answer = try await transport.send(request)
            if (200..<300).contains(answer.status) { return answer }
            let error = answer.error
            tries += 1
            guard error.isBusy, tries <= configuration.limits.retries else { throw error }
            let wait = max(min(error.retryAfter ?? .zero, configuration.limits.longestWait), backoff.wait())
            // Who does not want to wait any more learns why it was not done.
            do { try await Task.sleep(for: wait) } catch { throw answer.error }
        }
    }

    /// Which objects are meant.
    struct Selection: Sendable {
        let path: String
        private let query: [(String, String)]
        /// Where the next page begins.
        var next: String?

        init(_ resource: KubernetesResource, _ namespace: String?, _ labels: String, _ fields: String) {
            path = resource.path(namespace: namespace)
            query = [("labelSelector", labels), ("fieldSelector", fields)].filter { !$0.1.isEmpty }
        }

        func page(_ size: Int) -> HTTPRequest {
            HTTPRequest(
                path: path,
                query: query + [("limit", String(size))] + (next.map { [("continue", $0)] } ?? []))
        }

        func watch(from version: String, seconds: Int64) -> HTTPRequest {
            HTTPRequest(
                path: path,
                query: query + [
                    ("watch", "true"), ("allowWatchBookmarks", "true"), ("resourceVersion", version),
                    ("timeoutSeconds", String(seconds)),
                ])
        }
    }
}

extension KubernetesError {
    /// Whether nothing was done as the server had no time for it.
    fileprivate var isBusy: Bool { code == .status(429) || (code == .status(503) && retryAfter != nil) }
}
