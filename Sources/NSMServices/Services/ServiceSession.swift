internal import Concurrency
internal import Logging
internal import MeshTransport
internal import Model
internal import NSM
internal import NSMKinds
internal import NetworkTypes
internal import SPIFFE

/// The life of one declared client or endpoint in the mesh.
protocol ServiceSession: Sendable {
    /// Keeps what is declared until the task is cancelled, and tells how it stands whenever that changes.
    func run(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async
    /// Looks whether the interface is still there.
    func lookAtInterface() async
    /// Ends it in the mesh; called after ``run(_:)`` ended.
    func close() async throws
    /// How it stands now, for people.
    var note: ServiceNote { get }
}

/// What sessions have in common.
struct SessionContext: Sendable {
    let settings: ServiceSettings
    let manager: PeerConnector
    /// nil: none is used.
    let identity: WorkloadIdentity?
    let register: NameRegister
    let addresses: AddressBook
    let host: any InterfaceLookup
    let formerPrefixes = FormerPrefixes()

    init(
        settings: ServiceSettings, manager: PeerConnector, identity: WorkloadIdentity?, register: NameRegister,
        addresses: AddressBook, host: any InterfaceLookup
    ) {
        self.settings = settings
        self.manager = manager
        self.identity = identity
        self.register = register
        self.addresses = addresses
        self.host = host
    }

    /// What sessions of these settings share; no peer is contacted yet.
    init(_ settings: ServiceSettings, logger: Logger) {
        let identity =
            settings.isInsecure
            ? nil : WorkloadIdentity(socket: settings.workloadSocket, hint: settings.svidHint, logger: logger)
        let manager = PeerConnector(
            settings.manager,
            component: Component(
                name: settings.name, security: identity.map { .identity($0) } ?? .insecure,
                tokenLifetime: settings.tokenLifetime, dialTimeout: settings.dialTimeout,
                requestTimeout: settings.requestTimeout, logger: logger),
            takesDescriptors: false)
        self.init(
            settings: settings, manager: manager, identity: identity, register: NameRegister(),
            addresses: AddressBook(), host: HostInterfaces())
    }

    /// Follows the identity and keeps the connection to the manager, until the task is cancelled.
    func runSupport() async {
        await withDiscardingTaskGroup { group in
            if let identity { group.addTask { await identity.run() } }
            group.addTask { await manager.run() }
        }
    }

    /// Why nothing is heard of the manager.
    var troubles: [String] {
        var texts: [String] = []
        if let error = identity?.lastError { texts.append("an identity: \(error)") }
        if let error = manager.lastError { texts.append("the manager: \(error)") }
        return texts
    }

    /// How long a forwarder may take to make an interface anew.
    private static let change = Duration.milliseconds(100)

    /// Looks whether the interface of a connection is still there.
    func lookAtInterface(of client: NetworkServiceClient) async {
        guard let name = client.connection?.mechanism.interfaceName, !name.isEmpty, !host.exists(name),
            (try? await Task.sleep(for: Self.change)) != nil, !host.exists(name)
        else { return }
        client.noteInterfaceGone()
    }

    func labels(_ own: [Upnp_ConnectionLabel]) -> [String: String] {
        settings.labels.merging(own.map { ($0.key, $0.value) }) { _, own in own }
    }
}

/// Keeps the connection of a client.
struct ClientSession: ServiceSession {
    private let message: Upnp_NetworkServiceClient
    private let client: NetworkServiceClient
    /// Clients that may have the same addresses; nil: none do.
    private let awareness: Int?
    private let context: SessionContext

    init(_ message: Upnp_NetworkServiceClient, _ context: SessionContext) {
        self.message = message
        self.context = context
        awareness = context.settings.awareness.group(of: message)
        client = Self.client(message, context)
    }

    /// The connection that a message asks for, not asked for yet.
    static func client(_ message: Upnp_NetworkServiceClient, _ context: SessionContext) -> NetworkServiceClient {
        let id = "\(context.settings.name)-\(message.name)"
        let addresses = context.addresses
        let awareness = context.settings.awareness.group(of: message)
        let terms = ClientTerms(message)
        return NetworkServiceClient(
            NetworkServiceClient.Configuration(
                id: id, networkService: message.networkService, labels: context.labels(message.outgoingLabels),
                interfaceName: message.interfaceName,
                sourceAddresses: message.ipAddresses.compactMap { IPPrefix($0) },
                sourceMAC: MACAddress(message.physAddress), liveness: context.settings.liveness,
                endpointID: terms.endpointID, acceptance: terms.acceptance),
            manager: context.manager, excluded: { addresses.excluded(for: id, group: awareness) })
    }

    func lookAtInterface() async { await context.lookAtInterface(of: client) }

