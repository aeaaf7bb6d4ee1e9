internal import Concurrency
package import MeshTransport
internal import Logging
internal import Synchronization

/// Keeps an endpoint registered: registers it, renews the registration before it ends, and registers anew when the registry is
/// gone or has forgotten it.
package final class EndpointRegistration: Sendable {
    /// A service that an endpoint offers, as it is registered.
    package struct Offer: Sendable {
        /// Its name.
        package let service: String
        /// Labels of the endpoint for it.
        package let labels: [String: String]
        /// What its connections carry.
        package let payload: String

        /// Describes an offer.
        package init(service: String, labels: [String: String], payload: String = "") {
            self.service = service
            self.labels = labels
            self.payload = payload
        }
    }

    /// How it stands.
    package struct Status: Sendable {
        /// The endpoint as the registry has it; nil: it is not registered.
        package var registered: NSMNetworkServiceEndpoint?
        /// Why the last try failed; nil: it did not.
        package var lastError: String?
    }

    private let name: String
    private let offers: [Offer]
    private let manager: PeerConnector
    private let registry: RegistryClient
    private let registersServices: Bool
    private let changed: @Sendable () -> Void
    private let memory = Mutex(Status())

    /// Describes a registration; nothing is sent yet.
    ///
    /// - Parameters:
    ///   - registersServices: Whether the services themselves are registered too.
    ///   - changed: Called when ``status`` has changed.
    package init(
        name: String, offers: [Offer], manager: PeerConnector, registersServices: Bool,
        changed: @escaping @Sendable () -> Void
    ) {
        self.name = name
        self.offers = offers
        self.manager = manager
        self.registersServices = registersServices
        self.changed = changed
        registry = RegistryClient(manager)
    }

    /// How it stands now.
    package var status: Status { memory.withLock { $0 } }

    /// Takes the registration back.
    ///
    /// - Parameter socket: The socket that was registered; nil when it is gone, or over TCP.
    /// - Throws: ``NSMError`` when unregistering at the manager fails; the registration then expires.
    package func unregister(_ socket: Descriptor?) async throws {
        guard let registered = memory.withLock({ $0.registered }) else { return }
        try await registry.unregister(registered, socket: socket)
        memory.withLock { $0.registered = nil }
        changed()
    }

    /// Registers and renews until the task is cancelled.
    ///
    /// - Parameters:
    ///   - socket: The socket that the endpoint listens on; nil over TCP.
    ///   - address: Where it listens.
    package func run(_ socket: Descriptor?, at address: SocketAddress) async {
        var backoff = Backoff()
        // Not told from the last error: a renewal that reaches the registry's successor first takes that away.
        var isComeback = false
        while !Task.isCancelled {
            do {
                let registered = try await register(socket, at: address, isComeback: isComeback)
                backoff.reset()
                note(registered)
                isComeback = try await renew(registered, socket, at: address, isComeback: isComeback)
            } catch {
                if Task.isCancelled { return }
                isComeback = true
                let text = "\(error)"
                let isNew = memory.withLock { memory in
                    defer { memory.lastError = text }
                    return memory.lastError != text
                }
                if isNew {
                    manager.component.logger.warning(
                        "registration failed", metadata: ["endpoint": "\(name)", "error": "\(text)"])
                }
                changed()
                guard (try? await Task.sleep(for: backoff.wait())) != nil else { return }
            }
        }
    }

    private func register(
        _ socket: Descriptor?, at address: SocketAddress, isComeback: Bool
    ) async throws -> NSMNetworkServiceEndpoint {
        let isFirst = memory.withLock { $0.registered == nil || $0.lastError != nil }
        if registersServices, isFirst, !isComeback {
            for offer in offers { try await register(offer) }
        }
        var message = NSMNetworkServiceEndpoint()
        message.name = memory.withLock { $0.registered?.name } ?? name
        message.networkServiceNames = offers.map(\.service)
        for offer in offers {
            message.networkServiceLabels[offer.service] = .with { $0.labels = offer.labels }
        }
        message.url = address.url
        let answer = try await registry.register(message, socket: socket)
        if isFirst {
            manager.component.logger.info(
                "registered",
                metadata: [
                    "endpoint": "\(answer.name)", "services": "\(message.networkServiceNames.joined(separator: ", "))",
                ])
        }
        return answer
    }

    /// A service belongs to the peer that registered it first. Endpoints of other peers may still serve it, and the
    /// service's declaration, such as its matches, stays unchanged.
    private func register(_ offer: Offer) async throws {
        let known = try? await registry.find(NSMNetworkService.with { $0.name = offer.service })
        if known?.contains(where: { $0.name == offer.service && !$0.matches.isEmpty }) == true { return }
        do {
            _ = try await registry.register(
                .with { message in
                    message.name = offer.service
                    message.payload = offer.payload
                })
        } catch let error as NSMError where error.code == .forbidden || error.code == .refused {
            manager.component.logger.info(
                "the service is not ours to register", metadata: ["service": "\(offer.service)", "error": "\(error)"])
        }
    }

    private func note(_ registered: NSMNetworkServiceEndpoint) {
        memory.withLock { memory in
            memory.registered = registered
            memory.lastError = nil
        }
        changed()
    }

    /// After a start of the registry, how long those who declared a service may take to register it again: it belongs to the
    /// first who does.
    private static let comeback = Duration.seconds(2)

    /// How often a registration is renewed before its watch moves to the newest transport connection.
    private static let renewals = 15

    /// Renews the registration whenever two thirds of its time are over, and returns when another one is due with a new watch.
    /// The watch goes on across renewals. Returns whether it ended, as the registry is gone or has forgotten the registration.
    private func renew(
        _ registered: NSMNetworkServiceEndpoint, _ socket: Descriptor?, at address: SocketAddress, isComeback: Bool
    ) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                // A registry that was ending may have taken the services, and its successor the endpoint.
                if self.registersServices, isComeback {
                    try await Task.sleep(for: Self.comeback)
                    for offer in self.offers { try await self.register(offer) }
                }
                var registered = registered
                for number in 1...Self.renewals {
                    let end = registered.expirationTime.timestamp ?? Timestamp.now.advanced(by: .seconds(60))
                    let left = end.since(.now) * 2 / 3
                    let wait = min(max(left, .milliseconds(200)), .seconds(86400))
                    try await Task.sleep(for: wait, tolerance: wait / 50)
                    if number == Self.renewals { break }
                    registered = try await self.register(socket, at: address, isComeback: true)
                    self.note(registered)
                }
                return false
            }
            group.addTask {
                var query = NSMNetworkServiceEndpoint()
                query.name = registered.name
                try? await self.registry.watch(query) { response in
                    if response.deleted { throw NSMError(.refused, "the registration was removed") }
                }
                if Task.isCancelled { return false }
                // The registry is gone, or has forgotten us: register again, but not in a hot loop.
                self.memory.withLock { $0.lastError = $0.lastError ?? "the registry ended its watch" }
                try? await Task.sleep(for: .milliseconds(200))
                return true
            }
            return try await group.next() ?? true
        }
    }
}
