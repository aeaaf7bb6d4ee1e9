internal import Concurrency
internal import EtcdClient
internal import Model
internal import Reconciler
internal import SwiftProtobuf

/// Writes to etcd how the agent is, and on demand how its values are, as long as a connection lasts.
///
/// | key behind the agent's prefix | what | goes with the agent's session |
/// |---|---|---|
/// | `check/status/v1/agent`, `check/status/v1/plugin/etcd` | that they are well, every 10 s | no |
/// | the same, with ``EtcdSettings/isQuiet`` | that they are well, once | yes |
/// | `config-status/…` instead of `config/…` | the state of each value | yes |
/// | `/vnf-agent/global/notification/nsm/endpoint/…` instead of all | a service that is offered, by its labels | yes |
struct EtcdPublisher: Sendable {
    /// How often it says that the agent is well.
    private static let interval = Duration.seconds(10)
    /// How long it waits until it writes all again.
    private static let rest = Duration.seconds(1)
    /// etcd takes 128 unless configured otherwise.
    private static let batch = 100

    let settings: EtcdSettings
    let backend: any ConfigurationBackend
    /// When the agent started.
    let start: Timestamp

    private var prefix: String { settings.prefix }

    /// Publishes until the task is cancelled or the connection ends.
    func run(_ connection: EtcdConnection) async throws {
        let lease = try await connection.grantLease(seconds: settings.sessionSeconds)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await connection.keepAlive(lease) }
            group.addTask { try await self.publishHealth(connection, lease) }
            group.addTask { try await self.publishStates(connection, lease) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    // MARK: - The agent

    private func publishHealth(_ connection: EtcdConnection, _ lease: Int64) async throws {
        let connected = Timestamp.now
        // All agents come back at once after etcd was away. Their writes must not stay in step.
        var wait = Self.interval * Double.random(in: 0...1)
        while true {
            let bound = settings.isQuiet ? lease : 0
            _ = try await connection.transaction(then: [
                .put(key: prefix + "check/status/v1/agent", value: agentText(since: connected), lease: bound),
                .put(key: prefix + "check/status/v1/plugin/etcd", value: pluginText(since: connected), lease: bound),
            ])
            try await Task.sleep(for: settings.isQuiet ? .seconds(365 * 86_400) : wait)
            wait = Self.interval
        }
    }

    private func agentText(since change: Timestamp) -> [UInt8] {
        let fields = [
            #""build_version":"\#(settings.version)","state":"OK","start_time":"\#(start.parts.seconds)""#,
            Self.times(since: change), #""plugins":[{"name":"etcd","state":"OK"}]"#,
        ]
        return Array("{\(fields.joined(separator: ","))}".utf8)
    }

    private func pluginText(since change: Timestamp) -> [UInt8] {
        Array(#"{"name":"etcd","state":"OK",\#(Self.times(since: change))}"#.utf8)
    }

    private static func times(since change: Timestamp) -> String {
        #""last_change":"\#(change.parts.seconds)","last_update":"\#(Timestamp.now.parts.seconds)""#
    }

    // MARK: - Values

    /// What stands in etcd of the values, by key.
    private struct Published {
        var states: Set<String> = []
        /// Keys of services, by the key of the endpoint.
        var services: [Key: Set<String>] = [:]
    }

    private func publishStates(_ connection: EtcdConnection, _ lease: Int64) async throws {
        var published = Published()
        while !Task.isCancelled {
            // Followed first: what changes while all are read comes again.
            let changes = backend.stateChanges(isOwn: true)
            try await publish(await backend.declaredValues(), areAll: true, &published, connection, lease)
            for await values in changes {
                if !values.isEmpty {
                    try await publish(values, areAll: false, &published, connection, lease)
                } else if settings.publishesStates || !published.services.isEmpty {
                    // Some values went. More may follow.
                    try await Task.sleep(for: Self.rest)
                    try await publish(await backend.declaredValues(), areAll: true, &published, connection, lease)
                }
            }
            // Too many changes at once; all are written again.
            try await Task.sleep(for: Self.rest)
        }
    }

    private func publish(
        _ values: [DeclaredValue], areAll: Bool, _ published: inout Published, _ connection: EtcdConnection,
        _ lease: Int64
    ) async throws {
        var operations: [EtcdOperation] = []
        if settings.publishesStates {
            for value in values {
                operations.append(.put(key: stateKey(value.key), value: try stateText(value), lease: lease))
            }
            if areAll {
                let present = Set(values.map { stateKey($0.key) })
                for key in published.states.subtracting(present).sorted() { operations.append(.delete(.key(key))) }
                published.states = present
            } else {
                published.states.formUnion(values.map { stateKey($0.key) })
            }
        }
        operations += services(values, areAll, &published, lease)
        for start in stride(from: 0, to: operations.count, by: Self.batch) {
            let part = operations[start..<min(start + Self.batch, operations.count)]
            _ = try await connection.transaction(then: Array(part))
        }
    }

    private func stateKey(_ key: Key) -> String {
        prefix + (key.hasPrefix("config/") ? "config-status/" + key.dropFirst("config/".count) : key)
    }

    private func stateText(_ value: DeclaredValue) throws -> [UInt8] {
        var message = Ligato_Kvscheduler_ValueStatus()
        message.key = value.key
        if let status = value.status {
            message.state = Ligato_Kvscheduler_ValueState(rawValue: status.state.rawValue) ?? .nonexistent
            message.error = status.error
            message.lastOperation =
                Ligato_Kvscheduler_TxnOperation(rawValue: status.lastOperation.rawValue) ?? .undefined
            message.details = status.details
        }
        var options = JSONEncodingOptions()
        options.preserveProtoFieldNames = true
        return try message.jsonUTF8Bytes(options: options)
    }

    // MARK: - Services that are offered

    private func services(
        _ values: [DeclaredValue], _ areAll: Bool, _ published: inout Published, _ lease: Int64
    ) -> [EtcdOperation] {
        // Several endpoints may offer one service.
        let before = Set(published.services.values.joined())
        var seen: Set<Key> = []
        for value in values {
            guard case .endpoint(let endpoint) = value.value else { continue }
            seen.insert(value.key)
            let keys = value.status?.state == .configured ? serviceKeys(endpoint) : []
            published.services[value.key] = keys.isEmpty ? nil : keys
        }
        if areAll { published.services = published.services.filter { seen.contains($0.key) } }
        let after = Set(published.services.values.joined())
        return before.subtracting(after).sorted().map { .delete(.key($0)) }
            + after.subtracting(before).sorted().map { .put(key: $0, value: Array("{}".utf8), lease: lease) }
    }

    private func serviceKeys(_ endpoint: Upnp_NetworkServiceEndpoint) -> Set<String> {
        func part(_ text: String) -> String { text.isEmpty ? "<invalid>" : text }
        return Set(
            endpoint.advertisedLabels.map { label in
                "\(settings.root)global/notification/nsm/endpoint/service/\(part(endpoint.networkService))"
                    + "/label/\(part(label.key))/\(part(label.value))"
            })
    }
}