    func run(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await client.run() }
            for await state in client.states {
                if case .established(let connection) = state { context.addresses.note(connection, group: awareness) }
                await tell(ServiceReport(message, state))
            }
            group.cancelAll()
        }
    }

    func close() async throws {
        context.addresses.forget(client.configuration.id)
        try await client.close()
    }

    var note: ServiceNote {
        let address = context.manager.address.url
        switch client.state {
        case .connecting, .closed:
            let answer = "the answer of \(address) for \(message.networkService)"
            return ServiceNote(waiting: context.troubles + [answer], facts: ["manager \(address)"])
        case .established(let connection):
            return ServiceNote(facts: facts(connection) + ["manager \(address)"])
        case .healing(let connection, _, _):
            return ServiceNote(facts: facts(connection) + ["manager \(address)"] + context.troubles)
        }
    }

    private func facts(_ connection: NSMConnection) -> [String] {
        var facts: [String] = []
        if !connection.networkServiceEndpointName.isEmpty {
            facts.append("endpoint \(connection.networkServiceEndpointName)")
        }
        facts.append("path \(connection.path.pathSegments.map(\.name).joined(separator: " → "))")
        facts += connection.facts(side: connection.context.ipContext.srcIpAddrs)
        if client.refreshes > 0 { facts.append("refreshed \(client.refreshes) times") }
        return facts
    }
}

extension ServiceSession {
    /// An endpoint's interfaces go with those of its clients.
    func lookAtInterface() async {}
}

/// Offers a service.
struct EndpointSession: ServiceSession {
    private let message: Upnp_NetworkServiceEndpoint
    private let endpoint: NetworkServiceEndpoint
    private let context: SessionContext
    private let names: InterfaceNames
    /// Where its clients' addresses come from, when it has none of its own to give; nil: it has, or gives none.
    private let shared: SharedPools?
    /// The other endpoints of its network; nil: it is none of several.
    private let network: SharedNetwork?
    /// Says that there is something to tell.
    private let ticks: AsyncStream<Void>
    private let tick: AsyncStream<Void>.Continuation
    /// What clients are given beside addresses, and the file as it was then.
    private let policies: (file: PolicyFile, stamp: PolicyFile.Stamp?)?

    init(_ message: Upnp_NetworkServiceEndpoint, _ context: SessionContext) {
        self.message = message
        self.context = context
        policies = context.settings.policyFile.map { path in
            let file = PolicyFile(path: path)
            return (file, file.stamp)
        }
        let names = InterfaceNames(
            endpoint: message.networkService, prefix: message.interfaceNamePrefix,
            label: message.interfaceNameSuffixFromLabel, isSingle: message.singleClient, register: context.register,
            host: context.host)
        self.names = names
        // Addresses and a MAC are one client's; several can't share them.
        let addresses = message.singleClient ? message.ipAddresses.compactMap { IPPrefix($0) } : []
        let mac = message.singleClient ? MACAddress(message.physAddress) : nil
        let name = "\(context.settings.name)-\(message.networkService)"
        let earlier = SparedAddresses(ofInterfacesWith: message.interfaceNamePrefix, context.host)
        let terms = EndpointTerms(message, sparing: earlier)
        let shared = SharedPools(message, terms, context)
        self.shared = shared
        let (ticks, tick) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        (self.ticks, self.tick) = (ticks, tick)
        let network = message.vl3 ? SharedNetwork(message, context, endpoint: name) { tick.yield() } : nil
        self.network = network
        let service = NetworkServiceEndpoint.Service(
            name: message.networkService, labels: context.labels(message.advertisedLabels), ipam: terms.addresses,
            routes: terms.routes, policies: Self.read(policies?.file, context) ?? [],
            admit: { request in
                try terms.check(request.labels)
                guard !SharedNetwork.isKey(request.connectionID) else {
                    throw EndpointRefusal(
                        "ids that begin with \(SharedNetwork.keyStart) are the endpoint's own; choose another id")
                }
                try shared?.check()
                let routes = try network?.routes(for: request.context)
                return EndpointAdmission(
                    interfaceName: try names.name(for: request), destinationAddresses: addresses, destinationMAC: mac,
                    routes: routes)
            }, released: { names.release($0) })
        endpoint = NetworkServiceEndpoint(
            name: name, services: [service], socket: Self.socket(for: name, in: context.settings.socketDirectory),
            manager: context.manager)
        network?.refresh.set { [endpoint] in endpoint.refresh(clientsOf: message.networkService, where: $0) }
    }

    /// Names of services may be long and hold slashes, and the path of a socket has 107 bytes.
    static func socket(for name: String, in directory: String) -> String {
        "\(directory)/\(String(FNV1a.hash64(name.utf8), radix: 16)).sock"
    }

    /// The policies of a file; nil when the file is not usable, which is reported.
    private static func read(_ file: PolicyFile?, _ context: SessionContext) -> [NSMPolicyRoute]? {
        do throws(PolicyFile.Failure) {
            return try file?.read()
        } catch {
            context.manager.component.logger.warning(
                "policy routes stay as they were", metadata: ["error": "\(error)"])
            return nil
        }
    }

