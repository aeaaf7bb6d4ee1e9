internal import Concurrency
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import GRPCProtobuf
internal import KubernetesClient
internal import SwiftProtobuf

/// The calls to an engine that speaks the Container Runtime Interface, in its version.
struct CRIRuntime: Sendable {
    typealias Client = GRPCClient<HTTP2ClientTransport.Posix>

    private let client: Client
    private let service: String
    private let patience: Duration
    /// The longest message that is taken, bytes.
    private static let messageLimit = 32 << 20

    /// Finds out which version the engine speaks.
    init(_ client: Client, patience: Duration) async throws(ContainerError) {
        self.client = client
        self.patience = patience
        for version in ["v1", "v1alpha2"] {
            let service = "runtime.\(version).RuntimeService"
            do {
                let _: CRI_ListPodSandboxResponse = try await Self.call(
                    client, service, "ListPodSandbox", CRI_ListPodSandboxRequest.ready, patience)
                self.service = service
                return
            } catch let error as RPCError where error.code == .unimplemented {
                continue
            } catch {
                throw Self.failure(error)
            }
        }
        throw ContainerError(
            "it does not speak the Container Runtime Interface, or has that switched off", isSpeechless: true)
    }

    // MARK: - Calls

    func readySandboxes() async throws(ContainerError) -> [CRI_PodSandbox] {
        let answer: CRI_ListPodSandboxResponse = try await ask("ListPodSandbox", CRI_ListPodSandboxRequest.ready)
        return answer.items.filter { $0.state == .sandboxReady }
    }

    func containers() async throws(ContainerError) -> [CRI_Container] {
        let answer: CRI_ListContainersResponse = try await ask("ListContainers", CRI_ListContainersRequest())
        return answer.containers
    }

    /// What the runtime reports of a sandbox or a container; nil: it is gone, or the runtime reports nothing.
    func look(at subject: CRISubject) async throws(ContainerError) -> CRILook? {
        switch subject {
        case .sandbox(let id): try await info(ofSandbox: id).map { CRILook(info: $0, started: 0) }
        case .container(let id): try await info(ofContainer: id)
        }
    }

    private func info(ofSandbox id: String) async throws(ContainerError) -> CRIInfo? {
        var request = CRI_PodSandboxStatusRequest()
        request.podSandboxID = id
        request.verbose = true
        let answer: CRI_PodSandboxStatusResponse? = try await askUnlessGone("PodSandboxStatus", request)
        return answer.flatMap { CRIInfo($0.info) }
    }

    private func info(ofContainer id: String) async throws(ContainerError) -> CRILook? {
        var request = CRI_ContainerStatusRequest()
        request.containerID = id
        request.verbose = true
        let answer: CRI_ContainerStatusResponse? = try await askUnlessGone("ContainerStatus", request)
        guard let answer, let info = CRIInfo(answer.info) else { return nil }
        return CRILook(info: info, started: answer.status.startedAt)
    }

    private func ask<Answer: Message>(
        _ method: String, _ request: some Message
    ) async throws(ContainerError) -> Answer {
        do { return try await Self.call(client, service, method, request, patience) } catch {
            throw Self.failure(error)
        }
    }

    private func askUnlessGone<Answer: Message>(
        _ method: String, _ request: some Message
    ) async throws(ContainerError) -> Answer? {
        do {
            return try await Self.call(client, service, method, request, patience)
        } catch let error as RPCError where error.code == .notFound {
            return nil
        } catch {
            throw Self.failure(error)
        }
    }

    private static func failure(_ error: any Error) -> ContainerError {
        guard let error = error as? RPCError else { return ContainerError("\(error)") }
        return ContainerError(error.message.isEmpty ? "\(error.code)" : String(error.message.prefix(300)))
    }

    private static func options(_ patience: Duration?, limit: Int = messageLimit) -> CallOptions {
        var options = CallOptions.defaults
        options.timeout = patience
        options.waitForReady = false
        options.maxRequestMessageBytes = messageLimit
        options.maxResponseMessageBytes = limit
        return options
    }

    private static func call<Request: Message, Answer: Message>(
        _ client: Client, _ service: String, _ method: String, _ request: Request, _ patience: Duration
    ) async throws -> Answer {
        try await client.unary(
            request: ClientRequest(message: request),
            descriptor: MethodDescriptor(fullyQualifiedService: service, method: method),
            serializer: ProtobufSerializer<Request>(), deserializer: ProtobufDeserializer<Answer>(),
            options: options(patience)
        ) { try $0.message }
    }

