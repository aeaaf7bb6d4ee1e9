internal import DescriptorTransport
internal import GRPCCore
internal import Logging
internal import NetworkTypes
internal import SPIFFE
internal import SwiftProtobuf
internal import Synchronization

/// Serves the requests for an endpoint's services.
final class EndpointConnections: Networkservice_NetworkService.ServiceProtocol {
    let monitor = ConnectionMonitor()
    private let component: Component
    private let namespace: String
    private let changed: @Sendable () -> Void
    private let queue = KeyedQueue()
    private let services: [String: NetworkServiceEndpoint.Service]
    private let pools: Mutex<[String: PointToPointIPAM]>
    private let expiries = Expiries()

    init(
        _ services: [NetworkServiceEndpoint.Service], component: Component, namespace: String,
        changed: @escaping @Sendable () -> Void
    ) {
        self.component = component
        self.namespace = namespace
        self.changed = changed
        self.services = Dictionary(services.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        pools = Mutex(self.services.compactMapValues(\.ipam))
        expiries.whenOver { [weak self] id in await self?.expire(id) }
    }

    // MARK: - Requests

    func request(
        request: ServerRequest<Networkservice_NetworkServiceRequest>, context: ServerContext
    ) async throws -> ServerResponse<NSMConnection> {
        let call = try IncomingCall(request.metadata)
        let preferences = request.message.mechanismPreferences
        var connection = request.message.connection
        let hop = try call.enter(&connection, component)
        let wanted = connection
        let answer = try await queue.run(hop.ownID) {
            try await self.serve(wanted, preferences, call)
        }
        connection = answer
        hop.leave(&connection)
        return ServerResponse(message: connection)
    }

    private func serve(
        _ wanted: NSMConnection, _ preferences: [NSMMechanism], _ call: IncomingCall
    ) async throws -> NSMConnection {
        var connection = wanted
        let id = connection.id
        // The name of the service may carry the domain it was asked for in.
        let name = connection.networkService.split(separator: "@").first.map(String.init) ?? ""
        guard let service = services[connection.networkService] ?? services[name] else {
            throw RPCError(
                code: .notFound, message: "\(component.name) does not offer \(connection.networkService.prefix(253))")
        }
        if connection.state == .reselectRequested, monitor.connection(id) != nil { await release(id) }
        let before = monitor.connection(id)
        let isRefresh = before != nil
        let mechanism = try Self.mechanism(connection, preferences)
        let admission = try await admit(connection, mechanism, service, isRefresh)
        do {
            connection.trimPath()
            try fill(&connection, admission, service)
            connection.mechanism = mechanism
            try answerMechanism(&connection, admission, call)
        } catch {
            if !isRefresh { await forget(id, service) }
            throw error
        }
        connection.state = .up
        monitor.update(connection)
        expiries.set(id, to: connection.previousSegment?.expiry)
        // Tokens change with every refresh; for those who follow the connections that is no change.
        if before.map({ !connection.isSame(as: $0) }) ?? true { changed() }
        return connection
    }

    private static func mechanism(
        _ connection: NSMConnection, _ preferences: [NSMMechanism]
    ) throws(RPCError) -> NSMMechanism {
        if connection.hasMechanism, !connection.mechanism.type.isEmpty {
            guard connection.mechanism.type == WellKnown.kernel else {
                throw RPCError(
                    code: .invalidArgument, message: "the mechanism \(connection.mechanism.type) is not supported")
            }
            return connection.mechanism
        }
        guard let mechanism = preferences.first(where: { $0.type == WellKnown.kernel }) else {
            throw RPCError(
                code: .invalidArgument, message: "no mechanism of the request is supported; \(WellKnown.kernel) is")
        }
        return mechanism
    }

    private func admit(
        _ connection: NSMConnection, _ mechanism: NSMMechanism, _ service: NetworkServiceEndpoint.Service,
        _ isRefresh: Bool
    ) async throws -> EndpointAdmission {
        let client = connection.path.pathSegments.first
        let known = monitor.connection(connection.id)?.mechanism.interfaceName
        do {
            var admission = try await service.admit(
                EndpointRequest(
                    connectionID: connection.id, clientID: client?.id ?? "", clientName: client?.name ?? "",
                    service: service.name, labels: connection.labels,
                    interfaceName: known ?? mechanism.interfaceName, context: connection.context, isRefresh: isRefresh))
            if admission.interfaceName.isEmpty {
                let asked = known ?? mechanism.interfaceName
                admission.interfaceName = asked.isEmpty ? generatedInterfaceName(for: service.name) : asked
            }
            return admission
        } catch let refusal as EndpointRefusal {
            throw RPCError(code: .failedPrecondition, message: refusal.description)
        }
    }

    private func fill(
        _ connection: inout NSMConnection, _ admission: EndpointAdmission, _ service: NetworkServiceEndpoint.Service
    ) throws {
        var context = connection.context
        var addresses = context.ipContext
        let id = connection.id
        do {
            try pools.withLock { try $0[service.name]?.allocate(id, &addresses) }
        } catch {
            throw RPCError(code: .resourceExhausted, message: "\(error)")
        }
        for prefix in admission.destinationAddresses where !addresses.dstIpAddrs.contains("\(prefix)") {
            addresses.dstIpAddrs.append("\(prefix)")
        }
        addresses.policies = service.policies
        for policy in service.policies where !policy.from.isEmpty && !addresses.srcIpAddrs.contains(policy.from) {
            addresses.srcIpAddrs.append(policy.from)
        }
        context.ipContext = addresses
        if let mac = admission.destinationMAC { context.ethernetContext.dstMac = "\(mac)" }
        for config in service.dns where !context.dnsContext.configs.contains(config) {
            context.dnsContext.configs.append(config)
        }
        connection.context = context
        if connection.payload.isEmpty { connection.payload = service.payload }
    }

    /// Our own namespace goes back, with a descriptor of it.
    private func answerMechanism(
        _ connection: inout NSMConnection, _ admission: EndpointAdmission, _ call: IncomingCall
    ) throws {
        if let mistake = InterfaceName.mistake(in: admission.interfaceName) {
            throw RPCError(
                code: .failedPrecondition,
                message: "the interface's name '\(admission.interfaceName.prefix(64))' \(mistake)")
        }
        connection.mechanism.parameters[WellKnown.interfaceName] = admission.interfaceName
        if let channel = call.info.descriptors {
            do {
                let space = try Descriptor.open(namespace, pathOnly: true)
                try channel.send(space)
                connection.mechanism.parameters[WellKnown.inodeURL] = space.inode.url
            } catch {
                throw RPCError(code: .internalError, message: "the endpoint's namespace can't be sent: \(error)")
            }
        }
        let own = Int(connection.path.index)
        connection.path.pathSegments[own].metrics["server_interface"] = "\(WellKnown.kernel)/\(admission.interfaceName)"
    }

    // MARK: - Ends

    func close(
        request: ServerRequest<NSMConnection>, context: ServerContext
    ) async throws -> ServerResponse<SwiftProtobuf.Google_Protobuf_Empty> {
        let call = try IncomingCall(request.metadata)
        var connection = request.message
        let hop = try call.enter(&connection, component)
        try await queue.run(hop.ownID) { await self.release(hop.ownID) }
        return ServerResponse(message: SwiftProtobuf.Google_Protobuf_Empty())
    }

    private func expire(_ id: String) async {
        component.logger.info("connection ended: its token was not renewed", metadata: ["connection": "\(id)"])
        try? await queue.run(id) { await self.release(id) }
    }

    private func release(_ id: String) async {
        guard let connection = monitor.connection(id) else { return }
        let name = connection.networkService.split(separator: "@").first.map(String.init) ?? ""
        monitor.delete(id)
        expiries.set(id, to: nil)
        if let service = services[connection.networkService] ?? services[name] { await forget(id, service) }
        changed()
    }

    private func forget(_ id: String, _ service: NetworkServiceEndpoint.Service) async {
        pools.withLock { $0[service.name]?.release(id) }
        await service.released(id)
    }

    func end() {
        expiries.clear()
        monitor.finish()
    }
}

extension NSMConnection {
    /// Whether it is the same but for the tokens of its path.
    fileprivate func isSame(as other: NSMConnection) -> Bool {
        context == other.context && mechanism == other.mechanism && state == other.state && labels == other.labels
            && networkService == other.networkService && payload == other.payload
            && path.pathSegments.elementsEqual(other.path.pathSegments) { $0.id == $1.id && $0.name == $1.name }
    }
}
