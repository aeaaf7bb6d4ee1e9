internal import NSM
internal import Synchronization

/// The names of an endpoint's interfaces: one for each client, the same for as long as the client stays.
final class InterfaceNames: Sendable {
    private struct State {
        /// By the client's id.
        var names: [String: String] = [:]
        /// The client's id by the connection's.
        var clients: [String: String] = [:]
    }
    private let prefix: String
    private let label: String
    private let isSingle: Bool
    private let state = Mutex(State())

    /// - Parameters:
    ///   - prefix: The start of every name.
    ///   - label: The client's label whose value ends the name; empty: the first free number does.
    ///   - isSingle: Only one client is taken at a time.
    init(prefix: String, label: String, isSingle: Bool) {
        self.prefix = prefix
        self.label = label
        self.isSingle = isSingle
    }

    /// The name for a client.
    ///
    /// - Throws: `EndpointRefusal` with what the client can do about it.
    func name(for request: EndpointRequest) throws(EndpointRefusal) -> String {
        let suffix = label.isEmpty ? nil : request.labels[label]
        if !label.isEmpty, suffix == nil {
            throw EndpointRefusal(
                "\(request.service) takes clients with the label \(label), which names their interface")
        }
        let result: Result<String, EndpointRefusal> = state.withLock { state in
            state.clients[request.connectionID] = request.clientID
            if let known = state.names[request.clientID] { return .success(known) }
            if isSingle, !state.names.isEmpty {
                state.clients[request.connectionID] = nil
                return .failure(EndpointRefusal("\(request.service) takes one client, and has one"))
            }
            let taken = Set(state.names.values)
            let name: String
            if let suffix {
                name = prefix + suffix
            } else if request.interfaceName.hasPrefix(prefix), !taken.contains(request.interfaceName),
                Int(request.interfaceName.dropFirst(prefix.count)) != nil
            {
                // A client of an earlier life of ours.
                name = request.interfaceName
            } else {
                name = prefix + String((0...taken.count).first { !taken.contains(prefix + String($0)) } ?? taken.count)
            }
            guard isValidInterfaceName(name), !taken.contains(name) else {
                state.clients[request.connectionID] = nil
                return .failure(
                    EndpointRefusal(
                        "\(name.prefix(64)) can't be the name of the interface: it has more than 15 bytes, or is taken")
                )
            }
            state.names[request.clientID] = name
            return .success(name)
        }
        return try result.get()
    }

    /// The connection is gone; its client's name is free unless the client has another connection.
    func release(_ connectionID: String) {
        state.withLock { state in
            guard let client = state.clients.removeValue(forKey: connectionID) else { return }
            if !state.clients.values.contains(client) { state.names[client] = nil }
        }
    }
}
