import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCProtobuf
import Logging
import SwiftProtobuf
import Synchronization

@testable import Containers

/// Follows engines until the answers are right. Returns them as they were then, or as they are when the time is over.
func follow(
    _ settings: ContainerSettings, _ queries: Set<ContainerQuery>, within seconds: Double = 400,
    until areRight: @escaping @Sendable ([ContainerQuery: ContainerAnswer]) -> Bool
) async -> [ContainerQuery: ContainerAnswer] {
    let watch = ContainerWatch(settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    watch.look(for: queries)
    return await withTaskGroup(of: [ContainerQuery: ContainerAnswer]?.self) { group in
        group.addTask {
            await watch.run()
            return nil
        }
        group.addTask {
            let end = Date().addingTimeInterval(seconds)
            while Date() < end, !Task.isCancelled {
                let answers = watch.answers
                if areRight(answers) { return answers }
                try? await Task.sleep(for: .milliseconds(10))
            }
            return watch.answers
        }
        defer { group.cancelAll() }
        return await group.next().flatMap { $0 } ?? [:]
    }
}

/// Something that speaks the Container Runtime Interface and says what it was told to; or does not speak it.
final class FakeCRI: Sendable, RegistrableRPCService {
    /// What it says.
    struct Picture: Sendable {
        var pods: [CRI_PodSandbox] = []
        var containers: [CRI_Container] = []
        /// By id: what it tells of a pod or a container.
        var info: [String: String] = [:]
        /// By id, when a container was started.
        var started: [String: Int64] = [:]
        /// What it can't tell anything of.
        var broken: Set<String> = []

        /// A pod that is ready; without a process: one whose network is kept without one.
        mutating func add(pod id: String, created: Int64, pid: Int32 = 0) {
            var pod = CRI_PodSandbox()
            pod.id = id
            pod.metadata.name = id
            pod.metadata.namespace = "default"
            pod.createdAt = created
            pods.append(pod)
            info[id] = "{\"pid\": \(pid)}"
        }

        /// A container in a pod.
        mutating func add(
            _ id: String, in pod: String, _ state: CRI_ContainerState, label: String, pid: Int32, created: Int64,
            started: Int64
        ) {
            var container = CRI_Container()
            container.id = id
            container.podSandboxID = pod
            container.state = state
            container.createdAt = created
            containers.append(container)
            self.started[id] = started
            info[id] =
                "{\"pid\": \(pid), \"runtimeSpec\": {\"process\": {\"env\": [\"MICROSERVICE_LABEL=\(label)\"]}}}"
        }
    }

    let path = "/tmp/nsm-agent-cri-\(UUID().uuidString.prefix(8)).sock"
    let picture: Mutex<Picture>
    /// How many events of containerd's own service there are to be sent, and how often somebody asked for them.
    let events = Mutex((pending: 0, streams: 0))

    init(_ picture: Picture = Picture()) { self.picture = Mutex(picture) }

    /// Settings by which it is asked.
    var settings: ContainerSettings {
        var settings = ContainerSettings(engines: [.init(.cri, path)])
        settings.pollInterval = .milliseconds(20)
        settings.secondLook = .milliseconds(50)
        return settings
    }

    /// Listens as long as something is done.
    func serve<Result: Sendable>(
        speaks: Bool = true, _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        let server = GRPCServer(
            transport: HTTP2ServerTransport.Posix(
                address: .unixDomainSocket(path: path), transportSecurity: .plaintext),
            services: speaks ? [self] : [])
        let task = Task { try await server.serve() }
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body()) } catch { result = .failure(error) }
        // Streams that wait for an event are over.
        events.withLock { $0.pending = .max }
        // Cancelled, the server would end the process if a call came just then.
        server.beginGracefulShutdown()
        _ = await task.result
        unlink(path)
        return try result.get()
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        registerEvents(with: &router)
        register("ListPodSandbox", with: &router) { (_: CRI_ListPodSandboxRequest, picture) in
            var answer = CRI_ListPodSandboxResponse()
            answer.items = picture.pods
            return answer
        }
        register("ListContainers", with: &router) { (_: CRI_ListContainersRequest, picture) in
            var answer = CRI_ListContainersResponse()
            answer.containers = picture.containers
            return answer
        }
        register("PodSandboxStatus", with: &router) { (request: CRI_PodSandboxStatusRequest, picture) in
            var answer = CRI_PodSandboxStatusResponse()
            answer.info["info"] = try picture.told(of: request.podSandboxID)
            return answer
        }
        register("ContainerStatus", with: &router) { (request: CRI_ContainerStatusRequest, picture) in
            var answer = CRI_ContainerStatusResponse()
            answer.info["info"] = try picture.told(of: request.containerID)
            answer.status.startedAt = picture.started[request.containerID] ?? 0
            return answer
        }
    }

    /// Each stream breaks after one event.
    private func registerEvents<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        router.registerHandler(
            forMethod: MethodDescriptor(
                fullyQualifiedService: "containerd.services.events.v1.Events", method: "Subscribe"),
            deserializer: ProtobufDeserializer<CRI_SubscribeRequest>(), serializer: ProtobufSerializer<CRI_Event>()
        ) { _, _ in
            self.events.withLock { $0.streams += 1 }
            return StreamingServerResponse { writer in
                while !self.events.withLock({ events in
                    defer { events.pending = max(0, events.pending - 1) }
                    return events.pending > 0
                }) { try await Task.sleep(for: .milliseconds(10)) }
                try await writer.write(CRI_Event())
                throw RPCError(code: .unavailable, message: "the stream broke")
            }
        }
    }

    private func register<Transport: ServerTransport, Request: Message, Answer: Message>(
        _ method: String, with router: inout RPCRouter<Transport>,
        _ answer: @escaping @Sendable (Request, Picture) throws -> Answer
    ) {
        router.registerHandler(
            forMethod: MethodDescriptor(fullyQualifiedService: "runtime.v1.RuntimeService", method: method),
            deserializer: ProtobufDeserializer<Request>(), serializer: ProtobufSerializer<Answer>()
        ) { request, _ in
            var last = Request()
            for try await message in request.messages { last = message }
            let answer = try answer(last, self.picture.withLock { $0 })
            return StreamingServerResponse(single: .init(message: answer))
        }
    }
}

extension FakeCRI.Picture {
    fileprivate func told(of id: String) throws -> String? {
        if broken.contains(id) { throw RPCError(code: .internalError, message: "locked") }
        return info[id]
    }
}
