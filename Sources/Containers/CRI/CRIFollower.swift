internal import Concurrency
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Synchronization

/// Follows an engine that speaks the Container Runtime Interface: containerd, CRI-O.
///
/// A container's network is that of its pod, which stays when a container of it ends and is started again. So a
/// label leads to the pod's sandbox: it is found by the pod's name, and by the labels of the containers in it.
struct CRIFollower: Sendable {
    private let settings: ContainerSettings
    private let socket: String
    private let source: ContainerSource

    /// How long after an event it is looked again, and again.
    private static let afterthoughts: [Duration] = [.milliseconds(25), .milliseconds(50), .milliseconds(100)]

    init(_ settings: ContainerSettings, _ socket: String, _ source: ContainerSource) {
        self.settings = settings
        self.socket = socket
        self.source = source
    }

    /// Follows the engine for a while.
    ///
    /// - Throws: what keeps it from that.
    func follow() async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .unixDomainSocket(path: socket, authority: "localhost"), transportSecurity: .plaintext)
        let client = GRPCClient(transport: transport)
        let running = Task { try await client.runConnections() }
        // Who leaves does not wait for an engine that hangs.
        defer {
            client.beginGracefulShutdown()
            running.cancel()
        }
        let runtime = try await CRIRuntime(client, patience: settings.patience)
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let interval = settings.pollInterval
        let news = News()
        try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                await runtime.followEvents {
                    news.has.store(true, ordering: .relaxed)
                    wake.yield()
                }
            }
            // Events are only the first to say so: nothing tells when they begin to be sent.
            group.addTask {
                while !Task.isCancelled {
                    try await Task.sleep(for: interval)
                    wake.yield()
                }
            }
            group.addTask {
                var picture = CRIPicture(settings, runtime)
                source.list(try await picture.look())
                for await _ in wakes {
                    source.list(try await picture.look())
                    guard news.has.exchange(false, ordering: .relaxed) else { continue }
                    // A pod is told of before it is ready, and none tells when it is.
                    for wait in Self.afterthoughts {
                        try await Task.sleep(for: wait)
                        source.list(try await picture.look())
                    }
                }
            }
            try await group.next()
            // The events are over, which is no reason to stop.
            try await group.next()
        }
    }
}

/// Whether an event came since somebody looked.
private final class News: Sendable {
    let has = Atomic(false)
}

/// What is known of an engine's pods. What never changes is asked once.
private struct CRIPicture {
    private struct Sandbox {
        var pid: Int32
        var namespaceFile: String
    }

    private struct Member {
        var sandbox: String
        var labels: Set<ContainerQuery>
        var pid: Int32
        var started: Int64
    }

    private let settings: ContainerSettings
    private let runtime: CRIRuntime
    private var sandboxes: [String: Sandbox] = [:]
    private var members: [String: Member] = [:]

    init(_ settings: ContainerSettings, _ runtime: CRIRuntime) {
        self.settings = settings
        self.runtime = runtime
    }

    mutating func look() async throws -> [Container] {
        let pods = try await runtime.readySandboxes()
        let containers = try await runtime.containers()
        guard pods.count <= settings.mostContainers, containers.count <= settings.mostContainers else {
            throw ContainerError("it has more than \(settings.mostContainers) containers")
        }
        try await update(pods, containers)
        let inside = Dictionary(grouping: members.values, by: \.sandbox)
        return pods.compactMap { pod in
            guard let sandbox = sandboxes[pod.id] else { return nil }
            let members = inside[pod.id] ?? []
            var queries = members.reduce(into: Set<ContainerQuery>()) { $0.formUnion($1.labels) }
            let name = "\(pod.metadata.namespace)/\(pod.metadata.name)"
            queries.insert(.pod(name))
            // An engine that keeps the network of a pod without a process of its own.
            let pid = sandbox.pid > 0 ? sandbox.pid : members.map(\.pid).filter { $0 > 0 }.min() ?? 0
            if pid <= 0 { return nil }
            let started = members.filter { !$0.labels.isEmpty }.map(\.started).min() ?? pod.createdAt
            return Container(
                id: pod.id, name: name, pid: pid, namespaceFile: sandbox.namespaceFile, queries: queries,
                created: Self.text(pod.createdAt), started: Self.text(started))
        }
    }

    private mutating func update(_ pods: [CRI_PodSandbox], _ containers: [CRI_Container]) async throws {
        let ready = Set(pods.map(\.id))
        sandboxes = sandboxes.filter { ready.contains($0.key) }
        for id in ready.subtracting(sandboxes.keys).sorted() {
            guard let info = try await runtime.info(ofSandbox: id) else { continue }
            sandboxes[id] = Sandbox(pid: info.pid, namespaceFile: info.namespaceFile)
        }
        // Those that have ended count until they are removed: they may be started again.
        let there = containers.filter { ready.contains($0.podSandboxID) && $0.state != .containerCreated }
        let ids = Set(there.map(\.id))
        members = members.filter { ids.contains($0.key) }
        for container in there where members[container.id] == nil {
            guard let (info, started) = try await runtime.info(ofContainer: container.id) else { continue }
            members[container.id] = Member(
                sandbox: container.podSandboxID, labels: info.labels,
                pid: container.state == .containerRunning ? info.pid : 0, started: started)
        }
    }

    /// Nanoseconds, so that texts are in the order of time.
    private static func text(_ time: Int64) -> String {
        let digits = String(max(time, 0))
        return String(repeating: "0", count: max(19 - digits.count, 0)) + digits
    }
}
