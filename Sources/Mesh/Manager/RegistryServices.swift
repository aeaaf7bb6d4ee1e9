internal import Concurrency
internal import MeshTransport
internal import GRPCCore
internal import Logging
internal import NSM
internal import SPIFFE
internal import SwiftProtobuf

/// Who registers, and the path that the answer carries.
private struct Registration {
    let caller: Caller
    /// The verified identity; nil without certificates.
    let id: SPIFFEID?
    let pathIDs: [String]
    let path: Metadata
    let expires: Timestamp

    /// The longest lifetime of a registration; a live peer renews it before it expires.
    static let longest = Duration.seconds(60)

    init(_ metadata: Metadata, _ component: Component, _ rights: Rights) throws(RPCError) {
        let call = try IncomingCall(metadata)
        let token = try call.authenticate(component)
        let own: CallToken
        let subject: String
        do throws(NSMError) {
            own = try component.token(for: call.info)
            subject = call.info.local?.svid.id.description ?? token.subject
        } catch {
            throw RPCError(code: .internalError, message: error.text)
        }
        caller = rights.caller(call.info)
        id = call.info.peer?.id
        pathIDs = [token.subject, subject]
        path = [WellKnown.registryPath: "\(RegistryPath(index: 0, tokens: [call.token.text, own.text]).json)"]
        expires = min(call.token.expires, own.expires, Timestamp.now.advanced(by: Self.longest))
    }

    /// Whose registrations the caller may see; nil: everybody's, as he serves others or the whole host.
    var viewer: PeerIdentity? { caller.isTrusted ? nil : caller.identity }
}

/// The registry of services.
struct ServiceRegistry: NSMNetworkServiceRegistry.ServiceProtocol {
    let store: RegistryStore
    let component: Component
    let rights: Rights

    func register(
        request: ServerRequest<NSMNetworkService>, context: ServerContext
    ) async throws -> ServerResponse<NSMNetworkService> {
        let registration = try Registration(request.metadata, component, rights)
        do {
            let stored = try store.register(
                request.message, registration.caller, pathIDs: registration.pathIDs,
                isFree: rights.mayOffer(request.message.name, registration.caller, id: registration.id))
            return ServerResponse(message: stored, metadata: registration.path)
        } catch {
            throw RPCError(code: .permissionDenied, message: "\(error)")
        }
    }

    func unregister(
        request: ServerRequest<NSMNetworkService>, context: ServerContext
    ) async throws -> ServerResponse<SwiftProtobuf.Google_Protobuf_Empty> {
        let registration = try Registration(request.metadata, component, rights)
        do {
            try store.unregister(request.message, registration.caller)
        } catch {
            throw RPCError(code: .permissionDenied, message: "\(error)")
        }
        return ServerResponse(message: Google_Protobuf_Empty(), metadata: registration.path)
    }

    func find(
        request: ServerRequest<NSMNetworkServiceQuery>, context: ServerContext
    ) async throws -> StreamingServerResponse<NSMNetworkServiceResponse> {
        let registration = try Registration(request.metadata, component, rights)
        let found = store.find(
            request.message.networkService, watch: request.message.watch, for: registration.viewer)
        return StreamingServerResponse(metadata: registration.path) { writer in
            try await forward(found, to: writer, context)
            return [:]
        }
    }
}

/// The registry of endpoints.
struct EndpointRegistry: NSMNetworkServiceEndpointRegistry.ServiceProtocol {
    let store: RegistryStore
    let component: Component
    let rights: Rights
    /// The endpoints of other hosts.
    let others: RemoteEndpoints
    /// The address that other hosts find the endpoints of this one at; nil: they don't.
    var remoteURL: String?

    func register(
        request: ServerRequest<NSMNetworkServiceEndpoint>, context: ServerContext
    ) async throws -> ServerResponse<NSMNetworkServiceEndpoint> {
        let registration = try Registration(request.metadata, component, rights)
        var endpoint = request.message
        let socket = try await Self.socket(endpoint.url, name: endpoint.name, registration.caller)
        endpoint.pathIds = registration.pathIDs
        endpoint.expirationTime = Google_Protobuf_Timestamp(registration.expires)
        let first = store.endpoint(endpoint.name)?.endpoint.initialRegistrationTime
        endpoint.initialRegistrationTime = first ?? Google_Protobuf_Timestamp(.now)
        do {
            try store.register(
                RegistryStore.Entry(endpoint: endpoint, socket: socket), registration.caller,
                isFree: { rights.mayOffer($0, registration.caller, id: registration.id) })
        } catch {
            throw RPCError(code: .permissionDenied, message: "\(error)")
        }
        return ServerResponse(message: endpoint, metadata: registration.path)
    }

    func unregister(
        request: ServerRequest<NSMNetworkServiceEndpoint>, context: ServerContext
    ) async throws -> ServerResponse<SwiftProtobuf.Google_Protobuf_Empty> {
        let registration = try Registration(request.metadata, component, rights)
        do {
            try store.unregister(request.message, registration.caller)
        } catch {
            throw RPCError(code: .permissionDenied, message: "\(error)")
        }
        return ServerResponse(message: Google_Protobuf_Empty(), metadata: registration.path)
    }

