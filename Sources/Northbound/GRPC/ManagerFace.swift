internal import GRPCCore
internal import Model
internal import Reconciler
internal import Synchronization

/// `ligato.generic.ManagerService`: values of any model.
struct ManagerFace: Ligato_Generic_ManagerService.SimpleServiceProtocol {
    let backend: any ConfigurationBackend
    let labels: LabelTable

    func setConfig(
        request: ServerRequest<Ligato_Generic_SetConfigRequest>, context: ServerContext
    ) async throws -> ServerResponse<Ligato_Generic_SetConfigResponse> {
        let message = request.message
        let source = try Caller.source(request.metadata)
        let updates = try message.updates.map { try ItemCoding.update($0) }
        try Self.refuseTwins(updates)
        var change = ConfigurationRequest(
            source: source, origin: Caller.origin, values: [], removed: [], replacesAll: message.overwriteAll)
        for update in updates {
            switch update {
            case .set(let value): change.values.append(value)
            case .remove(let key): change.removed.append(key)
            }
        }
        let answer = try await backend.perform(change)
        labels.note(zip(updates, message.updates).map { ($0.key, $1.labels) }, source, isAll: message.overwriteAll)
        if !answer.failures.isEmpty { throw ItemCoding.refusal(answer.failures) }
        var response = Ligato_Generic_SetConfigResponse()
        var number = Ligato_Generic_UpdateResult()
        number.key = "seqnum"
        number.status.status = ValueState.nonexistent.name
        number.status.message = String(answer.sequence)
        response.results = [number]
        for state in answer.states {
            var result = Ligato_Generic_UpdateResult()
            result.key = state.key
            result.status = ItemCoding.status(state.status)
            response.results.append(result)
        }
        return ServerResponse(message: response, metadata: ["seqnum": "\(answer.sequence)"])
    }

    private static func refuseTwins(_ updates: [ItemCoding.Update]) throws(RPCError) {
        var seen: Set<Key> = []
        for update in updates where !seen.insert(update.key).inserted {
            throw RPCError(
                code: .failedPrecondition, message: "found multiple key-value pairs with same key: \"\(update.key)\"")
        }
    }

    func setConfig(
        request: Ligato_Generic_SetConfigRequest, context: ServerContext
    ) async throws -> Ligato_Generic_SetConfigResponse {
        try await setConfig(request: ServerRequest(metadata: [:], message: request), context: context).message
    }

    func getConfig(
        request: Ligato_Generic_GetConfigRequest, context: ServerContext
    ) async throws -> Ligato_Generic_GetConfigResponse {
        guard request.ids.isEmpty || request.labels.isEmpty else {
            throw RPCError(code: .invalidArgument, message: "both fields of the request are not nil!")
        }
        let filter = IDFilter(request.ids)
        var response = Ligato_Generic_GetConfigResponse()
        for declared in await backend.declaredValues() {
            guard filter.takes(ItemCoding.id(declared.key, declared.value)) else { continue }
            let labels = labels[declared.key]
            guard
                request.labels.allSatisfy({ labels[$0.key] == $0.value || ($0.value.isEmpty && labels[$0.key] != nil) })
            else { continue }
            var item = Ligato_Generic_ConfigItem()
            item.item = try ItemCoding.item(declared.key, declared.value)
            item.status = ItemCoding.status(declared.status)
            item.labels = labels
            response.items.append(item)
        }
        return response
    }

    func dumpState(
        request: Ligato_Generic_DumpStateRequest, context: ServerContext
    ) async throws -> Ligato_Generic_DumpStateResponse {
        let filter = IDFilter(request.ids)
        var response = Ligato_Generic_DumpStateResponse()
        for declared in await backend.declaredValues() {
            guard declared.status?.state == .configured, filter.takes(ItemCoding.id(declared.key, declared.value))
            else { continue }
            var item = Ligato_Generic_StateItem()
            item.item = try ItemCoding.item(declared.key, declared.value)
            response.items.append(item)
        }
        return response
    }

    func subscribe(
        request: Ligato_Generic_SubscribeRequest, response: RPCWriter<Ligato_Generic_SubscribeResponse>,
        context: ServerContext
    ) async throws {
        let wanted = request.subscriptions.map(\.id)
        for await changes in backend.stateChanges(isOwn: false) {
            var message = Ligato_Generic_SubscribeResponse()
            for change in changes {
                let item = try ItemCoding.item(change.key, change.value)
                guard wanted.isEmpty || wanted.contains(where: { $0.covers(item.id) }) else { continue }
                var notification = Ligato_Generic_Notification()
                notification.item = item
                notification.status = ItemCoding.status(change.status)
                message.notifications.append(notification)
            }
            if !message.notifications.isEmpty { try await response.write(message) }
        }
        try Task.checkCancellation()
        throw RPCError(
            code: .resourceExhausted,
            message: "the reader was too slow, or too many follow; subscribe and read everything again")
    }
}

/// Which values are asked for by their ids.
private struct IDFilter {
    private let wanted: Set<Ligato_Generic_Item.ID>

    init(_ ids: [Ligato_Generic_Item.ID]) { wanted = Set(ids) }

    func takes(_ id: Ligato_Generic_Item.ID) -> Bool { wanted.isEmpty || wanted.contains(id) }
}

extension Ligato_Generic_Item.ID {
    fileprivate func covers(_ other: Self) -> Bool {
        (model.isEmpty || model == other.model) && (name.isEmpty || name == other.name)
    }
}

/// The labels that clients gave to values.
final class LabelTable: Sendable {
    private struct Entry {
        var source: String
        var labels: [String: String]
    }
    private let entries = Mutex<[Key: Entry]>([:])

    subscript(_ key: Key) -> [String: String] { entries.withLock { $0[key]?.labels ?? [:] } }

    /// Takes up those of a change; nil labels of a key: it is removed.
    func note(_ changes: [(key: Key, labels: [String: String])], _ source: String, isAll: Bool) {
        entries.withLock { entries in
            if isAll { entries = entries.filter { $0.value.source != source } }
            for (key, labels) in changes {
                entries[key] = labels.isEmpty ? nil : Entry(source: source, labels: labels)
            }
        }
    }
}

extension ConfigurationBackend {
    /// Changes what is declared, with what stands in the way as a status of gRPC.
    func perform(_ change: ConfigurationRequest) async throws -> ConfigurationAnswer {
        try Caller.requireRight()
        do {
            return try await self.change(change)
        } catch let refusal as ConfigurationRefusal {
            throw RPCError(code: .failedPrecondition, message: refusal.description)
        }
    }
}
