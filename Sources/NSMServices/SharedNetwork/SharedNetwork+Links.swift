internal import Concurrency
internal import NSM

/// Connections to other endpoints, and their names.
extension SharedNetwork {
    /// The client of another endpoint; nil when no name is left for its interface.
    func client(of name: String) -> NetworkServiceClient? {
        guard let interface = freeInterfaceName(for: name) else { return nil }
        let addresses = context.addresses
        let id = Self.id(of: endpoint, to: name)
        // It names its endpoint, and needs no labels to choose one.
        var configuration = NetworkServiceClient.Configuration(
            id: id, networkService: message.networkService, interfaceName: interface,
            liveness: context.settings.liveness, acceptance: .init(dns: false))
        // One that offers the service and knows of no such network may lead its clients anywhere.
        configuration.acceptance?.takesWideRoutes = false
        configuration.link(from: endpoint, to: name)
        return NetworkServiceClient(
            configuration, manager: context.manager, excluded: { addresses.excluded(for: id) })
    }

    /// The same after each start. Names of endpoints may be long.
    static func id(of endpoint: String, to name: String) -> String {
        let id = "\(endpoint)-to-\(name)"
        return id.utf8.count <= 253 ? id : "vl3-\(String(FNV1a.hash64(id.utf8), radix: 16))"
    }

    /// The start of keys of what connections to others bring, among those of the endpoint's connections.
    private static let keyStart = "link/"

    static func key(_ id: String) -> String { keyStart + id }

    /// Whether a connection of the endpoint would have the key of one to another endpoint.
    static func isKey(_ id: String) -> Bool { id.hasPrefix(keyStart) }

    /// Who has the name of the interface to another endpoint.
    func owner(_ name: String) -> String { "\(message.networkService)>\(name)" }

    /// A name that follows from the other one's, so that it is the same after each start.
    private func freeInterfaceName(for name: String) -> String? {
        for attempt in 0..<64 {
            let candidate = Self.interfaceName(message.interfaceNamePrefix, name, attempt)
            if context.register.take(candidate, for: owner(name)) { return candidate }
        }
        return nil
    }

    static func interfaceName(_ prefix: String, _ name: String, _ attempt: Int = 0) -> String {
        let digits = String(FNV1a.hash64("\(attempt)/\(name)".utf8) & 0xff_ffff, radix: 16)
        return "\(prefix)-\(String(repeating: "0", count: 6 - digits.count))\(digits)"
    }
}