    func find(
        request: ServerRequest<NSMNetworkServiceEndpointQuery>, context: ServerContext
    ) async throws -> StreamingServerResponse<NSMNetworkServiceEndpointResponse> {
        let registration = try Registration(request.metadata, component, rights)
        if let service = request.metadata[stringValues: WellKnown.offering].first(where: { _ in true }) {
            return try await findOfferers(of: service, watch: request.message.watch, registration, context)
        }
        let channel = ConnectionInfo.current?.descriptors
        let found = store.find(
            request.message.networkServiceEndpoint, watch: request.message.watch, for: registration.viewer)
        return StreamingServerResponse(metadata: registration.path) { writer in
            // A client that finds an endpoint of this host can connect to it without access to its socket file.
            let sending = SendingWriter(writer: writer, channel: channel, store: store, remoteURL: remoteURL)
            try await forward(found, to: RPCWriter(wrapping: sending), context)
            return [:]
        }
    }

    /// All endpoints of a service, for one who offers it, too. Other hosts ask for those that are here.
    private func findOfferers(
        of service: String, watch: Bool, _ registration: Registration, _ context: ServerContext
    ) async throws -> StreamingServerResponse<NSMNetworkServiceEndpointResponse> {
        guard !ConnectionInfo.isOfOtherHost else {
            throw RPCError(
                code: .permissionDenied, message: "only endpoints of this host may see the others of their service")
        }
        let (viewer, store) = (registration.viewer, store)
        let mayLook: @Sendable () -> Bool = { viewer.map { store.offers(service, $0) } ?? true }
        guard mayLook() else {
            throw RPCError(
                code: .failedPrecondition,
                message: "\(registration.caller.identity) offers no \(service.prefix(bytes: 253)) here")
        }
        var metadata = registration.path
        metadata.addString(service, forKey: WellKnown.offering)
        let offerers = Offerers(service: service, store: store, others: others)
        return StreamingServerResponse(metadata: metadata) { writer in
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                group.addTask { try await offerers.write(to: writer, watch: watch, while: mayLook) }
                group.addTask { try? await context.cancellation.cancelled }
                try await group.next()
            }
            return [:]
        }
    }

    /// The socket of an endpoint on this host, received beside the message.
    ///
    /// A path or an address would make us dial, with root's rights, what the peer itself could not reach. A process can
    /// hold a descriptor of a socket without the right to connect to it, so that right is checked, too.
    private static func socket(_ url: String, name: String, _ caller: Caller) async throws(RPCError) -> Descriptor? {
        let name = name.prefix(64)
        if ConnectionInfo.isOfOtherHost {
            guard case .tcp? = SocketAddress(url: url) else {
                throw RPCError(
                    code: .invalidArgument, message: "the endpoint \(name) is on another host; a tcp:// url is needed")
            }
            return nil
        }
        guard url.hasPrefix("inode://") else {
            if SocketAddress(url: url) != nil, caller.isTrusted { return nil }
            throw RPCError(
                code: caller.isTrusted ? .invalidArgument : .permissionDenied,
                message: "the endpoint \(name) has the url \(url.prefix(128)); inode:// and a descriptor are needed")
        }
        guard let inode = Inode(url: url), let channel = ConnectionInfo.current?.descriptors else {
            throw RPCError(code: .invalidArgument, message: "\(url.prefix(128)) can't come by this connection")
        }
        let descriptor: Descriptor
        do {
            descriptor = try await channel.receive(inode, within: .seconds(5))
        } catch {
            throw RPCError(code: .invalidArgument, message: "the socket of \(name): \(error)")
        }
        guard let file = descriptor.file, file.isSocket else {
            throw RPCError(code: .invalidArgument, message: "what was sent for the endpoint \(name) is not a socket")
        }
        guard caller.isTrusted || caller.credentials.map({ file.canBeWritten(by: $0) }) ?? false else {
            throw RPCError(
                code: .permissionDenied,
                message: "\(caller.identity) may not connect to the socket of the endpoint \(name)")
        }
        // User 0 of a pod is not the one whose sockets the host has.
        guard caller.isTrusted || caller.credentials?.isOfHost == true || !descriptor.listensHere else {
            throw RPCError(
                code: .permissionDenied,
                message:
                    "the socket of the endpoint \(name) listens in another network namespace than \(caller.identity)")
        }
        return descriptor
    }
}

/// Sends an endpoint's socket before what is said of it. Other hosts are given the manager's address instead.
private struct SendingWriter: RPCWriterProtocol {
    typealias Element = NSMNetworkServiceEndpointResponse
    let writer: RPCWriter<Element>
    let channel: DescriptorChannel?
    let store: RegistryStore
    let remoteURL: String?

    func write(_ element: Element) async throws {
        guard channel != nil else {
            var element = element
            if case .tcp? = SocketAddress(url: element.networkServiceEndpoint.url) {
            } else {
                guard let remoteURL else { return }
                element.networkServiceEndpoint.url = remoteURL
            }
            return try await writer.write(element)
        }
        if !element.deleted, let socket = store.endpoint(element.networkServiceEndpoint.name)?.socket {
            try channel?.send(socket)
        }
        try await writer.write(element)
    }

    func write(contentsOf elements: some Sequence<Element>) async throws {
        for element in elements { try await write(element) }
    }
}
