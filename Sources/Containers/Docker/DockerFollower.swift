internal import Concurrency
internal import KubernetesClient
internal import Synchronization

/// Follows Docker: lists its containers, and hears what becomes of them.
///
/// The API from version 1.24 on; paths without a version are answered in the daemon's own. Source: docs.docker.com,
/// "Docker Engine API": `ContainerList`, `ContainerInspect`, `SystemEvents`.
final class DockerFollower: Sendable {
    private let settings: ContainerSettings
    private let source: ContainerSource
    private let transport: HTTPTransport
    /// Containers without anything by which they could be found. Their environment never changes.
    private let plain = Mutex<Set<String>>([])
    /// Containers that could not be looked at. What was known of them stays.
    private let hidden = Mutex<[String: Hidden]>([:])

    init(_ settings: ContainerSettings, _ socket: String, _ source: ContainerSource) {
        self.settings = settings
        self.source = source
        var limits = KubernetesConfiguration.Limits()
        limits.connectTimeout = settings.patience
        limits.operationTimeout = settings.patience
        limits.answerBytes = 32 << 20
        limits.lineBytes = 1 << 20
        limits.idleConnections = Self.mostAtOnce
        transport = HTTPTransport(KubernetesConfiguration(server: ServerAddress(socket: socket), limits: limits))
    }

    /// How many containers are looked at at once.
    private static let mostAtOnce = 4
    /// Events that wait for those before them. With more than this all containers are listed again.
    private static let backlog = 4096

    /// How many containers may keep the daemon from answering before it is the daemon that fails.
    private static let mostHidden = 16

    private struct Hidden {
        var reason: String
        /// How often something happened to it since.
        var news = 0
    }

    private enum Happening: Sendable {
        case begins
        case changed(String)
        case destroyed(String)
    }

