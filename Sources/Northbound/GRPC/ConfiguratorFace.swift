internal import Concurrency
internal import GRPCCore
internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// `ligato.configurator.ConfiguratorService`: the whole configuration in one message.
struct ConfiguratorFace: Ligato_Configurator_ConfiguratorService.SimpleServiceProtocol {
    let backend: any ConfigurationBackend

    func get(
        request: Ligato_Configurator_GetRequest, context: ServerContext
    ) async throws -> Ligato_Configurator_GetResponse {
        var response = Ligato_Configurator_GetResponse()
        response.config = Ligato_Configurator_Config(await backend.declaredValues().map(\.value))
        return response
    }

    func dump(
        request: Ligato_Configurator_DumpRequest, context: ServerContext
    ) async throws -> Ligato_Configurator_DumpResponse {
        // Reads the kernel anew and repairs what differs: no strain for strangers to put on it.
        try Caller.requireRight()
        var response = Ligato_Configurator_DumpResponse()
        response.dump = Ligato_Configurator_Config(try await backend.valuesInPlace())
        // What is there has a name, also where it is the one that goes without saying.
        for index in response.dump.linuxConfig.interfaces.indices
        where response.dump.linuxConfig.interfaces[index].hostIfName.isEmpty {
            response.dump.linuxConfig.interfaces[index].hostIfName = response.dump.linuxConfig.interfaces[index].name
        }
        return response
    }

    // MARK: - Changes

