internal import Concurrency
internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// How values and their states look in answers.
struct ValueJSON: Sendable {
    /// Whether a value is JSON text in a string.
    let dataIsText: Bool

    /// `{"ProtoMsgName": …, "ProtoMsgData": …}`
    func value(_ value: ModelValue) throws -> JSON {
        let text = try value.message.jsonString()
        return .object([
            ("ProtoMsgName", .string(value.model.protoMessage)),
            ("ProtoMsgData", dataIsText ? .string(text) : .raw(text)),
        ])
    }

    /// Something that is there and has no content.
    var empty: JSON {
        .object([
            ("ProtoMsgName", "google.protobuf.Empty"), ("ProtoMsgData", dataIsText ? "{}" : .object([])),
        ])
    }

    /// A value with all that is derived from it.
    static func base(_ value: ProvidedStatus, _ derived: [ValueStatus], tellsSources: Bool) -> JSON {
        var pairs: [(String, JSON)] = [("value", status(value.status))]
        if !derived.isEmpty { pairs.append(("derived_values", .array(derived.map(status)))) }
        if tellsSources {
            pairs.append(("source", .string(value.source)))
            pairs.append(("other_sources", .array(value.otherSources.map { .string($0) })))
        }
        return .object(pairs)
    }

    /// `ligato.kvscheduler.ValueStatus`; what says nothing is left out.
    static func status(_ status: ValueStatus) -> JSON {
        .fields([
            ("key", .string(status.key)),
            ("state", status.state == .nonexistent ? nil : .string(status.state.name)),
            ("error", status.error.isEmpty ? nil : .string(status.error)),
            ("last_operation", status.lastOperation == .undefined ? nil : .string(status.lastOperation.name)),
            ("details", status.details.isEmpty ? nil : .array(status.details.map { .string($0) })),
        ])
    }

    /// The time in which a record is open.
    static let never = JSON.string("0001-01-01T00:00:00Z")

    static func time(_ time: Timestamp) -> JSON { .string(time.rfc3339(fractionDigits: 9)) }
}

extension LastOperation {
    /// The name on the wire.
    var name: String {
        switch self {
        case .undefined: "UNDEFINED"
        case .validate: "VALIDATE"
        case .create: "CREATE"
        case .update: "UPDATE"
        case .delete: "DELETE"
        }
    }
}

/// What the ancestor of this agent calls the parts that keep values of a kind.
enum DescriptorName {
    struct Entry {
        let name: String
        /// Keys of values that users declare; empty: of derived ones only.
        let prefix: String
        let kind: ModelDescription.Kind?
    }

    static let all: [Entry] =
        ["linux-interface-address", "linux-interface-vrf", "linux-interface-watcher", "microservice"].map {
            Entry(name: $0, prefix: "", kind: nil)
        }
        + ModelRegistry.all.map { Entry(name: name(of: $0.kind), prefix: $0.keyPrefix, kind: $0.kind) }

    static func name(of kind: ModelDescription.Kind) -> String {
        switch kind {
        case .interface: "linux-interface"
        case .arp: "linux-arp"
        case .route: "linux-route"
        case .ruleChain: "linux-ipt-rulechain-descriptor"
        case .allocation: "netalloc-ip-address"
        case .client: "nsm-client"
        case .endpoint: "nsm-endpoint"
        case .service: "nsm-service"
        case .namespace: "linux-namespace"
        case .rule: "linux-rule"
        case .filterTable: "linux-nftables"
        case .forwarding: "linux-fdb"
        case .nextHop: "linux-nexthop"
        case .qdisc: "linux-qdisc"
        }
    }

    /// The one that keeps the value with a key; nil: none by itself.
    static func name(ofKey key: Key) -> String? {
        if let model = ModelRegistry.model(forKey: key) { return name(of: model.kind) }
        if key.hasPrefix("linux/interface/host-name/") { return "linux-interface-watcher" }
        if key.hasPrefix("linux/microservice/") { return "microservice" }
        guard key.hasPrefix("linux/interface/") else { return nil }
        if key.contains("/address/") { return "linux-interface-address" }
        return key.contains("/vrf/") ? "linux-interface-vrf" : nil
    }
}
