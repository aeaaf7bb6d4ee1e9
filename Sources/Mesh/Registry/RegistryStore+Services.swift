internal import Concurrency
internal import NSM
internal import SPIFFE
internal import Synchronization

/// Services as they are registered.
extension RegistryStore {
    /// Registers a service. A registration by an endpoint, which has only the service's name, yields to one with
    /// matches: the order in which endpoints register is arbitrary. That of root or of a manager yields to no stranger.
    ///
    /// - Parameter isFree: Whether the peer may register it even if others offer it; nil: only if it is the first.
    func register(
        _ service: NSMNetworkService, _ caller: Caller, pathIDs: [String], isFree: Bool? = true
    ) throws(Refused) -> NSMNetworkService {
        try Self.check(service.name, "a service", (try? service.serializedData().count) ?? .max)
        guard isFree != false else { throw Refused(description: "\(caller.identity) may not offer \(service.name)") }
        var service = service
        if service.payload.isEmpty { service.payload = WellKnown.ip }
        service.pathIds = pathIDs
        let stored = service
        let refusal: String? = state.withLock { state in
            state.names.prune()
            if isFree == nil, let owner = state.names.owner(.init(kind: .offer, text: stored.name)),
                owner != caller.identity
            {
                return "it is offered by somebody else"
            }
            let known = state.services[stored.name]
            if known?.owner.identity != caller.identity {
                let name = NameLedger.Name(kind: .service, text: stored.name)
                let isDeclaration = known?.service.matches.isEmpty == true && !stored.matches.isEmpty && isFree == true
                let yields = isDeclaration && (caller.isTrusted || known?.owner.isTrusted == false)
                let refusal = yields ? state.names.pass(name, to: caller) : state.names.take(name, caller)
                if let refusal { return refusal }
            }
            if known?.service != stored {
                state.services[stored.name] = StoredService(service: stored, owner: caller)
                Self.tell(
                    .with { $0.networkService = stored }, on: [.name(stored.name)], of: caller.identity,
                    &state.serviceWatchers)
            }
            return nil
        }
        if let refusal { throw Refused(description: "the service \(service.name): \(refusal)") }
        remindOfService(service.name)
        return service
    }

    func unregister(_ service: NSMNetworkService, _ caller: Caller) throws(Refused) {
        let isAllowed = state.withLock { state in
            guard let old = state.services[service.name] else { return true }
            guard old.owner.identity == caller.identity else { return false }
            Self.removeService(service.name, &state)
            return true
        }
        guard isAllowed else {
            throw Refused(description: "the service \(service.name.prefix(bytes: 253)) belongs to somebody else")
        }
        serviceExpiries.set(service.name, to: nil)
    }

    private static func removeService(_ name: String, _ state: inout State) {
        guard let old = state.services.removeValue(forKey: name) else { return }
        state.names.release(.init(kind: .service, text: name))
        if state.byService[name] == nil { state.turns[name] = nil }
        let event = NSMNetworkServiceResponse.with { response in
            response.networkService = old.service
            response.deleted = true
        }
        tell(event, on: [.name(name)], of: old.owner.identity, &state.serviceWatchers)
    }

    /// A service without endpoints is removed after a while.
    func remindOfService(_ name: String) {
        let isIdle = state.withLock { state in
            state.services[name].map { !$0.owner.isTrusted && state.byService[name] == nil } ?? false
        }
        serviceExpiries.set(name, to: isIdle ? Timestamp.now.advanced(by: Self.serviceMemory) : nil)
    }

    func forgetService(_ name: String) {
        state.withLock { state in
            guard state.byService[name] == nil, state.services[name]?.owner.isTrusted == false else { return }
            Self.removeService(name, &state)
        }
    }

    static func check(_ name: String, _ what: String, _ size: Int) throws(Refused) {
        guard !name.isEmpty, name.utf8.count <= ConnectionLimits.name else {
            throw Refused(description: "\(what) needs a name of 1 to \(ConnectionLimits.name) bytes")
        }
        guard name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f }) else {
            throw Refused(description: "the name of \(what) has control characters")
        }
        guard size <= largest else {
            throw Refused(description: "\(name): the registration has \(size) bytes; at most \(largest) are taken")
        }
    }

    func service(_ name: String) -> NSMNetworkService? { state.withLock { $0.services[name]?.service } }

    /// - Parameter viewer: The peer whose registrations are shown; nil: all peers'.
    func find(
        _ query: NSMNetworkService, watch: Bool, for viewer: PeerIdentity? = nil
    ) -> AsyncStream<NSMNetworkServiceResponse> {
        state.withLock { state in
            let candidates =
                query.name.isEmpty ? Array(state.services.values) : [state.services[query.name]].compactMap { $0 }
            let found =
                candidates
                .filter { query.matches($0.service) && (viewer == nil || $0.owner.identity == viewer) }
                .map { stored in NSMNetworkServiceResponse.with { $0.networkService = stored.service } }
            guard watch else { return .of(found) }
            return state.serviceWatchers.follow(
                Watch(viewer: viewer, matches: { query.matches($0.networkService) }),
                on: query.name.isEmpty ? nil : .name(query.name),
                backlog: .all(limit: Self.longestQueue), from: found)
        }
    }
}
