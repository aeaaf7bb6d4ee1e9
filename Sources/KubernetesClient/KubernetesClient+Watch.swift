internal import Concurrency

/// What happened to an object.
public enum KubernetesEvent: Sendable, Hashable {
    /// It is there, new or changed.
    case put(KubernetesObject)
    /// It is gone, or is not selected any more; as it was.
    case deleted(KubernetesObject)
}

/// What is followed, or what changed of it.
public enum KubernetesUpdate: Sendable {
    /// All objects. Whatever was known before counts for nothing.
    case state([KubernetesObject])
    /// What happened since.
    case event(KubernetesEvent)
}

extension KubernetesClient {
    /// Reports what happens from a version on, until the server ends it.
    ///
    /// - Parameters:
    ///   - version: The version to start from; in the end the one up to which all was reported.
    ///   - began: Called once the server has accepted the watch.
    /// - Throws: ``KubernetesError``, ``KubernetesError/isExpired`` when the version is too old; and what `body` throws.
    func watch(
        _ selection: Selection, from version: inout String, began: () async throws -> Void = {},
        _ body: (KubernetesEvent) async throws -> Void
    ) async throws {
        // Not all at once: many agents were started together.
        let time = configuration.limits.watchTime * Double.random(in: 0.8...1)
        let seconds = max(time.components.seconds, 1)
        var latest = version
        defer { version = latest }
        try await transport.lines(
            selection.watch(from: version, seconds: seconds), time: .seconds(seconds) + .seconds(30),
            began: began
        ) { line in
            let event: JSONValue
            do throws(JSONValue.Mistake) {
                event = try JSONValue(parsing: line)
            } catch {
                throw KubernetesError(.malformed, "a line of a watch is not JSON: \(error)")
            }
            guard let type = event["type"]?.string, let json = event["object"] else {
                throw KubernetesError(.malformed, "a line of a watch is not an event")
            }
            let object = KubernetesObject(json)
            switch type {
            case "ADDED", "MODIFIED": try await body(.put(object))
            case "DELETED": try await body(.deleted(object))
            case "BOOKMARK": break
            case "ERROR": throw KubernetesError(status: json, httpStatus: 500)
            // What servers may say one day is none of our business.
            default: return
            }
            if !object.resourceVersion.isEmpty { latest = object.resourceVersion }
        }
    }

    /// Lists objects and tells what happens to them, again and again, until the task is cancelled.
    ///
    /// A watch that ends goes on where it was; only when the server does not know that any more, all is listed anew.
    ///
    /// - Parameters:
    ///   - namespace: Nil: all namespaces.
    ///   - labels: A selector; empty: all objects.
    ///   - body: Takes an update in. What it throws counts like a failure of the connection.
    ///   - watching: Called each time the server has accepted a watch. After a failure it says that the server is back, even
    ///     if nothing has changed.
    ///   - failed: Gets the reason why the server could not be followed, and when it is tried again.
    public func follow(
        _ resource: KubernetesResource, namespace: String?, labels: String = "", fields: String = "",
        _ body: (KubernetesUpdate) async throws -> Void,
        watching: () async -> Void = {},
        failed: (KubernetesError, Duration) async -> Void
    ) async {
        let selection = Selection(resource, namespace, labels, fields)
        var backoff = Backoff(first: .milliseconds(200), limit: configuration.limits.longestWait)
        var version: String?
        while !Task.isCancelled {
            let began = ContinuousClock.now
            var failure: KubernetesError
            do {
                if version == nil {
                    let list = try await list(resource, namespace: namespace, labels: labels, fields: fields)
                    try await body(.state(list.objects))
                    version = list.resourceVersion
                }
                var latest = version ?? ""
                defer { if version != nil { version = latest } }
                try await watch(selection, from: &latest, began: watching) { try await body(.event($0)) }
                failure = KubernetesError(.unreachable, "the server ended the watch")
                // That is how watches end.
                if .now - began > .seconds(1) {
                    backoff.reset()
                    continue
                }
            } catch let error as KubernetesError {
                failure = error
            } catch {
                failure = KubernetesError(.malformed, "\(error)")
                version = nil
            }
            if Task.isCancelled { return }
            if failure.isExpired || failure.code == .malformed || failure.code == .tooLarge { version = nil }
            // A version that the server has not got to, as it lost data.
            if failure.isInvalid { version = nil }
            if .now - began > configuration.limits.longestWait { backoff.reset() }
            let wait = max(backoff.wait(), min(failure.retryAfter ?? .zero, configuration.limits.longestWait))
            await failed(failure, wait)
            try? await Task.sleep(for: wait)
        }
    }
}
