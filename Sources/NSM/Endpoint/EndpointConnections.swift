internal import Concurrency
internal import MeshTransport
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
    /// Called with the id of each connection that is added, changed or removed.
    private let changed: @Sendable (String) -> Void
    /// Whom it serves: why not, or nil.
    private let callers: @Sendable (ConnectionInfo) -> String?
    private let queue = KeyedQueue()
    private let services: Mutex<[String: Offer]>
    private let pools: Mutex<[String: PointToPointIPAM]>
    private let expiries = Expiries()
    private let asked = AskedClients()
    /// Our ids by who is at the start of the path.
    private let clients = Mutex<[Client: String]>([:])

    /// Who a connection is for, under whatever id it comes.
    private struct Client: Hashable {
        let service: String
        let name: String
        let id: String
        /// The peer that requests it here, with its proven identity: anyone can make up what a path says of its start.
        let asker: PeerIdentity
        /// Whose tokens stand between the start and us. Each peer on the way has verified the one before it, so that a path of
        /// somebody else's is another one where it leaves his hands.
        let way: [String]

        /// Nil for a path without a start.
        init?(_ connection: NSMConnection, service: String, _ asker: PeerIdentity) {
            guard let first = connection.path.pathSegments.first else { return nil }
            self.service = service
            name = first.name
            id = first.id
            self.asker = asker
            let tokens = connection.path.pathSegments.prefix(Int(connection.path.index)).map(\.token)
            let subjects = tokens.map { (try? Token(parsing: $0))?.subject ?? "" }
            // Where the asker itself has seen the client, it keeps clients of one name apart. A pod that was started again may
            // have another identity, and the same name.
            way = subjects.count == 2 ? [subjects[1]] : subjects
        }
    }

    /// Connections of one peer. A manager has those of all its clients.
    static let mostOfOnePeer = 65536

    /// A service as it is offered now.
    private struct Offer {
        var service: NetworkServiceEndpoint.Service
        /// Name servers that clients may still have of us, and should not any more.
        var retired: [NSMDNSConfig] = []
    }

    init(
        _ services: [NetworkServiceEndpoint.Service], component: Component, namespace: String,
        callers: @escaping @Sendable (ConnectionInfo) -> String? = { _ in nil },
        changed: @escaping @Sendable (String) -> Void
    ) {
        self.component = component
        self.namespace = namespace
        self.callers = callers
        self.changed = changed
        let offers = Dictionary(services.map { ($0.name, Offer(service: $0)) }, uniquingKeysWith: { first, _ in first })
        self.services = Mutex(offers)
        pools = Mutex(offers.compactMapValues(\.service.ipam))
        expiries.whenOver { [weak self] id in await self?.expire(id) }
    }

    // MARK: - Requests

    func request(
        request: ServerRequest<Networkservice_NetworkServiceRequest>, context: ServerContext
    ) async throws -> ServerResponse<NSMConnection> {
        let call = try IncomingCall(request.metadata)
        if let refusal = callers(call.info) { throw RPCError(code: .permissionDenied, message: refusal) }
        let preferences = request.message.mechanismPreferences
        if let mistake = ConnectionLimits.mistake(in: preferences) {
            throw RPCError(code: .invalidArgument, message: "the request holds too much: \(mistake)")
        }
        var connection = request.message.connection
        let hop = try call.enter(&connection, component)
        let wanted = connection
        let answer = try await queue.run(hop.ownID) {
            self.asked.begin(wanted.id)
            defer { self.asked.giveUp(wanted.id) }
            return try await self.serve(wanted, preferences, call)
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
        guard let offer = offer(of: connection) else {
            throw RPCError(
                code: .notFound, message: "\(component.name) does not offer \(connection.networkService.prefix(253))")
        }
        try call.checkOwner(of: id, in: monitor)
        guard monitor.connection(id) != nil || monitor.count(of: call.peer) < Self.mostOfOnePeer else {
            throw RPCError(code: .resourceExhausted, message: "\(call.peer) has too many connections here")
        }
        if connection.state == .reselectRequested, monitor.connection(id) != nil { await release(id) }
        let service = offer.service
        let before = monitor.connection(id)
        let isRefresh = before != nil
        let client = Client(connection, service: service.name, call.peer)
        if !isRefresh, let client { await supersede(client) }
        let mechanism = try Self.mechanism(connection, preferences)
        let admission = try await admit(connection, mechanism, service, isRefresh)
        do {
            connection.trimPath()
            try fill(&connection, admission, offer)
            connection.mechanism = mechanism
            try answerMechanism(&connection, admission, call)
        } catch {
            if !isRefresh { await forget(id, service) }
            throw error
        }
        connection.state = .up
        remember(client, id, before.flatMap { Client($0, service: service.name, call.peer) })
        monitor.update(connection, owner: call.peer)
        expiries.set(id, to: connection.previousSegment?.expiry)
        // Tokens change with every refresh; for followers of the connections that is not a change.
        let isOutdated = asked.end(id, of: service.name)
        if isOutdated { monitor.setState(.refreshRequested, of: id) }
        if isOutdated || before.map({ !connection.isSame(as: $0) }) ?? true { changed(id) }
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
        _ connection: inout NSMConnection, _ admission: EndpointAdmission, _ offer: Offer
    ) throws {
        let service = offer.service
        var context = connection.context
        var addresses = context.ipContext
        let id = connection.id
        // Addresses of policies that were replaced since.
        let sources = Set(addresses.policies.map(\.from)).subtracting(service.policies.map(\.from))
        addresses.srcIpAddrs.removeAll { sources.contains($0) }
        // What the client says of the endpoint's half is a hint for the pools at most.
        addresses.dstRoutes = []
        let routes = admission.routes ?? service.routes
        if routes != nil { addresses.srcRoutes = [] }
        do {
            try pools.withLock { try $0[service.name]?.allocate(id, &addresses) }
        } catch {
            throw RPCError(code: .resourceExhausted, message: "\(error)")
        }
        let pairs = pools.withLock { $0[service.name]?.pairs(of: id) ?? [] }
        let own = (pairs.map { IPPrefix(host: $0.destination) } + admission.destinationAddresses).map { "\($0)" }
        addresses.dstIpAddrs = Self.joined(addresses.dstIpAddrs.filter(Set(own).contains), own)
        for route in routes ?? [] where !addresses.srcRoutes.contains(where: { $0.prefix == "\(route)" }) {
            addresses.srcRoutes.append(.with { $0.prefix = "\(route)" })
        }
        addresses.ipNeighbors = []
        addresses.extraPrefixes = []
        // Another endpoint of the network has its own way out.
        let policies = context.networkOrigin == nil ? service.policies : []
        addresses.policies = policies
        addresses.srcIpAddrs = Self.joined(addresses.srcIpAddrs, policies.map(\.from))
        context.ipContext = addresses
        context.ethernetContext.dstMac = admission.destinationMAC.map { "\($0)" } ?? ""
        context.ethernetContext.vlanTag = 0
        context.dnsContext.configs.removeAll { offer.retired.contains($0) }
        for config in service.dns where !context.dnsContext.configs.contains(config) {
            context.dnsContext.configs.append(config)
        }
        connection.context = context
        if connection.payload.isEmpty { connection.payload = service.payload }
    }

    /// Both lists without what is there already, or empty.
    private static func joined(_ first: [String], _ second: [String]) -> [String] {
        var seen: Set<String> = [""]
        return (first + second).filter { seen.insert($0).inserted }
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
        try await queue.run(hop.ownID) {
            try call.checkOwner(of: hop.ownID, in: monitor)
            await self.release(hop.ownID)
        }
        return ServerResponse(message: SwiftProtobuf.Google_Protobuf_Empty())
    }

    private func expire(_ id: String) async {
        component.logger.info("connection ended: its token was not renewed", metadata: ["connection": "\(id)"])
        try? await queue.run(id) { await self.release(id) }
    }

    private func release(_ id: String) async {
        guard let connection = monitor.connection(id), let asker = monitor.owner(id) else { return }
        monitor.delete(id)
        expiries.set(id, to: nil)
        guard let offer = offer(of: connection) else { return changed(id) }
        asked.forget(id, of: offer.service.name)
        if let client = Client(connection, service: offer.service.name, asker) {
            clients.withLock { if $0[client] == id { $0[client] = nil } }
        }
        await forget(id, offer.service)
        changed(id)
    }

    /// Remembers a client by the way that it came last: tokens on it may be others' than before.
    private func remember(_ client: Client?, _ id: String, _ former: Client?) {
        clients.withLock { clients in
            if let former, former != client, clients[former] == id { clients[former] = nil }
            if let client { clients[client] = id }
        }
    }

    /// How many clients are remembered.
    var knownClients: Int { clients.withLock(\.count) }

    /// A manager on the way that starts anew may give a client's connection another id here. What the client had under the old
    /// one is free for it.
    private func supersede(_ client: Client) async {
        guard let old = clients.withLock({ $0[client] }), monitor.connection(old) != nil else { return }
        component.logger.debug("a client comes by another id", metadata: ["connection": "\(old)"])
        await release(old)
    }

    private func forget(_ id: String, _ service: NetworkServiceEndpoint.Service) async {
        pools.withLock { $0[service.name]?.release(id) }
        await service.released(id)
    }

    // MARK: - Services

    /// The service of a connection, whose name may carry the domain it was asked for in.
    private func offer(of connection: NSMConnection) -> Offer? {
        let name = connection.networkService.split(separator: "@").first.map(String.init) ?? ""
        return services.withLock { $0[connection.networkService] ?? $0[name] }
    }

    /// Replaces what clients of a service are given beside addresses, and asks them to come for it.
    func replace(policies: [NSMPolicyRoute]?, dns: [NSMDNSConfig]?, of name: String) {
        let isChanged = services.withLock { services in
            guard var offer = services[name] else { return false }
            let before = offer.service
            if let policies { offer.service.policies = policies }
            if let dns {
                offer.service.dns = dns
                offer.retired = (offer.retired + before.dns).filter { !dns.contains($0) }
            }
            services[name] = offer
            return before.policies != offer.service.policies || before.dns != offer.service.dns
        }
        guard isChanged else { return }
        refreshAll(clientsOf: name)
    }

    /// Replaces the pools of a service, and asks its clients to come for addresses of the new ones.
    func replace(addresses ipam: PointToPointIPAM, of name: String) {
        guard services.withLock({ $0[name] != nil }) else { return }
        pools.withLock { pools in
            var ipam = ipam
            if let old = pools[name] { ipam.takeOver(from: old) }
            pools[name] = ipam
        }
        refreshAll(clientsOf: name)
    }

    private func refreshAll(clientsOf name: String) {
        asked.askAllThatAreAnswered()
        refresh(clientsOf: name) { _ in true }
    }

    /// Asks clients of a service to come, those that `isConcerned` says.
    func refresh(clientsOf name: String, where isConcerned: (NSMConnection) -> Bool) {
        for (id, connection) in monitor.connections
        where offer(of: connection)?.service.name == name && isConcerned(connection) {
            asked.ask(id, of: name)
            monitor.setState(.refreshRequested, of: id)
            // It may be gone meanwhile.
            if monitor.connection(id) == nil { asked.forget(id, of: name) }
        }
    }

    /// Asks those once more who have not come since they were asked. Returns how many those are.
    func refreshAgain(clientsOf name: String) -> Int { monitor.askAgain(asked.waiting(of: name)) }

    /// Says when there are some who were asked to come.
    func asks(of name: String) -> AsyncStream<Void> { asked.asks(of: name) }

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