    // MARK: - Events

    /// Says that something happened, as long as it is not cancelled or until the engine turns out to have no events.
    ///
    /// containerd has had events of its own at the same socket for longer than those of the interface, and tells of a task there
    /// before the interface does. Both are followed.
    func followEvents(_ tell: @escaping @Sendable () -> Void) async {
        var tasks = CRI_SubscribeRequest()
        // What the interface shows is in this namespace of containerd; others are for Docker and the like.
        tasks.filters = ["namespace==k8s.io,topic~=\"/tasks/(start|exit|paused|resumed)\""]
        let request = tasks
        await withDiscardingTaskGroup { group in
            group.addTask { await self.keepFollowing(service, "GetContainerEvents", CRI_GetEventsRequest(), tell) }
            group.addTask { await self.keepFollowing(Self.taskService, "Subscribe", request, tell) }
        }
    }

    private static let taskService = "containerd.services.events.v1.Events"
    /// The longest event that is taken, bytes.
    private static let eventLimit = 1 << 20
    /// The longest wait before events are asked for again.
    private static let longestWait = Duration.seconds(10)

    /// Follows events of one kind. When they end, it asks again, and again later; until then, looks from time to time have to do.
    private func keepFollowing(
        _ service: String, _ method: String, _ request: some Message, _ tell: @escaping @Sendable () -> Void
    ) async {
        var backoff = Backoff(first: .milliseconds(100), limit: Self.longestWait)
        while !Task.isCancelled {
            let began = ContinuousClock.now
            guard await follow(service, method, request, tell) else { return }
            if .now - began > Self.longestWait { backoff.reset() }
            // What happened before the stream was open.
            tell()
            try? await Task.sleep(for: backoff.wait())
        }
    }

    /// Returns false when the engine does not know the call.
    private func follow<Request: Message>(
        _ service: String, _ method: String, _ request: Request, _ tell: @escaping @Sendable () -> Void
    ) async -> Bool {
        do {
            try await client.serverStreaming(
                request: ClientRequest(message: request),
                descriptor: MethodDescriptor(fullyQualifiedService: service, method: method),
                serializer: ProtobufSerializer<Request>(), deserializer: ProtobufDeserializer<CRI_Event>(),
                options: Self.options(nil, limit: Self.eventLimit)
            ) { response in
                for try await _ in response.messages { tell() }
            }
            return true
        } catch let error as RPCError {
            return error.code != .unimplemented
        } catch {
            return true
        }
    }
}

/// Of what an engine can be asked.
enum CRISubject: Hashable, Sendable {
    /// A pod's sandbox, by its id.
    case sandbox(String)
    /// A container, by its id.
    case container(String)
}

/// What an engine says of that.
struct CRILook: Sendable {
    let info: CRIInfo
    /// When a container was started, nanoseconds since 1970; 0: never.
    let started: Int64
}

/// What an engine reports of a sandbox or container beside its API: its own JSON, in which containerd and CRI-O agree.
struct CRIInfo: Sendable {
    /// The number of the first process; 0: there is none.
    let pid: Int32
    /// A file that refers to the network namespace; empty: none.
    let namespaceFile: String
    /// Labels in the environment.
    let labels: Set<ContainerQuery>

    init?(_ info: [String: String]) {
        guard let text = info["info"], let json = try? JSONValue(parsing: text.utf8) else { return nil }
        pid = json["pid"]?.int.flatMap { Int32(exactly: $0) } ?? 0
        let specification = json["runtimeSpec"]
        let namespaces = specification?["linux"]?["namespaces"]?.array ?? []
        namespaceFile = namespaces.first { $0["type"]?.string == "network" }?["path"]?.string ?? ""
        let start = ContainerQuery.variable + "="
        labels = Set(
            (specification?["process"]?["env"]?.array ?? []).compactMap { entry in
                guard let entry = entry.string, entry.hasPrefix(start), entry.utf8.count > start.utf8.count else {
                    return nil
                }
                return .label(String(entry.dropFirst(start.count)))
            })
    }
}

extension CRI_ListPodSandboxRequest {
    /// Those that run.
    fileprivate static var ready: Self {
        var request = Self()
        request.filter.state.state = .sandboxReady
        return request
    }
}
