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
            let hidden = CRIHidden()
            group.addTask {
                while true {
                    try await Task.sleep(for: settings.secondLook)
                    if await hidden.lookAgain(runtime) { wake.yield() }
                }
            }
            group.addTask {
                var picture = CRIPicture(settings, runtime, source, hidden)
                try await picture.look()
                for await _ in wakes {
                    try await picture.look()
                    guard news.has.exchange(false, ordering: .relaxed) else { continue }
                    // The event of a pod comes before the pod is ready, and no event says when it is.
                    for wait in Self.afterthoughts {
                        try await Task.sleep(for: wait)
                        try await picture.look()
                    }
                }
            }
            try await group.next()
            // An engine without events is followed all the same.
            try await group.next()
        }
    }
}

/// Whether an event came since somebody looked.
private final class News: Sendable {
    let has = Atomic(false)
}
