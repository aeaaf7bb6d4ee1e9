internal import GRPCCore
internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// Values between the wire's items and the model.
enum ItemCoding {
    /// What every type URL of ours begins with. Others are accepted.
    private static let urlPrefix = "models.ligato.io/"

    /// What one update asks for.
    enum Update {
        case set(ModelValue)
        case remove(Key)

        var key: Key {
            switch self {
            case .set(let value): value.key
            case .remove(let key): key
            }
        }
    }

    /// - Throws: INVALID_ARGUMENT, with the words that clients know.
    static func update(_ update: Ligato_Generic_UpdateItem) throws(RPCError) -> Update {
        guard update.hasItem else { throw invalid("change item is nil") }
        let item = update.item
        guard item.hasID else {
            throw invalid(item.hasData ? "item id is nil" : "ProtoItem has no key or val defined.")
        }
        guard let model = ModelRegistry.model(named: item.id.model) else {
            throw invalid("no model registered for name \(item.id.model)")
        }
        guard case .any(let any)? = item.data.union else {
            guard !item.id.name.isEmpty else { throw invalid("ProtoItem has no key or val defined.") }
            return .remove(model.keyPrefix + item.id.name)
        }
        // The rest of the id counts for nothing: the key follows from the value.
        return .set(try value(any))
    }

    /// - Throws: INVALID_ARGUMENT when it is of no model, or can't be decoded.
    static func value(_ any: Google_Protobuf_Any) throws(RPCError) -> ModelValue {
        let name = any.typeURL.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? ""
        guard let model = ModelRegistry.all.first(where: { $0.protoMessage == name }) else {
            throw invalid("no model registered for message \(name.isEmpty ? "without a type_url" : name)")
        }
        do {
            return try ModelValue(model.kind, serializedBytes: any.value)
        } catch {
            throw invalid("\(name) can't be decoded: \(error)")
        }
    }

    private static func invalid(_ text: String) -> RPCError { RPCError(code: .invalidArgument, message: text) }

    /// The id of a declared value. Under a key of its own, a name too.
    static func id(_ key: Key, _ value: ModelValue) -> Ligato_Generic_Item.ID {
        var id = Ligato_Generic_Item.ID()
        let model = value.model
        id.model = model.name
        id.name = key.hasPrefix(model.keyPrefix) ? String(key.dropFirst(model.keyPrefix.count)) : value.name
        return id
    }

    /// A value as an item.
    static func item(_ key: Key, _ value: ModelValue) throws -> Ligato_Generic_Item {
        var item = Ligato_Generic_Item()
        item.id = id(key, value)
        item.data.any.typeURL = urlPrefix + value.model.protoMessage
        item.data.any.value = try value.message.serializedBytes()
        return item
    }

    /// A state as clients know it.
    static func status(_ status: ValueStatus?) -> Ligato_Generic_ItemStatus {
        var result = Ligato_Generic_ItemStatus()
        result.status = (status?.state ?? .nonexistent).name
        if let status { result.message = status.error.isEmpty ? status.details.joined(separator: ", ") : status.error }
        return result
    }

    /// Says of a refusal that the values are declared all the same.
    static let declaredMark = "declared"

    /// The text that clients know for what failed.
    static func refusal(_ failures: [ConfigurationAnswer.Failure]) -> RPCError {
        let listed = failures.prefix(100).map { "\($0.key) (\($0.verb)): \($0.text)" }
        let more = failures.count > listed.count ? ", and \(failures.count - listed.count) more" : ""
        return RPCError(
            code: .failedPrecondition, message: "KeyErrors: [\(listed.joined(separator: ", "))\(more)]",
            metadata: [declaredMark: "true"])
    }
}
