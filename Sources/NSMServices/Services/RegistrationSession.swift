internal import Concurrency
internal import Logging
internal import Model
internal import NSM
internal import Synchronization

/// Keeps a declared service registered as it is declared.
///
/// Services have no end in the registry, but a registry that starts anew has none, and others of our identity may change it.
final class RegistrationSession: ServiceSession {
    private let service: NSMNetworkService
    private let context: SessionContext
    private let registry: RegistryClient
    private let state = Mutex<(entry: NSMNetworkService?, lastError: String?)>((nil, nil))

    init(_ message: Nsmagent_Nsm_NetworkService, _ context: SessionContext) {
        service = NSMNetworkService(message)
        self.context = context
        registry = RegistryClient(context.manager)
    }

    func run(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await keep(tell)
            } catch {
                if Task.isCancelled { return }
                await note("\(error)", tell)
            }
            // A registration that lasted long is made again soon; one that another party keeps removing is not.
            if ContinuousClock.now - began > .seconds(60) { backoff.reset() }
            guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
        }
    }

    /// Registers it, and returns when the registry no longer has it, or has another version.
    private func keep(_ tell: @escaping @Sendable (ServiceReport) async -> Void) async throws {
        let entry = try await registry.register(service)
        guard entry.isDeclared(as: service) else {
            throw NSMError(.refused, "the registry keeps another payload or other matches")
        }
        let isNew = state.withLock { state in
            defer { state = (entry, nil) }
            return state.entry == nil || state.lastError != nil
        }
        if isNew {
            context.manager.component.logger.info(
                "service registered",
                metadata: ["service": "\(service.name)", "matches": "\(service.matches.count)"])
        }
        await tell(ServiceReport(.inPlace))
        let (wanted, query) = (service, NSMNetworkService.with { $0.name = service.name })
        try await registry.watch(query) { response in
            guard response.networkService.name == wanted.name else { return }
            if response.deleted { throw NSMError(.refused, "it was taken from the registry") }
            if !response.networkService.isDeclared(as: wanted) {
                throw NSMError(.refused, "somebody registered it with another payload or other matches")
            }
        }
        throw NSMError(.unreachable, "the registry ended its watch")
    }

    private func note(_ error: String, _ tell: @escaping @Sendable (ServiceReport) async -> Void) async {
        let isNew = state.withLock { state in
            defer { state.lastError = error }
            return state.lastError != error
        }
        if isNew {
            context.manager.component.logger.warning(
                "a service is not registered", metadata: ["service": "\(service.name)", "error": "\(error)"])
        }
        await tell(ServiceReport(.blocked("\(service.name) is not registered: \(error)")))
    }

    /// Endpoints of the service go on without its matches.
    func close() async throws {
        guard let entry = state.withLock({ $0.entry }) else { return }
        try await registry.unregister(entry)
    }

    var note: ServiceNote {
        let manager = "manager \(context.manager.address.url)"
        let (entry, lastError) = state.withLock { $0 }
        guard let entry else {
            let answer = "the registration of \(service.name) at \(context.manager.address.url)"
            return ServiceNote(waiting: context.troubles + [answer], facts: [manager])
        }
        let owner = entry.pathIds.first.map { ["registered by \($0)"] } ?? []
        let facts = ["payload \(service.payload)", "matches \(service.matches.count)"] + owner + [manager]
        return ServiceNote(facts: facts + (lastError.map { ["last error \($0)"] } ?? []))
    }
}

extension NSMNetworkService {
    /// What a checked message asks for.
    init(_ message: Nsmagent_Nsm_NetworkService) {
        self.init()
        name = message.name
        switch message.payload {
        case .ethernet: payload = NetworkServiceSpec.Payload.ethernet.rawValue
        case .ip, .UNRECOGNIZED: payload = NetworkServiceSpec.Payload.ip.rawValue
        }
        matches = message.matches.map { match in
            .with { copy in
                copy.sourceSelector = Self.selector(match.sourceSelector)
                copy.fallthrough = match.fallThrough
                copy.routes = match.routes.map { route in
                    .with { copy in
                        copy.destinationSelector = Self.selector(route.destinationSelector)
                        copy.weight = route.weight
                    }
                }
            }
        }
    }

    private static func selector(_ labels: [Upnp_ConnectionLabel]) -> [String: String] {
        // Keys were checked to be there once.
        Dictionary(labels.map { ($0.key, $0.value) }) { first, _ in first }
    }

    /// Whether the registry has the service as it was declared. Who registered it is another matter.
    fileprivate func isDeclared(as other: NSMNetworkService) -> Bool {
        payload == other.payload && matches == other.matches
    }
}
