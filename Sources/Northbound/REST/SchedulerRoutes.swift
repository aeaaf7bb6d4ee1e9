internal import Concurrency
internal import HTTPTypes
internal import Hummingbird
internal import Model
internal import Reconciler

/// `/scheduler/…`: values, where they stand, and what was done.
struct SchedulerRoutes: Sendable {
    let backend: any RESTBackend
    let json: ValueJSON

    // MARK: - Status

    func status(_ call: RESTCall) async throws -> Response {
        let tellsSources = call.query.isSet("sources")
        if let key = try call.query.single("key") {
            guard let value = await backend.status(key: key) else {
                return .json(.object([("value", .object([("key", .string(key))]))]))
            }
            let derived = await backend.parts(key: key)
            return .json(ValueJSON.base(value, derived, tellsSources: tellsSources))
        }
        var prefix = ""
        if let name = try call.query.single("descriptor") {
            guard let entry = DescriptorName.all.first(where: { $0.name == name }), !entry.prefix.isEmpty else {
                return .json(.null)
            }
            prefix = entry.prefix
        } else if let wanted = try call.query.single("key-prefix") {
            guard DescriptorName.all.contains(where: { $0.prefix == wanted }) else {
                throw RESTError("unknown key prefix")
            }
            prefix = wanted
        }
        let all = await backend.statuses(prefix: "")
        var derived: [Key: [ValueStatus]] = [:]
        for value in all { if let base = value.status.baseKey { derived[base, default: []].append(value.status) } }
        let bases = all.filter { $0.status.baseKey == nil && $0.status.key.hasPrefix(prefix) }
        if bases.isEmpty { return .json(.null) }
        return call.array(bases) { [derived] value in
            ValueJSON.base(value, derived[value.status.key] ?? [], tellsSources: tellsSources)
        }
    }

    // MARK: - Dump

    /// What of values is dumped.
    private enum View: String, CaseIterable {
        /// What the kernel has.
        case kernel = "SB"
        /// What is declared.
        case declared = "NB"
        /// What is declared and there.
        case cached
    }

    func dump(_ call: RESTCall) async throws -> Response {
        let name = try call.query.single("descriptor")
        let prefix = try call.query.single("key-prefix")
        let word = try call.query.single("view") ?? View.kernel.rawValue
        if name == nil, prefix == nil { return .json(Self.dumpIndex) }
        guard let view = View(rawValue: word) else { throw RESTError("unrecognized system view") }
        let entry: DescriptorName.Entry
        if let name {
            guard let found = DescriptorName.all.first(where: { $0.name == name }) else {
                throw RESTError("descriptor is not registered")
            }
            entry = found
        } else {
            guard let found = DescriptorName.all.first(where: { $0.kind != nil && $0.prefix == prefix }) else {
                throw RESTError("no descriptor found matching the key prefix", .notFound)
            }
            entry = found
        }
        guard let kind = entry.kind else { return try await dumpDerived(call, entry, view) }
        switch view {
        case .kernel:
            guard kind.isRetrievable else {
                throw RESTError(
                    "descriptor does not support Retrieve operation", name == nil ? .notFound : .internalServerError)
            }
            let values = try await inKernel(kind)
            return await dump(
                call, values.map { ($0.key, $0) }, kind, origin: [.interface, .allocation].contains(kind) ? 1 : 0)
        case .declared, .cached:
            let declared = await backend.declaredValues().filter { $0.value.kind == kind }
            let wanted = view == .declared ? declared : declared.filter { $0.status.map(Self.isThere) ?? false }
            return await dump(call, wanted.map { ($0.key, $0.value) }, kind, origin: 1)
        }
    }

    /// What the kernel has. An allocation is nothing in the kernel: it is there as it is declared.
    private func inKernel(_ kind: ModelDescription.Kind) async throws -> [ModelValue] {
        if kind == .allocation { return await backend.declaredValues().map(\.value).filter { $0.kind == kind } }
        let values = try await backend.valuesInPlace().filter { $0.kind == kind }
        guard kind == .interface else { return values }
        var messages: [String: Ligato_Linux_Interfaces_Interface] = [:]
        for case .interface(let message) in values { messages[message.name] = message }
        for device in await backend.devices(withTraffic: false) {
            // Others made it, and it is in use.
            let known = messages[device.message.name] ?? (device.message.type == .existing ? device.message : nil)
            guard var message = known else { continue }
            message.hostIfName = device.hostName
            message.physAddress = device.hardwareAddress
            message.mtu = device.mtu
            messages[message.name] = message
        }
        return messages.sorted { $0.key < $1.key }.map { .interface($0.value) }
    }

    private static let dumpIndex = JSON.object([
        ("Descriptors", .array(DescriptorName.all.map { .string($0.name) })),
        ("KeyPrefixes", .array(DescriptorName.all.map { .string($0.prefix) })),
        ("Views", .array(View.allCases.map { .string($0.rawValue) })),
    ])