    // The number of the transaction goes before the answer, and also before an error: so these are streams.
    func update(
        request: StreamingServerRequest<Ligato_Configurator_UpdateRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ligato_Configurator_UpdateResponse> {
        let single = try await ServerRequest(stream: request)
        let (message, source) = (single.message, try Caller.source(single.metadata))
        let values = try message.update.values()
        let change = ConfigurationRequest(
            source: source, origin: Caller.origin, values: values, removed: [], replacesAll: message.fullResync)
        return try await respond(to: change, waits: message.waitDone, Ligato_Configurator_UpdateResponse())
    }

    func delete(
        request: StreamingServerRequest<Ligato_Configurator_DeleteRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Ligato_Configurator_DeleteResponse> {
        let single = try await ServerRequest(stream: request)
        let (message, source) = (single.message, try Caller.source(single.metadata))
        let keys = try message.delete.values().map(\.key)
        let change = ConfigurationRequest(
            source: source, origin: Caller.origin, values: [], removed: keys, replacesAll: false)
        return try await respond(to: change, waits: message.waitDone, Ligato_Configurator_DeleteResponse())
    }

    private func respond<Answer: Sendable>(
        to change: ConfigurationRequest, waits: Bool, _ message: Answer
    ) async throws -> StreamingServerResponse<Answer> {
        let answer = try await backend.perform(change)
        return StreamingServerResponse(metadata: ["seqnum": "\(answer.sequence)"]) { writer in
            if !answer.failures.isEmpty { throw ItemCoding.refusal(answer.failures) }
            if waits {
                await backend.waitUntilDone(change.keys)
                try Task.checkCancellation()
            }
            try await writer.write(message)
            return [:]
        }
    }

    func update(
        request: Ligato_Configurator_UpdateRequest, context: ServerContext
    ) async throws -> Ligato_Configurator_UpdateResponse { throw Self.unused }

    func delete(
        request: Ligato_Configurator_DeleteRequest, context: ServerContext
    ) async throws -> Ligato_Configurator_DeleteResponse { throw Self.unused }

    /// Calls are answered by the streams above, whatever their form.
    private static let unused = RPCError(code: .internalError, message: "a call was not answered as a stream")

    // MARK: - Notifications

    func notify(
        request: Ligato_Configurator_NotifyRequest, response: RPCWriter<Ligato_Configurator_NotifyResponse>,
        context: ServerContext
    ) async throws {
        for await event in backend.interfaceEvents(from: UInt64(request.idx)) {
            var message = Ligato_Configurator_NotifyResponse()
            message.nextIdx = UInt32(truncatingIfNeeded: event.number + 1)
            message.notification.linuxNotification.interface = Ligato_Linux_Interfaces_InterfaceNotification(event)
            guard message.notification.passes(request.filters) else { continue }
            try await response.write(message)
        }
        try Task.checkCancellation()
        throw RPCError(
            code: .resourceExhausted,
            message: "the reader was too slow, or too many follow; ask again from the last next_idx")
    }
}

extension Ligato_Configurator_Config {
    /// The configuration that has these values, as far as it has room for their models.
    init(_ values: [ModelValue]) {
        self.init()
        linuxConfig = .init()
        netallocConfig = .init()
        for value in values {
            switch value {
            case .interface(let message): linuxConfig.interfaces.append(message)
            case .arp(let message): linuxConfig.arpEntries.append(message)
            case .route(let message): linuxConfig.routes.append(message)
            case .namespace(let message): linuxConfig.namespaces.append(message)
            case .rule(let message): linuxConfig.rules.append(message)
            case .filterTable(let message): linuxConfig.nftables.append(message)
            case .forwarding(let message): linuxConfig.fdb.append(message)
            case .qdisc(let message): linuxConfig.qdiscs.append(message)
            case .nextHop(let message): linuxConfig.nexthops.append(message)
            case .allocation(let message): netallocConfig.ipAddresses.append(message)
            case .ruleChain, .client, .endpoint, .service: break
            }
        }
    }

    /// The values.
    ///
    /// - Throws: INVALID_ARGUMENT when there is something in it that this agent does not know.
    func values() throws(RPCError) -> [ModelValue] {
        // Clients send an empty vpp_config back when they got one.
        guard unknownFields.data.isEmpty || Array(unknownFields.data) == [0x0a, 0x00] else {
            throw RPCError(
                code: .invalidArgument,
                message: "the configuration has fields that this agent does not know; vpp_config is for agents with VPP"
            )
        }
        return linuxConfig.interfaces.map { .interface($0) } + linuxConfig.arpEntries.map { .arp($0) }
            + linuxConfig.routes.map { .route($0) } + linuxConfig.namespaces.map { .namespace($0) }
            + linuxConfig.rules.map { .rule($0) } + linuxConfig.nftables.map { .filterTable($0) }
            + linuxConfig.fdb.map { .forwarding($0) } + linuxConfig.qdiscs.map { .qdisc($0) }
            + linuxConfig.nexthops.map { .nextHop($0) }
            + netallocConfig.ipAddresses.map { .allocation($0) }
    }
}

extension Ligato_Linux_Interfaces_InterfaceNotification {
    fileprivate init(_ event: InterfaceEvent) {
        self.init()
        let facts = event.facts
        type = .updown
        state.name = facts.name
        state.internalName = facts.hostName
        state.type = facts.type
        state.ifIndex = facts.index
        state.adminStatus = facts.exists ? facts.isUp ? .up : .down : .deleted
        state.operStatus = facts.exists ? facts.isRunning ? .up : .down : .deleted
        state.lastChange = event.time.parts.seconds
        state.physAddress = facts.hardwareAddress
        state.mtu = facts.mtu
    }
}

extension Ligato_Configurator_Notification {
    /// Whether it has all that one of the filters has.
    fileprivate func passes(_ filters: [Self]) -> Bool {
        if filters.isEmpty { return true }
        return filters.contains { filter in
            guard case .linuxNotification(let wanted)? = filter.notification else { return true }
            let (wantedState, state) = (wanted.interface.state, linuxNotification.interface.state)
            func matches<Value: Equatable>(
                _ path: KeyPath<Ligato_Linux_Interfaces_InterfaceState, Value>, _ none: Value
            ) -> Bool {
                wantedState[keyPath: path] == none || wantedState[keyPath: path] == state[keyPath: path]
            }
            return matches(\.name, "") && matches(\.internalName, "") && matches(\.type, .undefined)
                && matches(\.ifIndex, 0) && matches(\.adminStatus, .unknownStatus)
                && matches(\.operStatus, .unknownStatus) && matches(\.physAddress, "") && matches(\.mtu, 0)
        }
    }
}