    /// Follows the daemon for a while.
    ///
    /// - Throws: what keeps it from that.
    func follow() async throws {
        defer { transport.close() }
        // Who reads slowly loses events, so nothing is done before the next one is read.
        let (happenings, queue) = AsyncStream<Happening>.makeStream(bufferingPolicy: .bufferingOldest(Self.backlog))
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await self.listen(queue) }
            group.addTask { for await happening in happenings { try await self.take(happening) } }
            group.addTask { try await self.lookAgain() }
            try await group.next()
        }
    }

    private func listen(_ queue: AsyncStream<Happening>.Continuation) async throws {
        let filters = #"{"type":["container"],"event":["start","restart","die","pause","unpause","destroy"]}"#
        let request = HTTPRequest(get: "/events", query: [("filters", filters)])
        var hasBegun = false
        do {
            // The daemon reports events from now on, so that nothing falls between the list and the events.
            try await transport.lines(
                request, time: settings.auditInterval,
                began: {
                    hasBegun = true
                    queue.yield(.begins)
                }
            ) { line in
                guard let happening = try Self.happening(line) else { return }
                if case .dropped = queue.yield(happening) {
                    throw ContainerError("events come faster than containers can be looked at")
                }
            }
        } catch let error as KubernetesError where hasBegun && error.code == .timedOut {
            // It is time to look at all of it again.
            return
        }
        throw ContainerError("the daemon ended the stream of events")
    }

    private static func happening(_ line: [UInt8]) throws -> Happening? {
        let event: JSONValue
        do throws(JSONValue.Mistake) {
            event = try JSONValue(parsing: line)
        } catch {
            throw ContainerError("an event is not JSON: \(error)")
        }
        guard let id = event["Actor"]?["ID"]?.string ?? event["id"]?.string, isID(id) else { return nil }
        switch event["Action"]?.string ?? event["status"]?.string {
        case "start", "restart", "die", "pause", "unpause": return .changed(id)
        case "destroy": return .destroyed(id)
        default: return nil
        }
    }

    /// Ids are part of paths, and of names of control groups.
    private static func isID(_ text: String) -> Bool {
        (12...128).contains(text.utf8.count)
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    private func take(_ happening: Happening) async throws {
        switch happening {
        case .begins:
            let all = try await all()
            tellHidden(onlyIfSome: true)
            source.list(all)
            tellHidden()
        case .changed(let id):
            if plain.withLock({ $0.contains(id) }) { return }
            // It would hold up those that come after it.
            if hidden.withLock({ hidden in hidden[id].map { hidden[id]?.news = $0.news &+ 1 } }) != nil { return }
            do {
                tell(id, try await inspect(id))
            } catch {
                try hide(id, error)
                tellHidden()
            }
        case .destroyed(let id):
            hidden.withLock { hidden in
                hidden[id] = nil
                source.remove(id)
            }
            _ = plain.withLock { $0.remove(id) }
            tellHidden()
        }
    }

    /// Events may come late: the end of one life after the start of the next. So what counts is what is there.
    private func tell(_ id: String, _ container: Container?) {
        if let container { source.put(container) } else { source.remove(id) }
    }

    // MARK: - What can't be looked at

    private func hide(_ id: String, _ error: any Error) throws {
        try Task.checkCancellation()
        let count = hidden.withLock { hidden in
            hidden[id] = Hidden(reason: "\(error)")
            return hidden.count
        }
        if count > Self.mostHidden { throw error }
    }

    private func tellHidden(onlyIfSome: Bool = false) {
        let first = hidden.withLock { hidden in hidden.min { $0.key < $1.key } }
        if onlyIfSome, first == nil { return }
        source.noteUnseen(first.map { "container \($0.key.prefix(12)) can't be looked at: \($0.value.reason)" })
    }

    private func lookAgain() async throws {
        while true {
            try await Task.sleep(for: settings.secondLook)
            for (id, before) in hidden.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
                let container: Container?
                do { container = try await inspect(id) } catch { continue }
                hidden.withLock { hidden in
                    // What happened meanwhile may be newer than this answer.
                    guard hidden[id]?.news == before.news else { return }
                    hidden[id] = nil
                    tell(id, container)
                }
                tellHidden()
            }
        }
    }

    // MARK: - Asking

    private func all() async throws -> [Container] {
        let filters = #"{"status":["running","paused"]}"#
        guard let list = try await ask("/containers/json", [("filters", filters)])?.array else {
            throw ContainerError("its list of containers is none")
        }
        guard list.count <= settings.mostContainers else {
            throw ContainerError("it has more than \(settings.mostContainers) containers")
        }
        let ids = list.compactMap { $0["Id"]?.string }.filter(Self.isID)
        plain.withLock { $0.formIntersection(ids) }
        let unknown = plain.withLock { plain in ids.filter { !plain.contains($0) } }
        let former = Dictionary(source.known().map { ($0.id, $0) }) { first, _ in first }
        let failures = Failures()
        let found = await withTaskGroup(of: Container?.self) { group in
            var found: [Container] = []
            for (place, id) in unknown.enumerated() {
                // Some at a time.
                if place >= Self.mostAtOnce, let container = await group.next() ?? nil { found.append(container) }
                if failures.all.withLock({ $0.count }) > Self.mostHidden { break }
                group.addTask { await self.inspect(id, former[id], failures) }
            }
            for await case let container? in group { found.append(container) }
            return found
        }
        let failed = failures.all.withLock { $0 }
        if failed.count > Self.mostHidden, let error = failed.values.first { throw error }
        for (id, error) in failed { try hide(id, error) }
        return found
    }

    /// Why containers could not be looked at, by their ids.
    private final class Failures: Sendable {
        let all = Mutex<[String: any Error]>([:])
    }

    /// A container as it is, or, without an answer, as it was.
    private func inspect(_ id: String, _ former: Container?, _ failures: Failures) async -> Container? {
        do {
            return try await inspect(id)
        } catch {
            failures.all.withLock { $0[id] = error }
            return former
        }
    }

    /// A container that runs and can be found; nil: it is none.
    private func inspect(_ id: String) async throws -> Container? {
        guard let json = try await ask("/containers/\(id)/json") else { return nil }
        let queries = Self.queries(json)
        if queries.isEmpty {
            plain.withLock { if $0.count < settings.mostContainers { $0.insert(id) } }
            return nil
        }
        guard let state = json["State"], state["Running"]?.bool == true,
            let pid = state["Pid"]?.int.flatMap({ Int32(exactly: $0) }), pid > 0
        else { return nil }
        let name = json["Name"]?.string ?? ""
        return Container(
            id: id, name: String(name.drop { $0 == "/" }.prefix(256)), pid: pid,
            namespaceFile: json["NetworkSettings"]?["SandboxKey"]?.string ?? "", queries: queries,
            created: Self.time(json["Created"]) ?? 0, started: Self.time(state["StartedAt"]) ?? .max,
            isPaused: state["Paused"]?.bool ?? false)
    }

    /// Nanoseconds since 1970; nil: it says none. The year 1 stands for "never".
    private static func time(_ json: JSONValue?) -> Int64? {
        guard let time = json?.string.flatMap({ Timestamp(rfc3339: $0) }), time.nanoseconds > 0 else { return nil }
        return time.nanoseconds
    }

    private static func queries(_ json: JSONValue) -> Set<ContainerQuery> {
        var queries: Set<ContainerQuery> = []
        let config = json["Config"]
        let start = ContainerQuery.variable + "="
        for case let entry? in config?["Env"]?.array?.map(\.string) ?? [] where entry.hasPrefix(start) {
            let label = String(entry.dropFirst(start.count))
            if !label.isEmpty { queries.insert(.label(label)) }
        }
        // Kubernetes with Docker: the pause container of a pod is the pod's network.
        if let labels = config?["Labels"], labels["io.kubernetes.docker.type"]?.string == "podsandbox",
            let namespace = labels["io.kubernetes.pod.namespace"]?.string,
            let pod = labels["io.kubernetes.pod.name"]?.string
        {
            queries.insert(.pod("\(namespace)/\(pod)"))
        }
        return queries
    }

    /// What the daemon answers; nil: there is no such thing.
    private func ask(_ path: String, _ query: [(String, String)] = []) async throws -> JSONValue? {
        let answer = try await transport.send(HTTPRequest(get: path, query: query))
        if answer.status == 404 { return nil }
        let json: JSONValue
        do throws(JSONValue.Mistake) {
            json = try JSONValue(parsing: answer.body)
        } catch {
            throw ContainerError("the answer to \(path) is not JSON: \(error)")
        }
        guard answer.status == 200 else {
            throw ContainerError("\(json["message"]?.string?.prefix(200) ?? "HTTP status \(answer.status)")")
        }
        return json
    }
}
