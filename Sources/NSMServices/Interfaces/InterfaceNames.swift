internal import NSM
internal import NetworkTypes
internal import Synchronization

/// The names of interfaces that clients and endpoints of one agent have, so that no two get the same.
final class NameRegister: Sendable {
    private let owners = Mutex<[String: String]>([:])

    /// Takes a name. Returns false when another owner has it.
    func take(_ name: String, for owner: String) -> Bool {
        owners.withLock { owners in
            if let other = owners[name], other != owner { return false }
            owners[name] = owner
            return true
        }
    }

    /// Gives a name back, if this owner has it.
    func release(_ name: String, of owner: String) {
        owners.withLock { if $0[name] == owner { $0[name] = nil } }
    }
}

/// The names of an endpoint's interfaces: one for each client, the same for as long as the client stays.
final class InterfaceNames: Sendable {
    private struct State {
        /// By the client's id.
        var names: [String: String] = [:]
        /// The client's id by the connection's, and how many connections a client has.
        var clients: [String: String] = [:]
        var connections: [String: Int] = [:]
        /// Numbers of our names, and the least that is not one of them.
        var numbers: Set<Int> = []
        var leastFree = 0

        mutating func note(_ connection: String, of client: String) {
            if clients.updateValue(client, forKey: connection) == nil { connections[client, default: 0] += 1 }
        }

        /// Whether the client has no connection left.
        mutating func forget(_ connection: String) -> String? {
            guard let client = clients.removeValue(forKey: connection), let count = connections[client] else {
                return nil
            }
            connections[client] = count > 1 ? count - 1 : nil
            return count > 1 ? nil : client
        }

        mutating func take(_ number: Int) {
            numbers.insert(number)
            while numbers.contains(leastFree) { leastFree += 1 }
        }

        mutating func free(_ number: Int) {
            if numbers.remove(number) != nil { leastFree = min(leastFree, number) }
        }
        /// Names that clients had: one that comes back, by another way perhaps, gets its name again if it is free.
        var former: [String: String] = [:]
    }
    /// Former names that are kept.
    private static let longestMemory = 4096
    private let endpoint: String
    private let prefix: String
    private let label: String
    private let isSingle: Bool
    private let register: NameRegister
    private let host: any InterfaceLookup
    private let state = Mutex(State())

    /// - Parameters:
    ///   - endpoint: Tells the owner of names in the register.
    ///   - prefix: The start of every name.
    ///   - label: The client's label whose value ends the name; empty: the first free number does.
    ///   - isSingle: Only one client is taken at a time.
    ///   - register: Where names are noted.
    ///   - host: What is there already.
    init(
        endpoint: String = "", prefix: String, label: String, isSingle: Bool, register: NameRegister = NameRegister(),
        host: any InterfaceLookup = NoInterfaces()
    ) {
        self.endpoint = endpoint
        self.prefix = prefix
        self.label = label
        self.isSingle = isSingle
        self.register = register
        self.host = host
    }

    /// The name for a client.
    ///
    /// - Throws: `EndpointRefusal` with what the client can do about it.
    func name(for request: EndpointRequest) throws(EndpointRefusal) -> String {
        if let known = known(request) { return known }
        // Asked before the lock is taken: it may take a system call.
        let candidates = candidates(for: request)
        let result: Result<String, EndpointRefusal> = state.withLock { state in
            if let known = Self.known(request, &state) { return .success(known) }
            if isSingle, !state.names.isEmpty {
                return .failure(EndpointRefusal("\(request.service) takes one client at a time, and has one"))
            }
            return Result { () throws(EndpointRefusal) in
                let former = state.former.removeValue(forKey: request.clientID).map { [$0] } ?? []
                let name = try choose(former + candidates, request, &state)
                state.names[request.clientID] = name
                state.note(request.connectionID, of: request.clientID)
                if let number = number(of: name) { state.take(number) }
                return name
            }
        }
        return try result.get()
    }

    private func known(_ request: EndpointRequest) -> String? { state.withLock { Self.known(request, &$0) } }

    private static func known(_ request: EndpointRequest, _ state: inout State) -> String? {
        guard let known = state.names[request.clientID] else { return nil }
        state.note(request.connectionID, of: request.clientID)
        return known
    }

    /// The connection is gone; its client's name is free unless the client has another connection.
    func release(_ connectionID: String) {
        state.withLock { state in
            guard let client = state.forget(connectionID), let name = state.names.removeValue(forKey: client) else {
                return
            }
            if let number = number(of: name) { state.free(number) }
            register.release(name, of: owner(client))
            if state.former.count >= Self.longestMemory { state.former.removeAll() }
            state.former[client] = name
        }
    }

    /// Gives all names back.
    func releaseAll() {
        state.withLock { state in
            for (client, name) in state.names { register.release(name, of: owner(client)) }
            state = State()
        }
    }

    private func owner(_ client: String) -> String { "\(endpoint)/\(client)" }

    /// Names that the client may have had in an earlier life of ours: as its request says, or of the interface that has
    /// the address that it was given.
    private func candidates(for request: EndpointRequest) -> [String] {
        guard label.isEmpty else { return [] }
        var names = [request.interfaceName]
        for address in request.context.ipContext.destinationPrefixes {
            if let name = host.interface(with: address.address) { names.append(name) }
        }
        return names.filter { number(of: $0) != nil }
    }

    /// The number that ends a name of ours.
    private func number(of name: String) -> Int? {
        guard name.hasPrefix(prefix) else { return nil }
        let digits = name.dropFirst(prefix.count)
        return Int(digits).flatMap { $0 >= 0 && "\($0)" == digits ? $0 : nil }
    }

    private func choose(
        _ candidates: [String], _ request: EndpointRequest, _ state: inout State
    ) throws(EndpointRefusal) -> String {
        let owner = owner(request.clientID)
        guard label.isEmpty else {
            guard let suffix = request.labels[label], !suffix.isEmpty else {
                throw EndpointRefusal(
                    "\(request.service) takes clients with the label \(label), whose value ends the name of their interface"
                )
            }
            let name = prefix + suffix
            if let problem = InterfaceName.mistake(in: name) {
                throw EndpointRefusal(
                    "the label \(label) makes the interface's name '\(name.prefix(64))', which \(problem)")
            }
            guard register.take(name, for: owner) else {
                throw EndpointRefusal(
                    "the interface \(name) is another client's; give another value to the label \(label)")
            }
            return name
        }
        for name in candidates where InterfaceName.mistake(in: name) == nil && register.take(name, for: owner) {
            return name
        }
        var number = state.leastFree
        while case let name = "\(prefix)\(number)", InterfaceName.mistake(in: name) == nil {
            if !state.numbers.contains(number), register.take(name, for: owner) {
                // What a single client left behind its forwarder replaces; others may still use what is there.
                if isSingle || !host.exists(name) { return name }
                register.release(name, of: owner)
            }
            number += 1
        }
        throw EndpointRefusal(
            "\(request.service) has no name left for an interface: \(prefix)\(number) is longer than \(InterfaceName.maximumLength) bytes"
        )
    }
}