    /// Gives clients other policies when the file changes. It may be replaced by way of links, as those of Kubernetes are.
    private func followPolicies() async {
        guard let policies else { return }
        var last = policies.stamp
        while (try? await Task.sleep(for: .seconds(1), tolerance: .milliseconds(500))) != nil {
            let stamp = policies.file.stamp
            if stamp == last { continue }
            last = stamp
            guard let new = Self.read(policies.file, context) else { continue }
            endpoint.replace(policies: new, of: message.networkService)
        }
    }

    /// Asks clients again that have not come for what they are given now. It sleeps as long as all have come.
    private func askAgain() async {
        for await _ in endpoint.asks(of: message.networkService) {
            var backoff = Backoff(first: .seconds(1), limit: .seconds(30))
            repeat {
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
            } while endpoint.refreshAgain(clientsOf: message.networkService) > 0
        }
    }

    /// Offers the service. Retries a socket that is not available: its present owner may release it.
    private func offer(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
        var told = ""
        while !Task.isCancelled {
            do {
                try await endpoint.run()
            } catch {
                if Task.isCancelled { return }
                let reason = "\(error)"
                if reason != told {
                    context.manager.component.logger.warning(
                        "a service can't be offered",
                        metadata: ["service": "\(message.networkService)", "error": "\(reason)"])
                }
                told = reason
                await tell(ServiceReport(.blocked("\(message.networkService) can't be offered: \(reason)")))
            }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    func run(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        await withDiscardingTaskGroup { group in
            group.addTask { await offer(tell) }
            group.addTask { await followPolicies() }
            if let shared {
                group.addTask {
                    await shared.run { grants, pools in
                        network?.note(grants)
                        endpoint.replace(addresses: pools, of: message.networkService)
                    }
                }
            }
            if let network {
                group.addTask { await network.run() }
            }
            group.addTask { await askAgain() }
            group.addTask { for await _ in endpoint.ticks { tick.yield() } }
            // Told at once: the forwarder makes the interface while its values are planned, and what comes in the meantime is taken
            // together.
            for await _ in ticks { await tell(nextReport()) }
            group.cancelAll()
        }
        names.releaseAll()
    }

    /// What changed since the last one.
    private func nextReport() -> ServiceReport {
        let (state, gone) = endpoint.takeChanges()
        let isLink: (NSMConnection) -> Bool = { network?.isLink($0) ?? false }
        var report = ServiceReport(message, state, gone: gone, isLink: isLink)
        guard let network else { return report }
        network.check(state.connections)
        // Whose end a client's is may have become known after it came.
        if network.takeArrivals() {
            for (id, connection) in endpoint.state.connections where connection.context.networkOrigin != nil {
                let side = ConnectionSide(message, connection, isLink: isLink(connection))
                report.parts.updateValue(ServiceReport.Part(side), forKey: id)
            }
        }
        report.parts.merge(network.takeChanges()) { _, link in link }
        return report
    }

    func lookAtInterface() async { await network?.lookAtInterfaces() }

    func close() async throws {
        // Others are told first; they end their connections to it.
        let failure: (any Error)?
        do {
            try await endpoint.unregister()
            failure = nil
        } catch {
            failure = error
        }
        await network?.close()
        if let failure { throw failure }
    }

    var note: ServiceNote {
        let state = endpoint.state
        let manager = "manager \(context.manager.address.url)"
        guard let end = state.registeredUntil else {
            let answer = "the registration of \(message.networkService) at \(context.manager.address.url)"
            return ServiceNote(waiting: context.troubles + [answer], facts: [manager])
        }
        var facts = ["endpoint \(state.name)", "registered until \(end.rfc3339)", "clients \(state.connections.count)"]
        // Each has an interface of its own among the values; more would only make the line long.
        for (_, connection) in state.connections.sorted(by: { $0.key < $1.key }).prefix(8) {
            let path = connection.path.pathSegments.map(\.name).joined(separator: " → ")
            facts.append("\(connection.mechanism.interfaceName): path \(path)")
        }
        facts += (shared?.facts ?? []) + (network?.facts ?? [])
        return ServiceNote(facts: facts + [manager] + (state.lastError.map { ["last error \($0)"] } ?? []))
    }
}

extension NSMConnection {
    /// Interface, addresses of one side and the end of the tokens.
    fileprivate func facts(side: [String]) -> [String] {
        var facts: [String] = []
        if !mechanism.interfaceName.isEmpty { facts.append("interface \(mechanism.interfaceName)") }
        if !side.isEmpty { facts.append("addresses \(side.joined(separator: ", "))") }
        if let end = path.pathSegments.compactMap(\.expiry).min() { facts.append("until \(end.rfc3339)") }
        return facts
    }
}