    private static func isThere(_ status: ValueStatus) -> Bool {
        switch status.state {
        case .configured, .obtained, .discovered: true
        case .nonexistent, .missing, .unimplemented, .removed, .pending, .invalid, .failed, .retrying: false
        }
    }

    private func dump(
        _ call: RESTCall, _ values: [(key: Key, value: ModelValue)], _ kind: ModelDescription.Kind, origin: Int64
    ) async -> Response {
        if values.isEmpty { return .json(.null) }
        var devices: [String: InterfaceDevice] = [:]
        if kind == .interface {
            for device in await backend.devices(withTraffic: false) { devices[device.message.name] = device }
        }
        return call.array(values.map { KeyedValue(key: $0.key, value: $0.value) }) { [json, devices] entry in
            .object([
                ("Key", .string(entry.key)), ("Value", try json.value(entry.value)), ("Origin", .int(origin)),
                ("Metadata", ValueMetadata.json(entry.value, devices)),
            ])
        }
    }

    private func dumpDerived(_ call: RESTCall, _ entry: DescriptorName.Entry, _ view: View) async throws -> Response {
        if view == .kernel, entry.name != "linux-interface-watcher" {
            throw RESTError("descriptor does not support Retrieve operation")
        }
        // Addresses and the like appear with the interfaces that they are derived from.
        if view == .declared || entry.name.hasPrefix("linux-interface-") && entry.name != "linux-interface-watcher" {
            return .json(.null)
        }
        let found = await backend.statuses(prefix: "").map(\.status).filter {
            Self.isThere($0) && DescriptorName.name(ofKey: $0.key) == entry.name
        }
        if found.isEmpty { return .json(.null) }
        return call.array(found) { [json] status in
            .object([
                ("Key", .string(status.key)), ("Value", json.empty), ("Origin", status.state == .configured ? 1 : 2),
                ("Metadata", .null),
            ])
        }
    }

    // MARK: - Resync

    func resynchronise(_ call: RESTCall) async throws -> Response {
        do {
            let transaction = try await backend.resynchronise(retries: call.query.isSet("retry"))
            guard let transaction else {
                // Nothing was to be done, which clients want to see as a transaction as well.
                let now = Timestamp.now
                let number = await backend.pastTransactions().last?.sequence ?? 0
                return .json(
                    .object([
                        ("Start", ValueJSON.time(now)), ("Stop", ValueJSON.time(now)), ("SeqNum", .uint(number)),
                        ("TxnType", "NBTransaction"), ("ResyncType", "DownstreamResync"),
                    ]))
            }
            let failures = transaction.entries.filter { !$0.error.isEmpty }
            if !failures.isEmpty {
                let listed = failures.prefix(100).map { "\($0.key) (\($0.verb.operation)): \($0.error)" }
                throw RESTError("KeyErrors: [\(listed.joined(separator: ", "))]")
            }
            return .json(TransactionJSON.transaction(transaction))
        } catch let refusal as ConfigurationRefusal {
            throw RESTError(refusal.description)
        }
    }

    // MARK: - Statistics

    func statistics(_ call: RESTCall) async throws -> Response {
        let transactions = await backend.pastTransactions()
        let counts = await backend.agentReport().counts
        var operations: [String: UInt64] = [:]
        var errors: UInt64 = 0
        for entry in transactions.lazy.flatMap(\.entries) {
            operations[entry.verb.operation, default: 0] += 1
            if !entry.error.isEmpty { errors += 1 }
        }
        let states = ValueState.allCases.compactMap { state in
            counts[state].map { (state.name, JSON.int(Int64($0))) }
        }
        return .json(
            .object([
                (
                    "TxnStats",
                    .object([
                        ("TotalProcessed", .uint(transactions.last?.sequence ?? 0)),
                        (
                            "OperationCount",
                            .object(operations.sorted { $0.key < $1.key }.map { ($0.key, .uint($0.value)) })
                        ),
                        ("ValueStateCount", .object(states)), ("ErrorCount", .uint(errors)),
                        ("Methods", .array([TransactionJSON.times(transactions)])),
                    ])
                ), ("GraphMethods", .array([])), ("AllDescriptors", .array([])), ("Descriptors", .object([])),
            ]))
    }
}

/// A value under its key.
private struct KeyedValue: Sendable {
    let key: Key
    let value: ModelValue
}

extension ModelDescription.Kind {
    /// Whether the kernel has it.
    fileprivate var isRetrievable: Bool {
        switch self {
        case .interface, .arp, .route, .ruleChain, .allocation, .namespace, .rule, .filterTable,
            .forwarding, .qdisc, .nextHop:
            true
        case .client, .endpoint, .service: false
        }
    }
}
